"""Libraries built on torch and JAX, saved as their tutorials save: checkpoints, policies, graphs, processes, folders."""

# ruff: noqa: E501 - one line a model reads best
from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import torch
from torch import nn

from benign_out import Out

RNG = np.random.RandomState(0)
X = RNG.rand(40, 4).astype(np.float32)
Y = (X.sum(1) > 2).astype(np.int64)


def make(out: Out) -> None:
    """Write what the installed libraries make."""
    torch.manual_seed(0)
    for part in (lightning_part, skorch_part, geometric, policies, tabnet, processes, pyro_part, equivariant, recurrent_spikes, losses,
    fastai_part, attention, segmentation, robustness, chemistry, vectors, dicts, embeddings, topics, forecasting, diffusion, jax_part,
    tables, medical, tabular, kge, offline_rl, folders):  # fmt: skip
        out.tried(part, out)


def both(out: Out, name: str, value: Any) -> None:
    """Whole and as a state dictionary."""
    out.write(f"{name}.pt", lambda path: torch.save(value, path))
    if isinstance(value, nn.Module):
        out.write(f"{name}-state.pth", lambda path: torch.save(value.state_dict(), path))


def each(out: Out, prefix: str, made: dict[str, Any]) -> None:
    """Make and save one after the other."""
    for name, one in made.items():
        value = out.tried(one, label=f"{prefix}-{name}")
        if value is not None:
            both(out, f"{prefix}-{name}", value)


def lightning_part(out: Out) -> None:
    """A Trainer's checkpoint, with optimiser, loops, callbacks, hyperparameters and loggers."""
    for home in ("pytorch_lightning", "lightning.pytorch"):
        out.tried(_lightning, out, home, label=home)


def _lightning(out: Out, home: str) -> None:
    pl = importlib.import_module(home)
    callbacks = importlib.import_module(f"{home}.callbacks")
    import torchmetrics

    class Lit(pl.LightningModule):
        def __init__(self, width: int = 4, lr: float = 0.1) -> None:  # noqa: ARG002 - kept as a hyperparameter
            super().__init__()
            self.save_hyperparameters()
            self.net = nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 2))
            self.acc = torchmetrics.Accuracy("multiclass", num_classes=2)

        def training_step(self, batch: Any, _: int) -> Any:
            loss = nn.functional.cross_entropy(self.net(batch[0]), batch[1])
            self.log("val_loss", loss)
            return loss

        def configure_optimizers(self) -> Any:
            optim = torch.optim.AdamW(self.parameters(), self.hparams["lr"])
            return {"optimizer": optim, "lr_scheduler": torch.optim.lr_scheduler.StepLR(optim, 1)}

    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y)), 8)
    keep = callbacks.ModelCheckpoint(dirpath=str(out.folder / f"{out.tag}-{home}-ckpts"), save_last=True, monitor="val_loss")
    stop = callbacks.EarlyStopping("val_loss")
    trainer = pl.Trainer(
        max_epochs=1, accelerator="cpu", callbacks=[keep, stop], logger=False, enable_progress_bar=False, enable_model_summary=False
    )
    trainer.fit(Lit(), data)
    out.write(f"{home}.ckpt", trainer.save_checkpoint)
    out.write(f"{home}-weights.ckpt", lambda path: trainer.save_checkpoint(path, weights_only=True))


def skorch_part(out: Out) -> None:
    """A net in a scikit-learn pipeline."""
    import skorch
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    net = skorch.NeuralNetClassifier(nn.Sequential(nn.Linear(4, 2), nn.Softmax(-1)), max_epochs=1, verbose=0,
        callbacks=[skorch.callbacks.EarlyStopping(), skorch.callbacks.EpochScoring("accuracy")])  # fmt: skip
    pipe = make_pipeline(StandardScaler(), net).fit(X, Y)
    out.pickle("skorch", net)
    out.joblib("skorch-pipeline", pipe)
    out.write("skorch-params.pt", lambda path: net.save_params(f_params=path))
    out.write("skorch-optimizer.pt", lambda path: net.save_params(f_optimizer=path))


def geometric(out: Out) -> None:
    """Graph networks, whole and as states, and a graph."""
    from torch_geometric import nn as gnn
    from torch_geometric.data import Batch, Data, HeteroData

    data = Data(x=torch.ones(3, 4), edge_index=torch.tensor([[0, 1], [1, 2]]), y=torch.tensor([1]))
    hetero = HeteroData()
    hetero["paper"].x = torch.ones(2, 2)
    made = {
        "data": lambda: data,
        "batch": lambda: Batch.from_data_list([data, data]),
        "hetero": lambda: hetero,
        "gcn": lambda: gnn.GCNConv(4, 2),
        "gat": lambda: gnn.GATConv(4, 2, heads=2),
        "sage": lambda: gnn.SAGEConv(4, 2),
        "gin": lambda: gnn.GINConv(nn.Sequential(nn.Linear(4, 4))),
        "model": lambda: gnn.models.GraphSAGE(4, 8, 2),
        "sequential": lambda: gnn.Sequential("x, edge_index", [(gnn.GCNConv(4, 4), "x, edge_index -> x"), nn.ReLU()]),
        "schnet": lambda: gnn.models.SchNet(8, 8, 1, 10),
        "node2vec": lambda: gnn.Node2Vec(data.edge_index, 4, 3, 2, num_nodes=3),
        "transformer": lambda: gnn.TransformerConv(4, 2),
        "rgcn": lambda: gnn.RGCNConv(4, 2, 3),
    }
    each(out, "geometric", made)


def policies(out: Out) -> None:
    """Agents of Stable-Baselines3: a zip with torch archives and pickles in base64."""
    import stable_baselines3 as sb3

    for name in ("PPO", "A2C", "DQN"):
        out.write(f"sb3-{name}.zip", lambda path, n=name: getattr(sb3, n)("MlpPolicy", "CartPole-v1").save(path))
    for name in ("SAC", "TD3", "DDPG"):
        out.write(f"sb3-{name}.zip", lambda path, n=name: getattr(sb3, n)("MlpPolicy", "Pendulum-v1", buffer_size=100).save(path))
    agent = sb3.SAC("MlpPolicy", "Pendulum-v1", buffer_size=10)
    out.write("sb3-replay.pkl", agent.save_replay_buffer)
    import gymnasium
    from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

    out.write("sb3-vecnormalize.pkl", lambda path: VecNormalize(DummyVecEnv([lambda: gymnasium.make("CartPole-v1")])).save(path))
    import sb3_contrib

    for name in ("TRPO", "RecurrentPPO", "QRDQN"):
        policy = "MlpLstmPolicy" if name == "RecurrentPPO" else "MlpPolicy"
        out.write(f"sb3contrib-{name}.zip", lambda path, n=name, p=policy: getattr(sb3_contrib, n)(p, "CartPole-v1").save(path))


def tabnet(out: Out) -> None:
    """TabNet's own zip and a pickle."""
    from pytorch_tabnet.tab_model import TabNetClassifier

    model = TabNetClassifier(verbose=0)
    model.fit(X, Y, max_epochs=1, batch_size=16, virtual_batch_size=8)
    out.write("tabnet", model.save_model)
    out.pickle("tabnet", model)


def processes(out: Out) -> None:
    """Gaussian processes of gpytorch and botorch."""
    import gpytorch

    likelihood = gpytorch.likelihoods.GaussianLikelihood()
    each(out, "gpytorch", {"likelihood": lambda: likelihood, "kernel": lambda: gpytorch.kernels.ScaleKernel(gpytorch.kernels.RBFKernel()),
        "matern": lambda: gpytorch.kernels.MaternKernel(2.5, lengthscale_prior=gpytorch.priors.GammaPrior(3.0, 6.0)), "mean": gpytorch.means.ConstantMean})  # fmt: skip
    from botorch.models import SingleTaskGP

    model = SingleTaskGP(torch.rand(6, 2, dtype=torch.double), torch.rand(6, 1, dtype=torch.double))
    both(out, "botorch-gp", model)


def pyro_part(out: Out) -> None:
    """Pyro's parameter store, a guide, and samples."""
    import pyro
    from pyro.infer.autoguide import AutoNormal

    def model() -> None:
        pyro.sample("z", pyro.distributions.Normal(0.0, 1.0))

    guide = AutoNormal(model)
    guide()
    out.write("pyro-params.pt", lambda path: pyro.get_param_store().save(path))
    out.write("pyro-distribution.pt", lambda path: torch.save(pyro.distributions.Normal(0.0, 1.0), path))
    out.write("pyro-guide-state.pt", lambda path: torch.save(guide.state_dict(), path))


def equivariant(out: Out) -> None:
    """Tensor products of e3nn."""
    from e3nn import o3

    out.pickle("e3nn-irreps", o3.Irreps("1x0e+1x1o"))
    each(
        out,
        "e3nn",
        {"linear": lambda: o3.Linear("2x0e", "3x0e"), "product": lambda: o3.FullyConnectedTensorProduct("1x0e", "1x0e", "1x0e")},
    )


def recurrent_spikes(out: Out) -> None:
    """Spiking and continuous networks."""
    import snntorch

    each(out, "snntorch", {"leaky": lambda: snntorch.Leaky(0.9), "net": lambda: nn.Sequential(nn.Linear(4, 2), snntorch.Leaky(0.9, init_hidden=True))})  # fmt: skip


def losses(out: Out) -> None:
    """Metric learning and optimisers."""
    from pytorch_metric_learning import losses as pml
    from pytorch_metric_learning import miners

    each(
        out,
        "metric",
        {"arc": lambda: pml.ArcFaceLoss(2, 4), "triplet": pml.TripletMarginLoss, "miner": miners.MultiSimilarityMiner},
    )
    import torch_optimizer

    optim = torch_optimizer.RAdam(nn.Linear(2, 2).parameters())
    out.write("torch-optimizer.pt", lambda path: torch.save({"o": optim.state_dict(), "optim": optim}, path))


def fastai_part(out: Out) -> None:
    """A learner's export.pkl and its saved weights."""
    import pandas as pd
    from fastai.tabular.all import Categorify, CategoryBlock, Normalize, TabularDataLoaders, tabular_learner

    frame = pd.DataFrame(X, columns=list("abcd"))
    frame["c"] = ["x", "y"] * 20
    frame["y"] = Y
    loaders = TabularDataLoaders.from_df(frame, procs=[Categorify, Normalize], cat_names=["c"], cont_names=["a", "b"], y_names="y", y_block=CategoryBlock(), bs=8)  # fmt: skip
    learner = tabular_learner(loaders, layers=[8])
    out.write("fastai-export.pkl", learner.export)
    learner.path = out.folder
    out.write("fastai-weights.pth", lambda path: torch.save(learner.model.state_dict(), path))
    import PIL.Image
    from fastai.vision.all import ImageDataLoaders, Resize, resnet18, vision_learner

    pictures = out.folder / f"{out.tag}-pictures"
    for label in ("cat", "dog"):
        (pictures / label).mkdir(parents=True, exist_ok=True)
        for i in range(4):
            PIL.Image.new("RGB", (32, 32), (i * 20, 0, 0)).save(pictures / label / f"{i}.png")
    images = ImageDataLoaders.from_folder(pictures, valid_pct=0.5, item_tfms=Resize(32), bs=2, seed=1)
    vision = vision_learner(images, resnet18, pretrained=False)
    out.write("fastai-vision-export.pkl", vision.export)


def attention(out: Out) -> None:
    """Transformers of small libraries."""
    import vector_quantize_pytorch
    import x_transformers

    each(out, "xtrans", {"decoder": lambda: x_transformers.TransformerWrapper(num_tokens=20, max_seq_len=8, attn_layers=x_transformers.Decoder(dim=8, depth=1, heads=2)),
        "vq": lambda: vector_quantize_pytorch.VectorQuantize(dim=4, codebook_size=8)})  # fmt: skip


def segmentation(out: Out) -> None:
    """Networks of segmentation_models_pytorch, timm, torchvision's detectors, open_clip, facenet, efficientnet."""

    def smp() -> Any:
        return importlib.import_module("segmentation_models_pytorch")

    made = {
        "unet": lambda: smp().Unet("resnet18", encoder_weights=None),
        "fpn": lambda: smp().FPN("resnet18", encoder_weights=None),
        "deeplab": lambda: smp().DeepLabV3Plus("resnet18", encoder_weights=None),
        "efficientnet": lambda: importlib.import_module("efficientnet_pytorch").EfficientNet.from_name("efficientnet-b0"),
        "facenet": lambda: importlib.import_module("facenet_pytorch").InceptionResnetV1(),
        "detector": lambda: importlib.import_module("torchvision").models.detection.ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None),
        "yolo": lambda: {"model": importlib.import_module("ultralytics").YOLO("yolov8n.yaml").model, "train_args": {}, "date": "2026-01-01"},
        "yolo11": lambda: {"model": importlib.import_module("ultralytics").YOLO("yolo11n-seg.yaml").model.half(), "ema": None, "epoch": -1},
        "kornia": lambda: nn.Sequential(importlib.import_module("kornia").augmentation.RandomHorizontalFlip(), importlib.import_module("kornia").augmentation.Normalize(0.5, 0.5)),
        "clip": lambda: importlib.import_module("open_clip").create_model("RN50", pretrained=None).visual.attnpool,
    }  # fmt: skip
    each(out, "vision", made)


def robustness(out: Out) -> None:
    """An ART classifier around a network."""
    from art.estimators.classification import PyTorchClassifier, SklearnClassifier
    from sklearn.linear_model import LogisticRegression

    net = nn.Linear(4, 2)
    out.pickle(
        "art-torch", PyTorchClassifier(net, nn.CrossEntropyLoss(), (4,), 2, optimizer=torch.optim.SGD(net.parameters(), 0.1))
    )
    out.pickle("art-sklearn", SklearnClassifier(LogisticRegression().fit(X, Y)))


def chemistry(out: Out) -> None:
    """Message passing of chemprop and schnetpack."""
    from chemprop import models
    from chemprop import nn as cnn

    model = models.MPNN(cnn.BondMessagePassing(), cnn.MeanAggregation(), cnn.RegressionFFN())
    both(out, "chemprop", model)
    out.write("chemprop-own.pt", lambda path: models.save_model(path, model))
    import schnetpack as spk

    both(out, "schnetpack", spk.representation.SchNet(8, 1, spk.nn.GaussianRBF(5, 5.0), spk.nn.CosineCutoff(5.0)))


def vectors(out: Out) -> None:
    """Indexes of vectors and words."""
    for name, one in {"faiss-flat": "IndexFlatL2", "faiss-hnsw": "IndexHNSWFlat", "faiss-ivf": "ivf", "faiss-pq": "pq"}.items():
        out.tried(_faiss, out, name, one, label=name)
    out.tried(_annoy, out)
    out.tried(_hnsw, out)


def _faiss(out: Out, name: str, kind: str) -> None:
    import faiss

    data = RNG.rand(300, 8).astype(np.float32)
    made = {"IndexFlatL2": lambda: faiss.IndexFlatL2(8), "IndexHNSWFlat": lambda: faiss.IndexHNSWFlat(8, 4),
    "ivf": lambda: faiss.index_factory(8, "IVF4,Flat"), "pq": lambda: faiss.index_factory(8, "IDMap,SQ8")}  # fmt: skip
    index = made[kind]()
    index.train(data)
    index.add_with_ids(data, np.arange(300)) if kind == "pq" else index.add(data)
    out.write(f"{name}.index", lambda path: faiss.write_index(index, path))
    out.pickle(name, index)


def _annoy(out: Out) -> None:
    import annoy

    index = annoy.AnnoyIndex(8, "angular")
    for i in range(50):
        index.add_item(i, RNG.rand(8))
    index.build(3)
    out.write("annoy.ann", index.save)


def _hnsw(out: Out) -> None:
    import hnswlib

    index = hnswlib.Index("l2", 8)
    index.init_index(100)
    index.add_items(RNG.rand(50, 8))
    out.write("hnsw.bin", index.save_index)
    out.pickle("hnsw", index)


def dicts(out: Out) -> None:
    """Tensor dictionaries and modules of torchrl."""
    from tensordict import TensorDict
    from tensordict.nn import TensorDictModule

    out.write("tensordict.pt", lambda path: torch.save(TensorDict({"a": torch.ones(3)}, [3]), path))
    both(out, "tensordict-module", TensorDictModule(nn.Linear(4, 2), ["obs"], ["act"]))
    from torchrl.modules import MLP, ProbabilisticActor

    both(out, "torchrl-mlp", MLP(4, 2, num_cells=[8]))
    assert ProbabilisticActor


def embeddings(out: Out) -> None:
    """A sentence-transformers folder, a SetFit head, static embeddings."""
    from sentence_transformers import SentenceTransformer, models
    from tokenizers import Tokenizer
    from tokenizers import models as token_models
    from transformers import BertConfig, BertModel, BertTokenizerFast

    base = out.folder / f"{out.tag}-st-base"
    BertModel(
        BertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, vocab_size=30)
    ).save_pretrained(base)
    (base / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxy"]))
    BertTokenizerFast(str(base / "vocab.txt")).save_pretrained(base)
    assert Tokenizer(token_models.BPE())
    words = models.Transformer(str(base))
    model = SentenceTransformer(modules=[words, models.Pooling(16), models.Dense(16, 8), models.Normalize()], device="cpu")
    out.write("st-folder", model.save)
    out.write("st-whole.pt", lambda path: torch.save(model, path))
    out.tried(_setfit, out, model)


def _setfit(out: Out, body: Any) -> None:
    from setfit import SetFitModel
    from sklearn.linear_model import LogisticRegression

    head = LogisticRegression().fit(RNG.rand(10, 8), [0, 1] * 5)
    model = SetFitModel(model_body=body, model_head=head, labels=["a", "b"])
    out.write("setfit-folder", model.save_pretrained)


def topics(out: Out) -> None:
    """BERTopic over given vectors, in its three ways of saving."""
    from bertopic import BERTopic
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA

    docs = [f"word{i % 4} thing{i % 3} text{i % 5} more words here" for i in range(60)]
    model = BERTopic(embedding_model=None, umap_model=PCA(2), hdbscan_model=KMeans(3, n_init=1)).fit(docs, RNG.rand(60, 8))
    out.write("bertopic.pkl", lambda path: model.save(path, serialization="pickle"))
    out.write("bertopic-folder", lambda path: model.save(path, serialization="safetensors", save_ctfidf=True))
    out.write("bertopic-folder-torch", lambda path: model.save(path, serialization="pytorch"))


def forecasting(out: Out) -> None:
    """Networks of neuralforecast, darts and pytorch-forecasting."""
    import pandas as pd
    from neuralforecast import NeuralForecast
    from neuralforecast.models import MLP, NBEATS, NHITS

    frame = pd.DataFrame({"unique_id": "a", "ds": pd.date_range("2020", periods=60, freq="MS"), "y": RNG.rand(60)})
    quiet = {"max_steps": 2, "accelerator": "cpu", "enable_progress_bar": False, "logger": False}
    model = NeuralForecast(
        [NHITS(h=3, input_size=6, **quiet), NBEATS(h=3, input_size=6, **quiet), MLP(h=3, input_size=6, **quiet)], freq="MS"
    )
    model.fit(frame)
    out.write("neuralforecast-folder", lambda path: model.save(path, overwrite=True, save_dataset=True))
    from pytorch_forecasting import GroupNormalizer, TimeSeriesDataSet
    from pytorch_forecasting.models import TemporalFusionTransformer

    frame["time"] = np.arange(60)
    data = TimeSeriesDataSet(frame, "time", "y", ["unique_id"], max_encoder_length=6, max_prediction_length=2, time_varying_unknown_reals=["y"], target_normalizer=GroupNormalizer())  # fmt: skip
    out.write("forecasting-dataset.pt", data.save)
    both(out, "forecasting-tft", TemporalFusionTransformer.from_dataset(data, hidden_size=4, attention_head_size=1))


def diffusion(out: Out) -> None:
    """A diffusers pipeline folder."""
    from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

    unet = UNet2DModel(sample_size=8, block_out_channels=(8, 8), layers_per_block=1, norm_num_groups=4, down_block_types=("DownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "UpBlock2D"))  # fmt: skip
    pipe = DDPMPipeline(unet, DDPMScheduler())
    out.write("diffusers-folder", pipe.save_pretrained)
    out.write("diffusers-bin-folder", lambda path: pipe.save_pretrained(path, safe_serialization=False))
    out.write("diffusers-unet.pt", lambda path: torch.save(unet, path))


def jax_part(out: Out) -> None:
    """flax, orbax, haiku, equinox and optax."""
    import pickle

    import flax
    import jax
    import jax.numpy as jnp

    params = {"params": {"dense": {"kernel": jnp.ones((3, 2)), "bias": jnp.zeros(2)}}}
    out.write("flax.msgpack", lambda path: open(path, "wb").write(flax.serialization.to_bytes(params)))  # noqa: PTH123, SIM115
    out.write("jax-params.pkl", lambda path: pickle.dump(params, open(path, "wb")))  # noqa: PTH123, SIM115
    import optax

    state = optax.adam(0.1).init(params)
    out.pickle("optax-state", jax.tree_util.tree_map(np.asarray, state))
    out.tried(_orbax, out, params)
    import equinox

    net = equinox.nn.MLP(2, 2, 4, 1, key=jax.random.PRNGKey(0))
    out.write("equinox.eqx", lambda path: equinox.tree_serialise_leaves(path, net))
    out.pickle("equinox", net)


def _orbax(out: Out, params: Any) -> None:
    import orbax.checkpoint as ocp

    with ocp.StandardCheckpointer() as saver:
        saver.save((out.folder / f"{out.tag}-orbax-folder").absolute(), params, force=True)


def tables(out: Out) -> None:
    """Copulas and synthesisers of ctgan."""
    import pandas as pd
    from ctgan import CTGAN, TVAE

    frame = pd.DataFrame({"a": RNG.rand(40), "b": ["x", "y"] * 20})
    for kind in (CTGAN, TVAE):
        model = kind(epochs=1, batch_size=20, **({"pac": 2} if kind is CTGAN else {}), enable_gpu=False)
        model.fit(frame, ["b"])
        out.write(f"{kind.__name__}.pkl", model.save)
    from copulas.multivariate import GaussianMultivariate

    copula = GaussianMultivariate()
    copula.fit(frame[["a"]].assign(c=RNG.rand(40)))
    out.write("copulas.pkl", copula.save)


def medical(out: Out) -> None:
    """MONAI networks and transforms."""
    from monai.networks.nets import UNet
    from monai.transforms import Compose, EnsureChannelFirst, RandFlip, ScaleIntensity

    both(out, "monai-unet", UNet(2, 1, 2, (4, 8), (2,)))
    out.pickle("monai-transforms", Compose([EnsureChannelFirst(channel_dim="no_channel"), ScaleIntensity(), RandFlip()]))


def tabular(out: Out) -> None:
    """DeepCTR, pytorch_tabular's parts."""
    from deepctr_torch.inputs import DenseFeat, SparseFeat
    from deepctr_torch.models import DeepFM

    features = [SparseFeat("s", 4, 2), DenseFeat("d", 1)]
    both(out, "deepctr", DeepFM(features, features))


def kge(out: Out) -> None:
    """Embeddings of a knowledge graph by pykeen."""
    from pykeen.datasets import Nations
    from pykeen.models import TransE

    both(out, "pykeen-transe", TransE(triples_factory=Nations().training, embedding_dim=4))


def offline_rl(out: Out) -> None:
    """Policies of tianshou."""
    from tianshou.utils.net.common import MLP

    both(out, "tianshou-mlp", MLP(input_dim=4, output_dim=2, hidden_sizes=[8]))


def folders(out: Out) -> None:
    """Folders of transformers with tokenisers and templates, of datasets, of Trainer."""
    out.tried(_trainer, out)
    out.tried(_datasets, out)


def _datasets(out: Out) -> None:
    from datasets import Dataset, DatasetDict

    data = Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]})
    out.write("datasets-folder", data.save_to_disk)
    out.write("datasets-dict-folder", DatasetDict(train=data, test=data).save_to_disk)
    out.write("datasets.parquet", data.to_parquet)


def _trainer(out: Out) -> None:
    from datasets import Dataset
    from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

    model = BertForSequenceClassification(
        BertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, vocab_size=30)
    )
    data = Dataset.from_dict({"input_ids": [[1, 2, 3]] * 8, "attention_mask": [[1, 1, 1]] * 8, "labels": [0, 1] * 4})
    args = TrainingArguments(str(out.folder / f"{out.tag}-trainer"), max_steps=2, save_steps=1, use_cpu=True, report_to=[], per_device_train_batch_size=2, disable_tqdm=True)  # fmt: skip
    Trainer(model, args, train_dataset=data).train()
