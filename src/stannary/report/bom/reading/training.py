"""What training code says: the data it loads, the model it starts from, its hyperparameters. Read from the syntax tree, never run.

Only code that trains is asked: a file that fits, steps backward or builds a trainer. Only literals count, and names that the
module gives one literal; what is computed, or comes from a command line, says nothing.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from stannary.core.errors import FormatError
from stannary.formats.interface import clip
from stannary.report.bom.reading.answer import Named, Training
from stannary.report.bom.reading.code import parsed

__all__ = ["likely", "read"]

_LARGEST = 1 << 20
_MOST = 100
_GATE = re.compile(r"\.(?:fit|partial_fit|backward|train)\(|Trainer\(")
_ASIDE = re.compile(r"(?:^|/)(?:tests?|testing|docs?|examples?|node_modules|site-packages)/|(?:^|/)(?:test_[^/]*|conftest)\.py$")
_TRAINERS = re.compile(r"(?:\w*Trainer)$")
_FITS = frozenset({"fit", "partial_fit", "fit_generator", "fine_tune", "fit_one_cycle", "backward", "minimize"})
_MODULES = frozenset({"xgb", "xgboost", "lgb", "lightgbm"})  # of which `train` is a function
# Calls that load data by a name or a path: the name of the function, where the name stands.
_READERS = frozenset(
    {"read_csv", "read_parquet", "read_json", "read_table", "read_excel", "read_feather", "load_from_disk", "read_orc"}
)
_BUILDERS = frozenset({"csv", "json", "parquet", "text", "arrow", "imagefolder", "audiofolder", "pandas", "webdataset"})
_BUNDLED = re.compile(r"(?:load|fetch)_(?!dataset$|data$|from_|model|state|weights|image|files$|svmlight)([a-z0-9_]+)$")
# The beginning of a split's or a file's name that is not trained on.
_HELD_BACK = re.compile(r"(?:test|val|valid|validation|eval|evaluation|dev)(?![a-z])", re.IGNORECASE)
_NO_MODEL = re.compile(r"Tokenizer|Processor|Config|FeatureExtractor|Scheduler$")
_PARAMETERS = frozenset(
    """
    learning_rate lr eta num_train_epochs epochs num_epochs n_epochs max_epochs max_steps batch_size per_device_train_batch_size
    gradient_accumulation_steps weight_decay momentum betas eps warmup_steps warmup_ratio lr_scheduler_type max_grad_norm optim
    label_smoothing_factor seed random_state fp16 bf16 r lora_alpha lora_dropout target_modules dropout max_length max_seq_length
    n_estimators max_depth min_child_weight subsample colsample_bytree num_leaves min_samples_leaf min_samples_split max_features
    gamma reg_alpha reg_lambda alpha l1_ratio penalty C kernel degree tol max_iter n_neighbors n_clusters hidden_layer_sizes
    activation solver early_stopping_rounds num_boost_round objective criterion beta noise_multiplier target_epsilon target_delta
    """.split()  # noqa: SIM905 - a table of words
)


def likely(source: str, name: str) -> bool:
    """Tell by a pattern whether code seems to train, tests and examples aside: parsing every file would cost seconds."""
    return len(source) <= _LARGEST and _GATE.search(source) is not None and _ASIDE.search(name) is None


def read(source: str) -> Training | None:
    """Return what code that trains says; None when it trains nothing. Raises FormatError when it seems to, and is no Python."""
    if not likely(source, ""):
        return None
    try:
        tree = parsed(source)
    except FormatError as error:
        msg = f"seems to train a model, and is {error.message}"
        raise FormatError(msg) from error
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    if not any(_trains(node) for node in calls):
        return None
    names = _constants(tree)
    data: list[Named] = []
    held_back: list[Named] = []
    bases: list[Named] = []
    parameters: dict[str, Named] = {}
    for node in sorted(calls, key=lambda row: (row.lineno, row.col_offset)):
        for name in _data(node, names):
            held = _HELD_BACK.match(_text(_keyword(node, "split"), names) or name.rpartition("/")[2])
            (held_back if held else data).append(Named(clip(name, 200), node.lineno))
        bases += [Named(clip(name, 200), node.lineno) for name in _base(node, names)]
        for keyword in node.keywords:
            value = _literal(keyword.value, names)
            if keyword.arg in _PARAMETERS and value is not None:
                parameters.setdefault(str(keyword.arg), Named(clip(value, 200), node.lineno))
    some = dict(list(parameters.items())[:_MOST])
    return Training(tuple(data[:_MOST]), tuple(held_back[:_MOST]), tuple(bases[:_MOST]), some)


def _trains(node: ast.Call) -> bool:
    function = node.func
    if isinstance(function, ast.Attribute):
        if function.attr == "train":
            return isinstance(function.value, ast.Name) and function.value.id in _MODULES
        return function.attr in _FITS or _TRAINERS.fullmatch(function.attr) is not None
    return isinstance(function, ast.Name) and _TRAINERS.fullmatch(function.id) is not None


def _constants(tree: ast.Module) -> dict[str, ast.expr]:
    """Return the names that a module gives one literal, and never another."""
    found: dict[str, ast.expr] = {}
    often: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            name, value = node.targets[0].id, node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            name, value = node.target.id, node.value
        else:
            continue
        if name in found:
            often.add(name)
        found[name] = value
    return {name: value for name, value in found.items() if name not in often and isinstance(value, (ast.Constant, ast.UnaryOp))}


def _data(node: ast.Call, names: dict[str, ast.expr]) -> Iterator[str]:
    """Yield the names or paths of data that a call loads."""
    called, owner = _called(node)
    first = _text(node.args[0], names) if node.args else ""
    if called == "load_dataset":
        first = first or _text(_keyword(node, "path"), names)
        if first and first not in _BUILDERS:
            yield first
        else:
            yield from _texts(_keyword(node, "data_files"), names)
    elif called in _READERS or (called == "load" and owner in ("tfds", "tensorflow_datasets")):
        if first:
            yield first
    elif called == "load_data" and owner:
        yield owner  # keras.datasets.mnist.load_data()
    elif owner in ("datasets", "torchvision.datasets") and called[:1].isupper() and called not in ("Dataset", "DatasetDict"):
        yield called  # torchvision.datasets.CIFAR10(...)
    elif not node.args and (bundled := _BUNDLED.fullmatch(called)):
        yield bundled[1]  # sklearn.datasets.load_iris()


def _base(node: ast.Call, names: dict[str, ast.expr]) -> Iterator[str]:
    """Yield the model that a call starts from."""
    called, owner = _called(node)
    if called == "from_pretrained" and owner and _NO_MODEL.search(owner) is None:
        name = _text(node.args[0] if node.args else _keyword(node, "pretrained_model_name_or_path"), names)
    elif called in ("SentenceTransformer", "create_model"):
        name = _text(node.args[0], names) if node.args else ""
    else:
        return
    if name:
        yield name


def _called(node: ast.Call) -> tuple[str, str]:
    """Return the name of what is called and that of what it belongs to, the last part of it."""
    function = node.func
    if isinstance(function, ast.Name):
        return function.id, ""
    if isinstance(function, ast.Attribute):
        owner = function.value
        return function.attr, owner.id if isinstance(owner, ast.Name) else owner.attr if isinstance(owner, ast.Attribute) else ""
    return "", ""


def _keyword(node: ast.Call, name: str) -> ast.expr | None:
    return next((row.value for row in node.keywords if row.arg == name), None)


def _texts(node: ast.expr | None, names: dict[str, ast.expr]) -> Iterator[str]:
    rows = node.elts if isinstance(node, (ast.List, ast.Tuple)) else node.values if isinstance(node, ast.Dict) else [node]
    yield from filter(None, (_text(row, names) for row in rows[:_MOST]))


def _text(node: ast.expr | None, names: dict[str, ast.expr]) -> str:
    if isinstance(node, ast.Name):
        node = names.get(node.id)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _literal(node: ast.expr, names: dict[str, ast.expr]) -> str | None:
    """Return a number, a text, a truth value or a short list of them as text; None for anything else."""
    if isinstance(node, ast.Name):
        node = names.get(node.id, node)
    if isinstance(node, ast.Constant) and isinstance(node.value, (str, int, float)):
        return str(node.value).lower() if isinstance(node.value, bool) else str(node.value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
        inner = _literal(node.operand, names)
        return f"-{inner}" if inner is not None else None
    if isinstance(node, (ast.List, ast.Tuple)) and len(node.elts) <= 20:  # noqa: PLR2004 - a list of layers, not data
        rows = [_literal(row, {}) for row in node.elts]
        return ", ".join(str(row) for row in rows) if None not in rows else None
    return None
