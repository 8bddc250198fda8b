"""How bad each kind of behaviour of Python source is, by where it stands.

`SEVERITIES` gives the severity of a kind for four places: code that runs because a model is loaded (`load`), methods that a
framework calls on what it loaded (`serve`), code that runs when the file is imported or executed (`import`), and everything else
(`other`).
"""

from __future__ import annotations

from typing import Literal

from stannary.core.model import Severity

__all__ = ["RULES", "SEVERITIES", "Place"]

Place = Literal["load", "serve", "import", "other"]
_ORDER: tuple[Place, ...] = ("load", "serve", "import", "other")

#: kind → rule of single files
RULES = {
    "reverse-shell": "SRC001",
    "download-run": "SRC002",
    "decode-run": "SRC003",
    "hidden-call": "SRC004",
    "hidden-member": "SRC004",
    "hostile-command": "SRC005",
    "process": "SRC006",
    "process-unknown": "SRC006",
    "tool": "SRC007",
    "install": "SRC008",
    "code": "SRC009",
    "network": "SRC010",
    "steal": "SRC011",
    "secret-file": "SRC012",
    "persist": "SRC013",
    "destroy": "SRC014",
    "native": "SRC015",
    "native-file": "SRC015",
    "unsafe-load": "SRC016",
    "remote-load": "SRC017",
    "remote-odd": "SRC017",
    "remote-code": "SRC018",
    "foreign-code": "SRC018",
    "shellcode": "SRC019",
    "patch": "SRC025",
    "environment": "SRC026",
    "data-run": "SRC027",
    "native-foreign": "SRC015",
    "pickle-load": "SRC016",
    "fetched-load": "SRC016",
    "absent-load": "SRC016",
    "absent-module": "SRC009",
    "shell-unknown": "SRC006",
    "exec-unknown": "SRC009",
    "network-odd": "SRC010",
    "disturb": "SRC028",
    "tool-odd": "SRC006",
    "writes": "SRC029",
    "erase": "SRC030",
    "reset": "SRC030",
    "visitor-run": "SRC031",
}

_C: Severity = "critical"
_H: Severity = "high"
_M: Severity = "medium"
_L: Severity = "low"
_I: Severity = "info"
_TABLE: dict[str, tuple[Severity, Severity, Severity, Severity]] = {
    #                  load serve import other
    "reverse-shell":   (_C, _C, _C, _H),
    "download-run":    (_C, _C, _H, _H),
    "decode-run":      (_C, _H, _H, _H),
    "hidden-call":     (_H, _H, _H, _M),
    "hidden-member":   (_H, _L, _M, _I),
    "hostile-command": (_C, _H, _H, _H),
    "process":         (_C, _H, _M, _I),
    "process-unknown": (_H, _L, _I, _I),
    "tool":            (_L, _I, _I, _I),
    "install":         (_M, _L, _I, _I),
    "code":            (_M, _L, _I, _I),
    "network":         (_M, _I, _I, _I),
    "steal":           (_C, _C, _H, _M),
    "secret-file":     (_H, _H, _M, _I),
    "persist":         (_C, _C, _H, _I),
    "destroy":         (_C, _H, _H, _M),
    "native":          (_L, _I, _I, _I),
    "native-file":     (_M, _L, _L, _I),
    "patch":           (_M, _L, _L, _I),
    "unsafe-load":     (_L, _I, _I, _I),
    "remote-load":     (_H, _M, _M, _L),
    "remote-odd":      (_H, _H, _H, _M),
    "remote-code":     (_L, _I, _I, _I),
    "foreign-code":    (_M, _L, _L, _I),
    "shellcode":       (_C, _H, _H, _H),
    "environment":     (_H, _M, _M, _M),
    "data-run":        (_H, _M, _M, _I),
    "native-foreign":  (_H, _M, _M, _L),
    "pickle-load":     (_M, _I, _I, _I),
    "fetched-load":    (_M, _L, _L, _L),
    "absent-load":     (_M, _L, _L, _I),
    "absent-module":   (_M, _L, _L, _I),
    "shell-unknown":   (_H, _M, _I, _I),
    "exec-unknown":    (_M, _M, _L, _I),
    "network-odd":     (_M, _M, _M, _I),
    "disturb":         (_M, _L, _L, _I),
    "tool-odd":        (_M, _I, _I, _I),
    "writes":          (_M, _M, _I, _I),
    "erase":           (_H, _H, _M, _I),
    "reset":           (_M, _M, _L, _I),
    "visitor-run":     (_H, _H, _M, _M),
}  # fmt: skip
SEVERITIES: dict[str, dict[str, Severity]] = {kind: dict(zip(_ORDER, row, strict=True)) for kind, row in _TABLE.items()}
