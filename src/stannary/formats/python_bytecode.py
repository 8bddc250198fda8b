"""Compiled Python (`.pyc`): what the code does, its names and constants, without loading anything.

Format: CPython `Lib/importlib/_bootstrap_external.py` (magic numbers, headers of 8, 12 or 16 bytes). The code is followed by
`python_compiled.py`; where it does not add up, and of Python before 3.6, its names are all there is (`marshal_code.py`).
"""

from __future__ import annotations

from stannary.core.errors import FormatError
from stannary.formats.embedded_text import note_code
from stannary.formats.interface import Sink, View, clip
from stannary.formats.marshal_code import CodeNames, read_marshal
from stannary.formats.python_compiled import follow_module

__all__ = ["CodeNames", "probe", "probe_marshalled", "read", "read_marshal", "read_marshalled"]

# (first magic number, last, layout, bytes of header): importlib's history of MAGIC_NUMBER.
_VERSIONS = (
    (62131, 62220, "2.7", 8), (3000, 3131, "", 8), (3150, 3189, "", 12), (3190, 3230, "", 12), (3250, 3379, "3.6", 12),
    (3390, 3399, "3.6", 16), (3400, 3439, "3.8", 16), (3450, 3499, "3.11", 16), (3500, 3549, "3.11", 16), (3550, 3599, "3.11", 16),
    (3600, 3649, "3.11", 16), (3650, 3699, "3.11", 16),
)  # fmt: skip
_MAX_SIZE = 64 << 20
_MAX_CODE = 20_000
_MAX_LIST = 400


def probe(view: View) -> bool:
    """Tell whether a known magic number, its line end, and a marshalled code object are here."""
    head = view.head(17)
    version = _version(head)
    if version is None or len(head) < version[1] + 1:
        return False
    return head[version[1]] in b"\xe3\x63"


def probe_marshalled(view: View) -> bool:
    """Tell whether a marshalled code object begins here: its type, and three small counts of arguments."""
    head = view.head(13)
    return len(head) == 13 and head[:1] in (b"\xe3", b"c") and head[2:5] == head[6:9] == head[10:13] == bytes(3)


def read_marshalled(view: View, sink: Sink) -> None:
    """Report code that `marshal.dumps` wrote, without the header of a compiled file. Raises FormatError."""
    if len(view) > _MAX_SIZE:
        msg = f"marshalled code of {len(view)} bytes"
        raise FormatError(msg, 0)
    report(read_marshal(view.bytes(0, len(view)))[0], sink, 0)


def read(view: View, sink: Sink) -> None:
    """Report every code object with its names, texts and code-like constants.

    Raises FormatError for unknown versions or broken code.
    """
    version = _version(view.head(4))
    if version is None:
        msg = f"unknown magic number {view.head(4).hex()}"
        raise FormatError(msg, 0)
    layout, header = version
    if len(view) > _MAX_SIZE:
        msg = f"compiled code of {len(view)} bytes"
        raise FormatError(msg, 0)
    code, end = read_marshal(view.bytes(header, len(view) - header), layout)
    magic = int.from_bytes(view.bytes(0, 2), "little")
    sink.fact("pyc.header", 0, magic=magic, layout=code.layout, source=clip(code.filename), name=clip(code.name))
    report(code, sink, magic)
    rest = view.data[header + end :]
    if len(rest):
        sink.fact("pyc.trailing", header + end, size=len(rest))
        sink.child("trailing", rest, offset=header + end)


def report(code: CodeNames, sink: Sink, magic: int) -> None:
    """Report code objects, outermost first: `top` is what runs when the module is imported."""
    account = follow_module(code.body, magic, sink) if code.body is not None else None
    called = dict.fromkeys((_short(name), where, top) for name, where, top in account.calls) if account else {}
    referred = {_short(name) for name in account.touched} - {name for name, _, _ in called} if account else set()
    for name, where, top in called:
        sink.fact("pyc.call", None, name=clip(name), code=clip(where, 80), top=top)
    for name in sorted(referred & _TELLING):  # through another module, or as a value that somebody calls
        sink.fact("pyc.call", None, name=name, code=clip(code.name, 80), top=set(name.split(".")) <= set(code.names))
    own = {item.name for item in code.walk()} if account else set()
    for index, item in enumerate(code.walk()):
        if index >= _MAX_CODE:
            sink.incomplete(f"more than {_MAX_CODE} code objects")
            return
        names = set(item.names)
        sink.fact(
            "pyc.code",
            None,
            name=clip(item.name, 80),
            top=index == 0,
            names=[clip(n, 80) for n in item.names[:_MAX_LIST]],
            count=len(item.names),
        )
        for module, call in _pairs(names):
            if account and (call in account.words or (call == "eval" and call in own)):
                continue  # what is done with the name was seen, or it is a method of the module's own
            sink.fact("pyc.call", None, name=f"{module}.{call}" if module else call, code=clip(item.name, 80), top=index == 0)
        for text in item.consts[:_MAX_LIST]:
            if len(text) >= 12:
                note_code(sink, clip(item.name, 80), text)


_CALLS = {
    "os": "system popen execv execve execvp execl execlp spawnl spawnv posix_spawn startfile fork kill",
    "posix": "system popen execv",
    "nt": "system popen startfile",
    "subprocess": "run Popen call check_call check_output getoutput getstatusoutput",
    "pty": "spawn",
    "ctypes": "CDLL WinDLL windll cdll LoadLibrary",
    "socket": "connect create_connection",
    "pickle": "loads load",
    "marshal": "loads",
    "requests": "get post",
    "urllib": "urlopen urlretrieve",
    "shutil": "rmtree",
    "runpy": "run_path run_module",
    "importlib": "import_module",
    "base64": "b64decode",
}
_TELLING = frozenset(f"{module}.{call}" for module, calls in _CALLS.items() for call in calls.split())
_ALONE = ("exec", "eval", "compile", "__import__", "__builtins__", "getattr")
_DECODERS = frozenset(
    {"b64decode", "a85decode", "b85decode", "decompress", "fromhex", "unhexlify", "loads", "urlopen", "decodebytes"}
)


def _pairs(names: set[str]) -> list[tuple[str, str]]:
    """Return the (module, function) pairs that the names of one code object can form."""
    found = [(module, call) for module, calls in _CALLS.items() if module in names for call in calls.split() if call in names]
    found += [("", name) for name in _ALONE if name in names]
    if names & {"exec", "eval"} and names & _DECODERS:
        found.append(("", "exec of decoded data"))
    return found


def _short(name: str) -> str:
    """Return `urllib.urlopen` for `urllib.request.urlopen`, `os.system` for `random._os.system`: what the names alone would say."""
    *path, last = name.split(".")
    modules = (part.lstrip("_").removesuffix("()") for part in reversed(path))
    return next((f"{module}.{last}" for module in modules if last in _CALLS.get(module, "").split()), name)


def _version(head: bytes) -> tuple[str, int] | None:
    if len(head) < 4 or head[2:4] != b"\r\n":
        return None
    magic = int.from_bytes(head[:2], "little")
    return next(((layout, header) for low, high, layout, header in _VERSIONS if low <= magic <= high), None)
