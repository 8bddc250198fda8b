"""Generate the names that real Keras configurations hold, from wheels, by syntax tree alone.

    pip download --no-deps -d WHEELS keras==3.15.1 keras==2.15.0 tf_keras keras-hub ...
    python tools/keras_names.py WHEELS > src/stannary/checks/static/data/keras_names.txt

Nothing is imported or run. A line is `class NAME` or `function NAME`: classes of the packages'
modelling modules (layers, models, optimizers, losses, ...), and functions a configuration may name
(activations, losses, metrics, initializers, operations). Modules for files, saving, callbacks and
other things with effects are left out on purpose: a configuration that names them is a finding.
"""

from __future__ import annotations

import ast
import re
import sys
import zipfile
from pathlib import Path, PurePosixPath

_MODELLING = frozenset(
    [
        "layers",
        "models",
        "optimizers",
        "optimizer_v1",
        "optimizer_v2",
        "losses",
        "metrics",
        "initializers",
        "regularizers",
        "constraints",
        "dtype_policies",
        "quantizers",
        "activations",
        "ops",
        "random",
        "applications",
        "mixed_precision",
        "engine",
        "legacy",
        "feature_column",
        "premade",
        "premade_models",
        "legacy_tf_layers",
        "integration",
        "distillation",
        "samplers",
        "tokenizers",
        "bounding_box",
        "bounding_box_3d",
        "keypoint",
        "rnn",
        "seq2seq",
        "text",
        "image",
        "image_ops",
        "modeling",
        "qlayers",
        "qtools",
        "experimental",
        "distributions",
        "bijectors",
        "tasks",
        "factorization_top_k",
        "vision",
        "nlp",
        "recommendation",
        "projects",
        "keras_layer",
        "sparsity",
        "quantization",
        "quantize_layer",
        "quantize_wrapper",
    ]
)
_FUNCTIONS = frozenset(["activations", "losses", "metrics", "initializers", "ops", "random", "regularizers", "constraints"])
_SKIPPED = re.compile(
    r"(^|/)(tests?|testing|_?conftest|utils?|saving|callbacks|datasets?|trainers?|export|wrappers|examples|benchmarks|tools)(/|\.py$|$)|_test\.py$|test_util"
)
_ROOTS = frozenset(
    [
        "keras",
        "tf_keras",
        "keras_hub",
        "keras_nlp",
        "keras_cv",
        "keras_rs",
        "tensorflow_addons",
        "tensorflow_hub",
        "tensorflow_probability",
        "tensorflow_recommenders",
        "tensorflow_text",
        "tensorflow_model_optimization",
        "qkeras",
        "spektral",
        "tcn",
        "segmentation_models",
        "efficientnet",
        "vit_keras",
        "official",
        "keras_cv_attention_models",
    ]
)
_WHOLE = _ROOTS - {"keras", "tf_keras"}  # add-ons: every class outside of the skipped folders
_NOT_DATA = frozenset(
    {
        "Lambda",
        "TorchModuleWrapper",
        "TFSMLayer",
        "JaxLayer",
        "FlaxLayer",
        "TFOpLambda",
        "SlicingOpLambda",
        "ClassMethod",
        "InstanceMethod",
        "InstanceProperty",
    }
)
_ALWAYS = ("Functional", "Sequential", "Model", "Variable", "SeedGenerator", "KerasVariable", "DTypePolicyMap", "CategoryEncoding")


def _wanted(path: str) -> tuple[bool, bool]:
    """Tell whether classes and functions of a module count."""
    parts = PurePosixPath(path).with_suffix("").parts
    if not parts or parts[0] not in _ROOTS or _SKIPPED.search(path):
        return False, False
    inner = {p for p in parts[1:] if p not in {"src", "api", "_tf_keras", "keras", "python"}}
    classes = parts[0] in _WHOLE or bool(inner & _MODELLING)
    return classes, bool(inner & _FUNCTIONS) and parts[0] in {"keras", "tf_keras"}


def names(wheel: Path) -> set[str]:
    """Return the lines for one wheel."""
    found: set[str] = set()
    with zipfile.ZipFile(wheel) as archive:
        for path in archive.namelist():
            classes, functions = _wanted(path) if path.endswith(".py") else (False, False)
            if not classes:
                continue
            for node in ast.parse(archive.read(path)).body:
                if isinstance(node, ast.ClassDef) and node.name not in _NOT_DATA and not node.name.endswith(("Test", "Tests")):
                    found.add(f"class {node.name}")
                elif functions and isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                    found.add(f"function {node.name}")
                elif isinstance(node, ast.Assign) and isinstance(
                    node.value, (ast.Name, ast.Attribute)
                ):  # aliases: MSE = mse = mean_squared_error
                    for target in node.targets:
                        if not isinstance(target, ast.Name) or target.id.startswith("_") or target.id in _NOT_DATA:
                            continue
                        if functions and target.id[0].islower():
                            found.add(f"function {target.id}")
                        elif target.id[0].isupper():
                            found.add(f"class {target.id}")
    return found


def main() -> None:
    """Print the sorted union over all wheels of the folder."""
    wheels = sorted(Path(sys.argv[1]).glob("*.whl"))
    always = {f"class {name}" for name in _ALWAYS} | {"function preprocess_input", "function l2_normalize"}
    lines = always.union(*(names(wheel) for wheel in wheels))
    effects = {
        "get",
        "deserialize_keras_object",
        "serialize_keras_object",
        "custom_object_scope",
        "serialize",
        "deserialize",
        "get_file",
        "load_model",
        "save_model",
        "load_weights",
        "load_img",
        "save_img",
    }
    lines -= {f"function {name}" for name in effects}
    print("# Generated by tools/keras_names.py; do not edit.")
    for wheel in wheels:
        print("#", "-".join(wheel.name.split("-")[:2]))
    print("\n".join(sorted(lines)))


main()
