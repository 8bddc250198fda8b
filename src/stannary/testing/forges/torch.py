"""Torch files: the zip of today, TorchScript, `.pt2`, the legacy stream and the legacy tar. Made by hand."""

from __future__ import annotations

import struct

from stannary.testing.forges.pickle import ECHO, PAYLOAD, register
from stannary.testing.forges.zip_writer import Item, build_zip
from stannary.testing.pickle_assembler import Assembler

__all__ = ["MAGIC", "legacy_stream", "state_dict", "torch_zip"]

MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY = "torch legacy magic / tar"
_MULTI = "multi-stream / torch legacy tail"
_SCRIPT = "NeMo/MAR/ptl/pt2"
_ZIP = "torch zip"
_BENIGN = "benign torch"


def _a(protocol: int = 2) -> Assembler:
    return Assembler(protocol)


def _g(module: str, name: str) -> Assembler:
    return Assembler(2).name(module, name)


def _storage(location: object = "cpu", kind: Assembler | None = None, key: object = "0") -> Assembler:
    return _a().push(("storage", kind or _g("torch", "FloatStorage"), key, location, 4)).op("BINPERSID")


def _tensor(storage: Assembler | None = None, hooks: Assembler | None = None) -> Assembler:
    return _a().call("torch._utils", "_rebuild_tensor_v2", storage or _storage(), 0, (2, 2), (2, 1), False, hooks or _a().call("collections", "OrderedDict"))


def state_dict(tensor: Assembler | None = None, extra: Assembler | None = None) -> bytes:
    """Return the pickle of a state dict with one tensor; `extra` is one more value."""
    out = _a().call("collections", "OrderedDict").op("MARK").push("weight").push(tensor or _tensor())
    if extra is not None:
        out.push("extra").push(extra)
    return out.op("SETITEMS").stop()


def torch_zip(data: bytes, *, root: str = "archive", storage: bytes = bytes(16), more: list[Item] | None = None) -> bytes:
    """Return a torch.save archive: stored members, 64-byte aligned storages."""
    items = [
        Item(f"{root}/data.pkl", data),
        Item(f"{root}/byteorder", b"little"),
        Item(f"{root}/data/0", storage, align=64),
        Item(f"{root}/version", b"3\n"),
        Item(f"{root}/.data/serialization_id", b"0636457737946401051300000025273995036293"),
    ]
    return build_zip(items + (more or []))


def legacy_stream(model: bytes, *, storage: bytes = bytes(16), keys: tuple[str, ...] = ("0",)) -> bytes:
    """Return a file as torch.save wrote before 1.6: magic, protocol, system info, model, keys, raw storages."""
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    parts = [_a().op("LONG1", MAGIC).stop(), _a().push(1001).stop(), _a().push(system).stop(), model, _a().push(list(keys)).stop()]
    return b"".join(parts) + b"".join(struct.pack("<q", len(storage) // 4) + storage for _ in keys)


def _legacy_model(tensor: bool = True, extra: Assembler | None = None) -> bytes:  # noqa: FBT001, FBT002 - a forge's switch
    storage = _a().push(("storage", _g("torch", "FloatStorage"), "0", "cpu", 4, None)).op("BINPERSID")
    return state_dict(_tensor(storage) if tensor else _a().push(1), extra)


_EVIL = _a().call("os", "system", ECHO)
_EVIL_DICT = state_dict(extra=_EVIL)

register("torch.state_dict", _BENIGN, lambda: torch_zip(state_dict()), filename="model.pt", malicious=False)
register("torch.parameter", _BENIGN, lambda: torch_zip(state_dict(_a().call("torch._utils", "_rebuild_parameter", _tensor(), True, _a().call("collections", "OrderedDict")))), filename="model.pt", malicious=False)
register("torch.legacy", _BENIGN, lambda: legacy_stream(_legacy_model()), filename="model.pth", malicious=False)
register("torch.torchscript", _BENIGN, lambda: _script("def forward(self, x: Tensor) -> Tensor:\n  return torch.add(x, x)\n"), filename="script.pt", malicious=False)
register("torch.module", _BENIGN, lambda: torch_zip(_module()), filename="module.pt", malicious=False)
register("torch.raw_storage_like_zlib", _BENIGN, lambda: torch_zip(state_dict(), storage=b"\x78\x9c\x01\x02" + bytes(12)), filename="model.pt", malicious=False)
register("torch.raw_storage_like_mz", _BENIGN, lambda: torch_zip(state_dict(), storage=b"MZ\x90\x00" + bytes(12)), filename="model.pt", malicious=False)


def _module() -> bytes:
    linear = _a().name("torch.nn.modules.linear", "Linear").push(()).op("NEWOBJ")
    return linear.push({"training": True, "in_features": 2, "out_features": 2, "_parameters": {"weight": _tensor()}, "_buffers": {}, "_modules": {}}).op("BUILD").stop()


# Payload in the pickle of an archive

register("torch.zip.system", _ZIP, lambda: torch_zip(PAYLOAD), filename="model.pt")
register("torch.zip.beside_tensor", _ZIP, lambda: torch_zip(_EVIL_DICT), filename="pytorch_model.bin")
register("torch.zip.location_call", _ZIP, lambda: torch_zip(state_dict(_tensor(_storage(location=_EVIL)))), filename="model.pt")
register("torch.zip.location_global", _ZIP, lambda: torch_zip(state_dict(_tensor(_storage(location=_g("os", "system"))))), filename="model.pt")
register("torch.zip.storage_type", _ZIP, lambda: torch_zip(state_dict(_tensor(_storage(kind=_g("os", "system"))))), filename="model.pt")
register("torch.zip.storage_key_call", _ZIP, lambda: torch_zip(state_dict(_tensor(_storage(key=_EVIL)))), filename="model.pt")
register("torch.zip.hooks", _ZIP, lambda: torch_zip(state_dict(_tensor(hooks=_a().call("collections", "OrderedDict").op("MARK").push(0).push(_g("os", "system")).op("SETITEMS")))), filename="model.pt")
register("torch.zip.rebuild_from_type", _ZIP, lambda: torch_zip(_a().call("torch._tensor", "_rebuild_from_type_v2", _g("os", "system"), _g("torch", "Tensor"), (ECHO,), {}).stop()), filename="model.pt")
register("torch.zip.parameter_state", _ZIP, lambda: torch_zip(_a().call("torch._utils", "_rebuild_parameter_with_state", _tensor(), True, _a().call("collections", "OrderedDict"), {"__class__": _g("os", "system")}).stop()), filename="model.pt")
register("torch.zip.device_call", _ZIP, lambda: torch_zip(_a().call("torch._utils", "_rebuild_device_tensor_from_numpy", _EVIL, _g("torch", "float32"), "cpu", False).stop()), filename="model.pt")
register("torch.zip.wrapper_subclass", _ZIP, lambda: torch_zip(_a().call("torch._utils", "_rebuild_wrapper_subclass", _g("subprocess", "Popen"), _g("torch", "float32"), (1,), (1,), 0, 0, "cpu", False).stop()), filename="model.pt")
register("torch.zip.module_hook", _ZIP, lambda: torch_zip(_a().name("torch.nn.modules.linear", "Linear").push(()).op("NEWOBJ").push({"_forward_hooks": {0: _g("os", "system")}, "_modules": {}}).op("BUILD").stop()), filename="model.pt")
register("torch.zip.module_forward", _ZIP, lambda: torch_zip(_a().name("torch.nn.modules.linear", "Linear").push(()).op("NEWOBJ").push({"forward": _g("os", "system"), "_modules": {}}).op("BUILD").stop()), filename="model.pt")
register("torch.zip.second_pickle", _ZIP, lambda: torch_zip(state_dict(), more=[Item("archive/extra.pkl", PAYLOAD)]), filename="model.pt")
register("torch.zip.storage_is_pickle", _ZIP, lambda: torch_zip(state_dict(), storage=PAYLOAD), filename="model.pt")
register("torch.zip.deflated", _ZIP, lambda: build_zip([Item("archive/data.pkl", PAYLOAD, method=8), Item("archive/version", b"3\n", method=8), Item("archive/byteorder", b"little")]), filename="model.pt")
register("torch.zip.other_root", _ZIP, lambda: torch_zip(PAYLOAD, root="weights.v2"), filename="model.safetensors")
register("torch.zip.renamed_bin", _ZIP, lambda: torch_zip(_EVIL_DICT), filename="model.onnx")
register("torch.zip.after_stop", _ZIP, lambda: torch_zip(state_dict() + PAYLOAD), filename="model.pt")
register("torch.zip.broken_tail", _ZIP, lambda: torch_zip(_a().call("os", "system", ECHO).raw(b"\xff").content()), filename="model.pt")

# Legacy stream and tar

register("torch.legacy_payload_model", _LEGACY, lambda: legacy_stream(_legacy_model(extra=_EVIL)), filename="model.pth")
register("torch.legacy_payload_first", _LEGACY, lambda: PAYLOAD + legacy_stream(_legacy_model()), filename="model.pth")
register("torch.legacy_payload_magic", _LEGACY, lambda: _a().call("os", "system", ECHO).op("POP").op("LONG1", MAGIC).stop() + legacy_stream(_legacy_model())[15:], filename="model.pth")
register("torch.legacy_payload_protocol", _LEGACY, lambda: _a().op("LONG1", MAGIC).stop() + _a().call("os", "system", ECHO).op("POP").push(1001).stop() + _a().push({}).stop() + _legacy_model() + _a().push(["0"]).stop(), filename="model.pth")
register("torch.legacy_payload_system", _LEGACY, lambda: _a().op("LONG1", MAGIC).stop() + _a().push(1001).stop() + _EVIL_DICT + _legacy_model() + _a().push([]).stop(), filename="model.pth")
register("torch.legacy_payload_keys", _LEGACY, lambda: _a().op("LONG1", MAGIC).stop() + _a().push(1001).stop() + _a().push({}).stop() + _legacy_model() + _a().push([_EVIL]).stop(), filename="model.pth")
register("torch.legacy_tail", _MULTI, lambda: legacy_stream(_legacy_model()) + PAYLOAD, filename="model.pth")
register("torch.legacy_tail_no_storages", _MULTI, lambda: legacy_stream(_legacy_model(tensor=False), keys=()) + PAYLOAD, filename="model.pth")
register("torch.legacy_source", _LEGACY, lambda: legacy_stream(_a().push(("module", _g("torch.nn.modules.linear", "Linear"), "m.py", "import os\nos.system('echo stannary')\n")).op("BINPERSID").stop()), filename="model.pth", malicious=None)
register("torch.legacy_magic_text", _LEGACY, lambda: b"L119547037146038801333356L\n." + _a().push(1001).stop() + _a().push({}).stop() + _EVIL_DICT + _a().push([]).stop(), filename="model.pth")


def _script(code: str, *, constants: bytes | None = None, more: list[Item] | None = None, data: bytes | None = None) -> bytes:
    model = _a().name("__torch__", "M").push(()).op("NEWOBJ").push({"training": False}).op("BUILD").stop()
    items = [
        Item("script/data.pkl", data or model),
        Item("script/code/__torch__.py", f"class M(Module):\n  __parameters__ = []\n  training : bool\n  {code}".encode(), method=8),
        Item("script/code/__torch__.py.debug_pkl", _a().push((("x", 0, 1),)).stop(), method=8),
        Item("script/constants.pkl", constants or _a().push(()).stop()),
        Item("script/version", b"3\n"),
    ]
    return build_zip(items + (more or []))


_FORWARD = "def forward(self, x: Tensor) -> Tensor:\n    "
register("torch.script_payload", _SCRIPT, lambda: _script(_FORWARD + "return x\n", data=PAYLOAD), filename="script.ptl")
register("torch.script_constants", _SCRIPT, lambda: _script(_FORWARD + "return x\n", constants=PAYLOAD), filename="script.pt")
register("torch.script_from_file", _SCRIPT, lambda: _script(_FORWARD + 'return torch.from_file("/nonexistent/stannary", True, 16)\n'), filename="script.pt")
register("torch.script_endless", _SCRIPT, lambda: _script(_FORWARD + "while True:\n      x = x\n    return x\n"), filename="script.pt")
register("torch.script_endless_serialized", _SCRIPT, lambda: _script(_FORWARD + "_0 = True\n    x0 = x\n    while _0:\n      _0, x0, = True, torch.add(x0, 1)\n    return x0\n"), filename="script.pt")
register("torch.script_huge", _SCRIPT, lambda: _script(_FORWARD + "return torch.zeros([99999999, 99999999], dtype=6)\n"), filename="script.pt")
register("torch.script_loop", _BENIGN, lambda: _script(_FORWARD + "_0 = True\n    x0, n = x, 0\n    while _0:\n      n = torch.add(n, 1)\n      _0, x0, = torch.lt(n, 5), torch.add(x0, 1)\n    return torch.add(x0, torch.zeros([4096, 4096]))\n"), filename="script.pt", malicious=False)
register("torch.script_save", _SCRIPT, lambda: _script(_FORWARD + 'ops.aten.save(x, "/nonexistent/stannary")\n    return x\n'), filename="script.pt")
register("torch.script_custom_op", _SCRIPT, lambda: _script(_FORWARD + 'return ops.evilns.run_shell("echo stannary")\n'), filename="script.pt", malicious=None)
register("torch.script_write_file", _SCRIPT, lambda: _script(_FORWARD + 'ops.image.write_file("/nonexistent/stannary", x)\n    return x\n'), filename="script.pt")
register("torch.script_read_file", _SCRIPT, lambda: _script(_FORWARD + 'return ops.image.read_file("/nonexistent/stannary")\n'), filename="script.pt")
register("torch.script_decode", _BENIGN, lambda: _script(_FORWARD + "return ops.image.decode_png(x, 0)\n"), filename="script.pt", malicious=False)
register("torch.script_import", _SCRIPT, lambda: _script("import os\n" + _FORWARD + "return x\n"), filename="script.pt")
register("torch.script_python_op", _SCRIPT, lambda: _script(_FORWARD + 'return ^Run("echo stannary")(x)\n'), filename="script.pt")
register("torch.script_debug_pkl", _SCRIPT, lambda: _script(_FORWARD + "return x\n", more=[Item("script/code/__torch__/m.py.debug_pkl", PAYLOAD)]), filename="script.pt")
register("torch.script_extra_pickle", _SCRIPT, lambda: _script(_FORWARD + "return x\n", more=[Item("script/extra/a.pkl", PAYLOAD)]), filename="script.pt")
register("torch.pt2_aotinductor", _SCRIPT, lambda: build_zip([Item("m/archive_format", b"pt2"), Item("m/archive_version", b"0"), Item("m/data/aotinductor/model/model.so", b"\x7fELF\x02\x01\x01" + bytes(200)), Item("m/version", b"6")]), filename="model.pt2")
register("torch.pt2_sample_inputs", _SCRIPT, lambda: build_zip([Item("m/archive_format", b"pt2"), Item("m/archive_version", b"0"), Item("m/data/sample_inputs/model.pt", torch_zip(PAYLOAD)), Item("m/models/model.json", b"{}")]), filename="model.pt2")
register("torch.pt2_weights_pickle", _SCRIPT, lambda: build_zip([Item("m/archive_format", b"pt2"), Item("m/data/weights/weight_0", PAYLOAD), Item("m/models/model.json", b"{}")]), filename="model.pt2")
register("torch.package_code", _SCRIPT, lambda: build_zip([Item("p/.data/extern_modules", b"os\n"), Item("p/.data/version", b"6"), Item("p/m/__init__.py", b"import os\nos.system('echo stannary')\n"), Item("p/m/model.pkl", _a().push({}).stop())]), filename="package.pt")
register("torch.package_pickle", _SCRIPT, lambda: build_zip([Item("p/.data/extern_modules", b"os\n"), Item("p/.data/version", b"6"), Item("p/m/__init__.py", b""), Item("p/m/model.pkl", PAYLOAD)]), filename="package.pt")
register("torch.mar_handler", _SCRIPT, lambda: build_zip([Item("MAR-INF/MANIFEST.json", b'{"runtime": "python", "model": {"modelName": "m", "handler": "handler.py", "serializedFile": "m.pt"}}'), Item("handler.py", b"import os\nos.system('echo stannary')\n"), Item("m.pt", torch_zip(state_dict()))]), filename="model.mar")
register("torch.mar_model", _SCRIPT, lambda: build_zip([Item("MAR-INF/MANIFEST.json", b'{"runtime": "python", "model": {"modelName": "m", "handler": "image_classifier", "serializedFile": "m.pt"}}'), Item("m.pt", torch_zip(PAYLOAD))]), filename="model.mar")
