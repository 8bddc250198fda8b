"""What transformers and torchvision leave in a training folder: arguments, optimizer, scheduler, whole models."""

from __future__ import annotations

import torch

from benign_out import Out


def make(out: Out) -> None:
    """Write training_args.bin, scheduler.pt, optimizer.pt, small whole models and tokenizers."""
    # torchvision built for CUDA lacks its operators beside a CPU torch; it only needs their names to be imported.
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms", "deform_conv2d", "ps_roi_align", "ps_roi_pool", "qroi_align", "roi_align", "roi_pool",
    "_deform_conv2d_backward",
                 "_ps_roi_align_backward", "_ps_roi_pool_backward", "_roi_align_backward", "_roi_pool_backward"):  # fmt: skip
        library.define(f"{name}(Tensor a) -> Tensor")
    out.tried(arguments, out)
    out.tried(models, out)
    out.tried(vision, out)


def arguments(out: Out) -> None:
    """Save TrainingArguments as Trainer does."""
    from transformers import Seq2SeqTrainingArguments, TrainingArguments

    plain = TrainingArguments(output_dir="out", learning_rate=1e-4, use_cpu=True)
    out.write("training_args.bin", lambda path: torch.save(plain, path))
    out.write("training_args-legacy.bin", lambda path: torch.save(plain, path, _use_new_zipfile_serialization=False))
    other = Seq2SeqTrainingArguments(
        output_dir="out", fp16=False, eval_strategy="steps", lr_scheduler_type="cosine", optim="adafactor", use_cpu=True
    )
    out.write("seq2seq_args.bin", lambda path: torch.save(other, path))


def models(out: Out) -> None:
    """Save whole small models, configurations and schedulers."""
    from transformers import BertConfig, BertForSequenceClassification, GPT2Config, GPT2LMHeadModel, get_linear_schedule_with_warmup

    bert = BertForSequenceClassification(
        BertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, vocab_size=50)
    )
    gpt = GPT2LMHeadModel(GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=50, n_positions=16))
    for name, model in (("bert", bert), ("gpt2", gpt)):
        out.write(f"{name}-whole.pt", lambda path, m=model: torch.save(m, path))
        out.write(f"{name}-pytorch_model.bin", lambda path, m=model: torch.save(m.state_dict(), path))
        out.pickle(f"{name}-config", model.config)
    out.tried(families, out)
    optim = torch.optim.AdamW(bert.parameters(), 1e-4)
    schedule = get_linear_schedule_with_warmup(optim, 2, 10)
    out.write("optimizer.pt", lambda path: torch.save(optim.state_dict(), path))
    out.write("scheduler.pt", lambda path: torch.save(schedule.state_dict(), path))
    out.write("scheduler-whole.pt", lambda path: torch.save(schedule, path))
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.WordLevel({"a": 0, "b": 1, "[UNK]": 2}, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    out.pickle("tokenizer-raw", raw)
    out.pickle("tokenizer-fast", PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="[UNK]"))


def families(out: Out) -> None:
    """Save one small model of each of many families whole: each keeps functions and hooks of its own."""
    import transformers

    small = {
        "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2,
        "vocab_size": 64, "head_dim": 8, "num_layers": 1, "d_model": 16, "d_ff": 32, "d_kv": 8, "num_heads": 2, "n_embd": 16,
        "n_layer": 1, "n_head": 2, "rotary_dim": 4, "state_size": 4, "pad_token_id": 0,
    }  # fmt: skip
    names = (
        "Llama Mistral Qwen2 Qwen3 Gemma2 Phi3 GPTNeoX GPTJ CodeGen Bloom OPT T5 Falcon Mamba Olmo StableLm Starcoder2 Cohere "
        "Granite ModernBert Roberta Electra LayoutLM ViT"
    )
    for name in names.split():
        if hasattr(transformers, name + "Config"):
            kind = getattr(transformers, name + "Config")
            taken = set(getattr(kind, "__annotations__", {})) | set(kind.__init__.__code__.co_varnames)
            made = out.tried(lambda k=kind, t=taken: k(**{key: v for key, v in small.items() if key in t}), label=name)
            model = made and out.tried(getattr(transformers, name + "Model"), made, label=name)
            if model:
                out.write(f"family-{name.lower()}.pt", lambda path, m=model: torch.save(m, path))


def vision(out: Out) -> None:
    """Save torchvision models whole, and their transforms."""
    import torchvision
    from torchvision import transforms

    for name in ("resnet18", "mobilenet_v3_small", "squeezenet1_1", "shufflenet_v2_x0_5"):
        model = getattr(torchvision.models, name)()
        out.write(f"{name}-whole.pth", lambda path, m=model: torch.save(m, path))
    steps = transforms.Compose(
        [transforms.Resize(8), transforms.RandomHorizontalFlip(), transforms.ToTensor(), transforms.Normalize([0.5], [0.5])]
    )
    out.pickle("transforms", steps)
    import timm

    for name in ("resnet10t", "vit_tiny_patch16_224", "efficientnet_lite0", "convnext_atto"):
        model = timm.create_model(name, pretrained=False)
        out.write(f"timm-{name}-whole.pth", lambda path, m=model: torch.save(m, path))
