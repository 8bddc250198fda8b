"""Ways by which Python source has something else run: the environment of later programs, code kept as data, tokens sent out."""

from __future__ import annotations

import re
from collections.abc import Sequence

from stannary.checks.static.judges.addresses import doubtful_address

__all__ = ["data_run", "environment", "is_fetched", "is_installed", "is_served", "reaches", "sends_token", "text_run"]

# A variable by which a loader, a shell or an interpreter runs what it names, and values of it that are of no account.
_VARIABLES: dict[str, str] = {
    "PYTHONBREAKPOINT": r"0|pdb\.set_trace|ipdb\.set_trace|",
    "PYTHONSTARTUP": "",
    "PYTHONINSPECT": "",
    "PYTHONHOME": "",
    "LD_PRELOAD": r"(?:/usr)?(?:/local)?/lib\S*"
    r"|(?:\S*/)?(?:lib(?:jemalloc|tcmalloc|mimalloc|gomp|iomp5|asan|stdc\+\+|nccl|cudart)[\w.+-]*|)(?::\S*)?",
    "LD_AUDIT": "",
    "DYLD_INSERT_LIBRARIES": "",
    "BASH_ENV": "",
    "PROMPT_COMMAND": "",
    "PERL5OPT": "",
    "RUBYOPT": "",
    "GIT_SSH_COMMAND": r"ssh(?:\s+-\S+(?:\s+[\w.=/~-]+)?)*",
    "GIT_EXTERNAL_DIFF": "",
    "NODE_OPTIONS": r"(?:--max[-_]old[-_]space[-_]size=\d+|--no-warnings|\s)*",
    "JAVA_TOOL_OPTIONS": r"(?!.*-(?:javaagent|agentlib|agentpath)).*",
}
_FOLDERS = frozenset({"PYTHONPATH", "PATH", "LD_LIBRARY_PATH"})
_ANYBODY = re.compile(r"(?:^|:)(?:/tmp|/var/tmp|/dev/shm)(?:[:/]|$)")
_SETTERS = frozenset({"os.environ.__setitem__", "os.environ.setdefault", "os.putenv", "os.environ.update"})
# What files of data are opened with: their content is no program.
_DATA = frozenset({
    "json.load", "json.loads", "yaml.safe_load", "yaml.load", "safetensors.safe_open", "safetensors.torch.load_file", "torch.load",
    "numpy.load", "numpy.fromfile", "PIL.Image.open", "pickle.load", "joblib.load", "h5py.File", "onnx.load", "cv2.imread",
    "transformers.AutoConfig.from_pretrained", "msgpack.unpackb", "gguf.GGUFReader", "pandas.read_csv", "pandas.read_parquet",
})  # fmt: skip
_FETCHES = frozenset({
    "huggingface_hub.hf_hub_download", "huggingface_hub.snapshot_download", "huggingface_hub.cached_download",
    "huggingface_hub.try_to_load_from_cache", "transformers.utils.hub.cached_file", "transformers.utils.cached_file",
    "transformers.file_utils.cached_path", "urllib.request.urlretrieve", "wget.download", "gdown.download",
    "torch.hub.download_url_to_file", "keras.utils.get_file", "tensorflow.keras.utils.get_file", "pooch.retrieve",
    "modelscope.snapshot_download", "kagglehub.model_download", "mlflow.artifacts.download_artifacts",
    "wandb.use_artifact", "timm.models.hub.load_state_dict_from_hf",
})  # fmt: skip
_WEIGHTS = re.compile(r"\.(?:bin|pt|pth|ckpt|safetensors|gguf|h5|keras|onnx|pkl|npy|npz|dat|json|model|png|jpe?g|msgpack|tflite)$")
_TOKENS = (
    "huggingface_hub.get_token",
    "huggingface_hub.HfFolder.get_token",
    "HfFolder.get_token",
    "keyring.get_password",
    "google.colab.userdata.get",
    "kaggle_secrets.UserSecretsClient().get_secret",
    "streamlit.secrets",
    "dbutils.secrets.get",
    "browser_cookie3.",
)
_SECRET = re.compile(r"os\.environ\[\w*(?:TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|CREDENTIALS|ACCESS_KEY)\w*\]", re.IGNORECASE)
# Classes and functions that a framework calls by name when it loads or serves what is in the folder.
_CLASSES = frozenset({"EndpointHandler", "TritonPythonModel"})
_BASES = frozenset({
    "BaseHandler", "BasePredictor", "PythonModel", "GeneratorBasedBuilder", "ArrowBasedBuilder", "BeamBasedBuilder",
    "DiffusionPipeline",
    "PreTrainedModel", "PretrainedConfig", "PreTrainedTokenizer", "PreTrainedTokenizerFast", "Pipeline",
})  # fmt: skip
# Layers: whoever builds or uses a model calls these methods of theirs without naming them.
_LAYERS = frozenset({
    "torch.nn.Module", "torch.nn.modules.module.Module", "keras.Model", "keras.layers.Layer", "keras.models.Model",
    "tensorflow.keras.Model", "tensorflow.keras.layers.Layer", "tensorflow.Module", "flax.linen.Module",
})  # fmt: skip
_BY_FRAMEWORK = frozenset({"__init__", "forward", "call", "build", "__call__", "setup", "get_config", "from_config"})
# TorchServe takes the class of a handler's file whatever its name is, and calls these.
_HANDLES = re.compile(r"initialize|handle|preprocess|inference|postprocess|explain_handle|get_insights")
_COMMANDS = frozenset({"install", "develop", "egg_info", "install_lib", "install_scripts", "easy_install", "bdist_egg"})
_FUNCTIONS: dict[str, re.Pattern[str]] = {
    "inference.py": re.compile(r"(?:model|input|predict|output|transform)_fn"),
    "conftest.py": re.compile(r"pytest_\w+"),
    "gunicorn.conf.py": re.compile(r"on_\w+|when_ready|(?:pre|post)_\w+|worker_\w+|child_exit"),
    "handler.py": re.compile(r"handle|initialize"),
    "model_handler.py": re.compile(r"handle|initialize"),
    "score.py": re.compile(r"init|run"),
    "hubconf.py": re.compile(r"[a-zA-Z]\w*"),
}


def environment(name: str, args: Sequence[str], keywords: dict[str, str]) -> str:
    """Return the variable, and its value, by which later programs load something; empty when there is none."""
    if name not in _SETTERS:
        return ""
    pairs = [(args[0], args[1])] if len(args) > 1 else []
    for variable, value in (*pairs, *keywords.items()):
        harmless = _VARIABLES.get(variable)
        if harmless is not None and not (harmless and re.fullmatch(harmless, value)) and not value.startswith(("<", "{")):
            return f"{variable}={value[:100]}"
        if variable in _FOLDERS and _ANYBODY.search(value):
            return f"{variable}={value[:100]}"
    return ""


def data_run(name: str, args: Sequence[str], origins: frozenset[str], paths: Sequence[str] = ()) -> str:
    """Return what kind of data is executed as code; empty when it is none."""
    if name in {"exec", "execfile"}:
        found = sorted(o for o in origins if o in _DATA or o.startswith("os.environ["))
        if found:
            return f"what comes from {found[0]}"
        path = next((p for p in paths if _WEIGHTS.search(p)), "") if origins & {"open", "io.open"} else ""
        return f"what is read from {path[:80]}" if path else ""
    if name == "runpy.run_path" and args and re.search(r"\.(?!py\b|pyw\b|zip\b|pyz\b|\w*[<{}>])[A-Za-z]\w{0,11}$", args[0]):
        return f"the file {args[0][:80]}"
    return ""


def text_run(args: Sequence[str], origins: frozenset[str], paths: Sequence[str] = ()) -> str:
    """Return what text of a file that is no source is run; empty when it is none, or source that is read with the rest."""
    if not (args and args[0].startswith("<") and origins & {"open", "io.open"}):
        return ""
    path = next((p for p in paths if not p.startswith("<")), "")
    ending = path.rpartition("/")[2].rpartition(".")[2] if "." in path.rpartition("/")[2] else ""
    return f"the text of {path[:80]}" if ending and ending.lower() not in {"py", "pyw", "pyi"} and "}" not in ending else ""


def is_fetched(origins: frozenset[str]) -> bool:
    """Tell whether a file is one that the program fetches from elsewhere."""
    return not _FETCHES.isdisjoint(origins)


def sends_token(address: str, origins: frozenset[str]) -> str:
    """Return the secret that goes to an address of nobody known."""
    if not doubtful_address(address):
        return ""
    return next((o for o in sorted(origins) if o.startswith(_TOKENS) or o.endswith(".get_token") or _SECRET.match(o)), "")


def is_served(file: str, function: str, bases: dict[str, list[str]]) -> bool:
    """Tell whether a framework calls a function because of where it stands. `bases`: of the classes of the file."""
    owner, _, method = function.rpartition(".")
    if not owner:
        pattern = _FUNCTIONS.get(file)
        return pattern is not None and pattern.fullmatch(method) is not None
    if file.endswith("handler.py") and _HANDLES.fullmatch(method):
        return True
    ends = {base.rpartition(".")[2] for base in bases.get(owner, ())}
    built = bool(_LAYERS & set(bases.get(owner, ()))) and method in _BY_FRAMEWORK
    return built or owner in _CLASSES or bool(ends & _BASES)


def is_installed(function: str, bases: dict[str, list[str]]) -> bool:
    """Tell whether a method belongs to a command that every installation runs."""
    owner = function.rpartition(".")[0]
    return bool({base.rpartition(".")[2] for base in bases.get(owner, ())} & _COMMANDS)


_REACHES = re.compile(
    r"\b(?:os|posix|nt)\.(?:system|popen|exec[lv]\w*|spawn\w*)\s*\(|\bsubprocess\.\w+\s*\(|__import__\s*\(|\bpty\.spawn\s*\(|\b(?:pickle|marshal)\.loads?\s*\("
)


def reaches(text: str) -> str:
    """Return the words by which source in a text runs a program, whatever form of source it is; empty when there are none."""
    found = _REACHES.search(text)
    return found[0] if found else ""
