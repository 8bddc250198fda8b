"""The shipped knowledge of names: its shape, its size, and what must and must not be in it."""

from __future__ import annotations

import json
import re
from importlib import resources

import pytest

from stannary.checks.static.knowledge import load

RAW = resources.files("stannary.checks.static").joinpath("data", "knowledge.json").read_bytes()
DATA = json.loads(RAW)
ROLES = {"c", "k", "r", "f", "s"}
NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*\Z")

EXPECTED = [
    ("sklearn.linear_model._logistic", "LogisticRegression", "ck"),
    ("sklearn.linear_model.logistic", "LogisticRegression", "ck"),
    ("sklearn.tree._tree", "Tree", "k"),
    ("sklearn.ensemble._forest", "RandomForestClassifier", "ck"),
    ("sklearn.metrics._classification", "f1_score", "f"),
    ("numpy", "ndarray", "k"),
    ("numpy", "dtype", "k"),
    ("numpy", "float64", "k"),
    ("numpy", "log1p", "f"),
    ("numpy.core.multiarray", "_reconstruct", "r"),
    ("numpy._core.multiarray", "scalar", "r"),
    ("numpy.random._pickle", "__randomstate_ctor", "r"),
    ("pandas.core.frame", "DataFrame", "ck"),
    ("pandas", "DataFrame", "ck"),
    ("pandas.core.internals.managers", "BlockManager", "ck"),
    ("pandas._libs.internals", "_unpickle_block", "r"),
    ("pandas.core.indexes.base", "_new_Index", "r"),
    ("torch._utils", "_rebuild_tensor_v2", "r"),
    ("torch", "FloatStorage", "ck"),
    ("torch.nn.modules.linear", "Linear", "ck"),
    ("torch.nn.functional", "relu", "f"),
    ("torch.optim.adamw", "AdamW", "ck"),
    ("transformers.training_args", "TrainingArguments", "ck"),
    ("transformers.trainer_utils", "IntervalStrategy", "k"),
    ("joblib.numpy_pickle", "NumpyArrayWrapper", "ck"),
    ("sklearn.externals.joblib.numpy_pickle", "NumpyArrayWrapper", "ck"),
    ("xgboost.sklearn", "XGBClassifier", "ck"),
    ("xgboost.core", "Booster", "ck"),
    ("lightgbm.sklearn", "LGBMClassifier", "ck"),
    ("catboost.core", "CatBoostClassifier", "ck"),
    ("scipy.sparse._csr", "csr_matrix", "ck"),
    ("scipy.special._ufuncs", "expit", "f"),
]

# Each of these runs code, reads or writes files, or loads something when it is called or filled.
FORBIDDEN = [
    ("numpy", "load"),
    ("numpy", "fromfile"),
    ("numpy", "savetxt"),
    ("numpy", "apply_along_axis"),
    ("numpy.testing._private.utils", "runstring"),
    ("numpy.f2py.crackfortran", "getlincoef"),
    ("numpy.ctypeslib", "load_library"),
    ("numpy.lib._datasource", "DataSource"),
    ("pandas.io.pickle", "read_pickle"),
    ("pandas.io.parsers.readers", "read_csv"),
    ("pandas.core.computation.eval", "eval"),
    ("torch", "load"),
    ("torch", "save"),
    ("torch.serialization", "load"),
    ("torch.hub", "load"),
    ("torch.jit._serialization", "load"),
    ("torch.utils.collect_env", "run"),
    ("torch.fx.graph_module", "reduce_graph_module"),
    ("torch.fx.graph_module", "GraphModule"),
    ("torch._dynamo.guards", "GuardBuilder.get"),
    ("joblib.numpy_pickle", "load"),
    ("joblib.memory", "MemorizedFunc"),
    ("joblib._memmapping_reducer", "_strided_from_memmap"),
    ("scipy.io._netcdf", "netcdf_file"),
    ("sympy.core.add", "Add"),
    ("sympy.core.sympify", "sympify"),
    ("keras.src.models.model", "model_from_json"),
    ("transformers.dynamic_module_utils", "get_class_from_dynamic_module"),
    ("dill._dill", "loads"),
    ("subprocess", "Popen"),
    ("os", "system"),
]


@pytest.mark.parametrize("module, name, roles", EXPECTED)
def test_real_names_have_their_role(module: str, name: str, roles: str) -> None:
    given = load().role(module, name)
    assert given, f"{module}.{name} is not known"
    assert given in roles


@pytest.mark.parametrize("module, name", FORBIDDEN)
def test_dangerous_names_have_no_role(module: str, name: str) -> None:
    assert load().role(module, name) == ""


def test_a_cache_that_estimators_keep_may_be_filled_and_never_called() -> None:
    assert load().role("joblib.memory", "Memory") == "c"


def test_shape_and_size() -> None:
    assert DATA["version"] == 1
    assert len(RAW) <= 2_700_000, "it is read when a pickle is judged"
    assert set(DATA["modules"]) <= {m for m in DATA["modules"] if NAME.match(m)}
    assert {role for roles in DATA["modules"].values() for role in roles} <= ROLES


def test_each_name_has_one_role_and_is_an_identifier() -> None:
    wrong = []
    for module, roles in DATA["modules"].items():
        names = [name for value in roles.values() for name in value.split()]
        if len(names) != len(set(names)):
            wrong.append(f"{module}: a name with two roles")
        wrong += [f"{module}.{name}" for name in names if not NAME.match(name)]
    assert wrong == []


def test_every_module_belongs_to_a_package_or_is_a_known_alias() -> None:
    tops = {m.partition(".")[0] for m in DATA["modules"]} - set(DATA["packages"])
    # `_loss`, `mtrand`: what compiled modules call themselves; the others are parts of a listed distribution.
    assert {"sklearn", "numpy", "torch", "pandas", "xgboost"} <= set(DATA["packages"])
    assert not {"os", "sys", "subprocess", "builtins", "socket", "shutil", "ctypes", "pickle"} & (tops | set(DATA["packages"]))


def test_standard_library_names_are_of_all_versions() -> None:
    names = set(DATA["stdlib"])
    assert {"imp", "distutils", "asyncore", "tomllib", "zoneinfo", "os", "subprocess", "compression"} <= names
    assert not {"numpy", "torch"} & names
