"""What one call in Python source does.

`behaviour` turns a `python.call` fact into a kind of behaviour; how bad that is where it stands is in `python_kinds`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from stannary.checks.static.judges.addresses import doubtful_address, hostile_address
from stannary.checks.static.judges.danger import danger_of
from stannary.checks.static.judges.python_effects import effect, is_odd_tool, odd_address
from stannary.checks.static.judges.python_outside import data_run, environment, is_fetched, reaches, sends_token, text_run
from stannary.checks.static.judges.python_own import erases, resets, runs_sent
from stannary.checks.static.judges.shell import HOSTILE, classify
from stannary.checks.static.judges.word_sets import contains_any, words
from stannary.formats.python_folding import NUMBERS

__all__ = ["Behaviour", "behaviour"]

_REPOSITORY = re.compile(r"([A-Za-z0-9][\w.-]*)/[A-Za-z0-9][\w.-]*(?::[\w./-]+)?")
_SHELLS = ("/bin/sh", "/bin/bash", "sh -i", "bash -i", "cmd.exe", "powershell", "/bin/zsh")
_SENDERS = (
    "requests.",
    "webbrowser.open",
    "urllib.request.",
    "httpx.",
    "socket.socket().send",
    "http.client.",
    "aiohttp.",
    "smtplib.",
    "urllib3.",
    "urllib2.",
    "ftplib.",
    "paramiko.",
    "websocket",
)
_SHELLCODE = ("VirtualAlloc", "CreateRemoteThread", "WriteProcessMemory", "RtlMoveMemory", "memfd_create", "mprotect")
_NATIVE = (
    "ctypes.CDLL",
    "ctypes.cdll.",
    "ctypes.PyDLL",
    "ctypes.WinDLL",
    "ctypes.windll",
    "cffi.FFI().dlopen",
    "torch.ops.load_library",
    "torch.classes.load_library",
    "tensorflow.load_op_library",
    "torch.utils.cpp_extension.load",
    "numpy.ctypeslib.load_library",
)
_SYSTEM = ("/usr/lib", "/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/lib", "/lib/", "/bin/", "/sbin/", "C:\\Windows")
_LISTENS = ("pynput.keyboard.Listener", "pynput.mouse.Listener", "keyboard.hook", "keyboard.on_press", "keyboard.record")
_FOREIGN = ("/tmp/", "/var/tmp/", "/dev/shm/", "\\\\", "//")  # noqa: S108 - texts: where anybody can put a library
_RESOLVERS = frozenset({"socket.gethostbyname", "socket.gethostbyname_ex", "socket.getaddrinfo", "dns.resolver.resolve"})
_WHO = frozenset({"platform.node", "getpass.getuser", "socket.gethostname", "os.getlogin", "os.uname"})
_HOOKS = frozenset(f"sys.{where}.{how}" for where in ("meta_path", "path_hooks") for how in ("insert", "append", "extend"))
# Members of frames and functions through which built-ins are reached without being named.
_LOOK_UP = frozenset({"__import__", "importlib.import_module", "getattr", "importlib.__import__"})
_HIDDEN_NAMES = frozenset({
    "os", "posix", "nt", "subprocess", "pty", "ctypes", "builtins", "socket", "marshal", "pickle", "importlib", "commands",
    "system", "popen", "Popen", "exec", "eval", "execv", "execve", "spawnl", "spawnv", "check_output", "getoutput", "loads",
    "__import__", "__builtins__", "__subclasses__", "__globals__",
})  # fmt: skip
_INNER = re.compile(r"\b(?:f_builtins|f_globals|__builtins__|__globals__)\[|^<function>\.__\w+__")
_TEMPLATE_INNER = re.compile(r"__(?:globals|builtins|class|subclasses|mro|init|import|base)__")
_NATIVE_CALL = re.compile(r"\b(?:system|popen|exec[lv]p?e?|posix_spawn|dlopen|fork|CreateProcess\w*|WinExec|ShellExecute\w*)\s*\(")
_AUTOSTART = re.compile(r"CurrentVersion\\+Run|Winlogon|Image File Execution Options", re.IGNORECASE)
_UNKNOWN_MEMBERS = frozenset({"os.<?>", "subprocess.<?>", "posix.<?>", "nt.<?>", "builtins.<?>", "__builtins__.<?>", "pty.<?>"})
_HANDED = frozenset({"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "commands.getoutput"})
_BUILDERS = frozenset({"types.FunctionType", "types.CodeType"})
_WRITES = ("write", "writelines", "write_text", "write_bytes")
_INSTALL = (
    "pip.main",
    "pip._internal.main",
    "pip._internal.cli.main.main",
    "setuptools.command.easy_install.main",
    "ensurepip.bootstrap",
)


class Behaviour(NamedTuple):
    """A kind of behaviour and a sentence part that says what is done."""

    kind: str
    what: str


class _Call(NamedTuple):
    name: str
    args: list[str]
    text: str
    origins: frozenset[str]
    data: Mapping[str, Any]


def behaviour(call: Mapping[str, Any]) -> Behaviour | None:
    """Return the worst behaviour that one call shows, or None when it shows none."""
    name: str = call["name"]
    args: list[str] = call["args"]
    origins: frozenset[str] = frozenset(call["origins"])
    text = " ".join([*args, *call["keywords"].values()])
    base = name.removesuffix(".__call__")
    call_of = _Call(base, args, text, origins, call)
    for test in _TESTS:
        found = test(call_of)
        if found is not None:
            return found
    for reference in call["refs"]:
        if reference in words("python_process") and base not in {"getattr", "isinstance", "print"}:
            mark = f"<{reference}>"
            given = args[args.index(mark) + 1 :] if mark in args else args  # what is before the function is not for it
            handed = " ".join(a for a in [*given, *call["keywords"].values()] if a != mark)
            return _command(reference, handed, call)
    return None


def _own(c: _Call) -> Behaviour | None:
    """What a source does to itself, and with what the visitors of its page send."""
    if erased := erases(c.name, c.args, c.data):
        return Behaviour("erase", erased)
    if replaced := resets(c.name, c.args, c.data):
        return Behaviour("reset", replaced)
    ran = runs_sent(c.name, c.args, c.data)
    return Behaviour("visitor-run", ran) if ran else None


def _effect(c: _Call) -> Behaviour | None:
    found = effect(c.name, c.args, c.origins, c.data["keywords"], c.data["of"])
    return Behaviour(*found) if found else None


def _process(c: _Call) -> Behaviour | None:
    name, args, text, origins, call = c
    if name in _INSTALL:
        return Behaviour("hostile-command" if hostile_address(text) else "install", f"{name}({text[:80]})")
    if name in {"os.dup2", "os.dup"} and any(o.startswith("socket.") for o in origins):
        return Behaviour("reverse-shell", "connects a socket to the standard streams")
    if name in _UNKNOWN_MEMBERS:
        return Behaviour("hidden-member", f"calls a member of {name[:-4]} whose name is put together at run time")
    if name not in words("python_process"):
        return None
    through = " ".join(origins)
    # The number of a free port comes from a socket too, and is handed to many commands.
    connected = "socket." in through and "getsockname" not in through and "gethost" not in through
    if connected and ("recv" in through or any(shell in text for shell in _SHELLS)):
        return Behaviour("reverse-shell", f"{name} runs what comes from a socket")
    command = args[-1] if name.startswith("os.spawn") and args else args[0] if args else text
    if _from_network(origins) and (
        command.startswith("<") or command.split(" ")[0].rsplit("/", 1)[-1] in {"sh", "bash", "chmod", "python", "python3"}
    ):
        return Behaviour("download-run", f"{name} runs what was downloaded")
    if origins & words("python_decode") and not command.startswith("<"):
        return Behaviour("decode-run", f"{name} runs a decoded command: {command[:80]}")
    return _command(name, " ".join(args) or text, call)


def _command(name: str, command: str, call: Mapping[str, Any]) -> Behaviour:
    verdict = classify(command)
    shown = f"{name}({command[:100]})"
    if verdict.kind in HOSTILE:
        return Behaviour("reverse-shell" if verdict.kind == "reverse-shell" else "hostile-command", shown)
    if verdict.kind in {"tool", "fetch", "other"} and hostile_address(command):
        return Behaviour("network-odd", shown)
    if call["dynamic"]:
        return Behaviour("hidden-call", f"{shown}, the name put together at run time")
    if "pip install" in command or "pip3 install" in command or verdict.kind == "installer":
        return Behaviour("install", shown)
    if verdict.kind in {"tool", "fetch"}:
        return Behaviour("network" if verdict.kind == "fetch" else "tool-odd" if is_odd_tool(command) else "tool", shown)
    if name in _HANDED and command.strip() in {"<?>", "None"}:
        return Behaviour("shell-unknown", f"{name} runs what it is handed")
    known = command.strip() and not command.lstrip().startswith(("<", "{"))
    return Behaviour("process" if known else "process-unknown", shown)


def _code(c: _Call) -> Behaviour | None:  # noqa: PLR0911 - one for each kind
    name, _, text, origins, call = c
    if name not in words("python_exec"):
        return None
    if _from_network(origins) and name not in {"types.FunctionType", "types.CodeType"}:
        return Behaviour("download-run", f"{name} runs what was downloaded")
    decoded = origins & words("python_decode") - {"chr"}
    if name in {"eval", "exec", "compile", "execfile"} and (decoded or {"chr", "ord"} <= origins):
        return Behaviour("decode-run", f"{name} runs code decoded by {', '.join(sorted(decoded or {'chr'}))}")
    if name in {"eval", "exec", "compile", "execfile"} and (NUMBERS in origins or ".tobytes()>" in text):
        return Behaviour("decode-run", f"{name} runs code that was written as numbers")
    # Keras does so to load a Lambda layer, in a function; nothing honest does it on import.
    if name in {"types.FunctionType", "types.CodeType"} and "marshal.loads" in origins and call["scope"] != "function":
        return Behaviour("decode-run", f"{name} builds code decoded by {', '.join(sorted(decoded))}")
    if what := data_run(name, c.args, origins, call.get("paths", ())):
        return Behaviour("data-run", f"{name} runs {what}")
    if call["dynamic"] and name in {"eval", "exec"}:
        return Behaviour("hidden-call", f"{name}, the name put together at run time")
    # exec, eval and compile are followed into their source; a debugger, a console or an example runner is not.
    indirect = name not in {"eval", "exec", "compile", "execfile"} and reaches(text)
    unknown = text in {"<?>", "None"} if name in {"exec", "execfile"} else text.startswith("<?>") and name in _BUILDERS
    if unknown:
        return Behaviour("exec-unknown", f"{name} runs what it is handed")
    if name in {"exec", "eval"} and (told := text_run(c.args, origins, call.get("paths", ()))):
        return Behaviour("exec-unknown", f"{name} runs {told}")
    if name == "runpy.run_module" and call["absent"] and danger_of(call["absent"][0]) != "known":
        return Behaviour("absent-module", f"{name} runs the module {call['absent'][0][:80]}, which is not here")
    return Behaviour("process" if indirect else "code", f"{name}({text[:80]})")


def _sets(c: _Call) -> Behaviour | None:
    """What changes the surroundings in which something else runs."""
    if variable := environment(c.name, c.args, c.data["keywords"]):
        return Behaviour("environment", f"{c.name} sets {variable}")
    if c.name == "mmap.mmap" and re.fullmatch(r"[4-7]|.*PROT_EXEC.*", c.data["keywords"].get("prot", "")):
        return Behaviour("shellcode", "mmap.mmap makes memory executable")
    return None


def _opens(c: _Call) -> Behaviour | None:
    """What opens a way for something later: what a load may call, or what is typed."""
    if c.name == "torch.serialization.add_safe_globals" and (let := [r for r in c.data["refs"] if danger_of(r) == "dangerous"]):
        return Behaviour("hidden-call", f"{c.name} lets every later load call {let[0]}")
    if c.name == "dict" and (kind := c.data["keywords"].get("type", "")) in words("python_process") | words("python_exec"):
        return Behaviour("hidden-call", f"a configuration has {kind} built")
    return Behaviour("secret-file", f"{c.name} listens to what is typed") if c.name.startswith(_LISTENS) else None


def _inner(c: _Call) -> Behaviour | None:
    """What reaches built-ins, a shell or a start-up place without a name that says so."""
    name, args, text, _, _ = c
    if name == "gc.get_objects()[]":
        return Behaviour("hidden-call", f"calls an object that it looked for in memory ({text[:80]})")
    if _INNER.search(name) and args:
        return Behaviour("hidden-call", f"calls a built-in through {name}({text[:80]})")
    if name.startswith("jinja2.") and (found := _TEMPLATE_INNER.search(text)):
        return Behaviour("hidden-call", f"{name} renders a template that reaches {found[0]}")
    if name == "logging.config.dictConfig" and (
        made := [a for a in re.findall(r"[A-Za-z_][\w.]*", text) if a in words("python_process")]
    ):
        return Behaviour("hidden-call", f"{name} makes a handler of {made[0]}")
    if name.startswith("torch.utils.cpp_extension.load") and (found := _NATIVE_CALL.search(text)):
        return Behaviour("process", f"{name} compiles and loads code that calls {found[0]}")
    if name.startswith("importlib.machinery.ExtensionFileLoader()."):
        return Behaviour("native-file", f"{name}({text[:80]})")
    if name.startswith("winreg.") and _AUTOSTART.search(text):
        return Behaviour("persist", f"{name} opens {text[:120]}")
    return None


def _spelled(c: _Call) -> Behaviour | None:
    """What looks up a shell or code by a name that nothing in the text spells."""
    if c.name not in _LOOK_UP or not c.origins & (words("python_decode") | {NUMBERS}):
        return None
    name = next((a for a in c.args[:2] if a in _HIDDEN_NAMES), "")
    return Behaviour("hidden-call", f"{c.name} is given the name {name}, which was put together at run time") if name else None


def _files(c: _Call) -> Behaviour | None:
    name, args, text, origins, call = c
    method = name.rpartition(".")[2]
    target = call["of"] if "(" in name else " ".join(args[:2])
    if (
        name in {"shutil.rmtree", "os.removedirs", "shutil.move"}
        and args
        and args[0].rstrip("/*") in {"", "~", "/home", "/etc", "/usr", "/var", "/root", "C:\\"}
        and args[0].startswith(("/", "~", "C"))
    ):
        return Behaviour("destroy", f"{name}({args[0]})")
    writes = (
        name in {"open", "io.open"} and any(m in (args[1] if len(args) > 1 else call["keywords"].get("mode", "r")) for m in "wax+")
    ) or (method in _WRITES and "(" in name)
    if method == "open" and "(" in name:  # of a path
        writes = any(m in (args[0] if args else call["keywords"].get("mode", "r")) for m in "wax+")
    copies = name in {
        "shutil.copy",
        "shutil.copyfile",
        "shutil.copy2",
        "shutil.move",
        "os.rename",
        "os.replace",
        "os.symlink",
        "os.link",
    }
    if name in {"tensorflow.io.write_file", "numpy.save", "numpy.savetxt", "joblib.dump"} and args:
        target, writes = args[1 if name == "joblib.dump" and len(args) > 1 else 0], True
    written = (args[1] if len(args) > 1 else "") if copies else target if writes else ""
    if written.startswith(_SYSTEM):
        return Behaviour("persist", f"{name} writes {written[:80]}, a folder of the system")
    place = contains_any(written, "startup_paths")
    if place and (place != ".pth" or "site-packages" in text + target or any(o.startswith("site.") for o in origins)):
        return Behaviour("persist", f"{name} writes {target[:80]}")
    reads = (
        name in {"open", "io.open", "linecache.getlines", "shutil.copy", "shutil.copyfile"}
        or method in {"read_text", "read_bytes", "open"}
    ) and not writes
    if reads and (secret := contains_any(target, "secret_paths")):
        return Behaviour("secret-file", f"{name} reads {target[:80]} ({secret})")
    return None


def _transfer(c: _Call) -> Behaviour | None:
    name, args, text, origins, _ = c
    if name in _RESOLVERS and any(o.startswith("os.environ[") or o in _WHO for o in origins):
        return Behaviour("steal", f"{name}({text[:80]}) sends a secret in the name that it looks up")
    if not name.startswith(_SENDERS):
        return None
    sends = any(part in name for part in ("post", "put", "send", "request", "urlopen", "storbinary", "get", "Request", "patch"))
    if secret := sends_token(args[0] if args else "", origins):
        return Behaviour("steal", f"{name}({args[0][:80]}) sends {secret}")
    if sends and "os.environ" in origins:
        return Behaviour("steal", f"{name}({args[0][:80] if args else ''}) sends the environment")
    if (
        sends
        and contains_any(text, "secret_paths")
        and any(o in {"open", "open().read", "io.open"} or o.startswith("pathlib.") for o in origins)
    ):
        return Behaviour("steal", f"{name}({args[0][:80] if args else ''}) sends {contains_any(text, 'secret_paths')}")
    if sends and doubtful_address(args[0] if args else "") and _WHO & origins:
        return Behaviour("steal", f"{name}({args[0][:80]}) sends the name of the machine or user")
    if found := odd_address(name, args, c.data["keywords"]):
        return Behaviour("network-odd", f"{name}({found[:80]})")
    return Behaviour("network", f"{name}({args[0][:80] if args else ''})")


def _loading(c: _Call) -> Behaviour | None:
    name, _, text, origins, call = c
    if name.startswith("ctypes.") and any(mark in name for mark in _SHELLCODE):
        return Behaviour("shellcode", f"{name} makes memory executable")
    if name.startswith(_NATIVE) and not call["of"]:
        if any(a.startswith(_FOREIGN) for a in c.args):
            return Behaviour("native-foreign", f"{name}({text[:80]})")
        own = name in {"torch.ops.load_library", "torch.classes.load_library"} or any("/" in a or a.startswith(".") for a in c.args)
        return Behaviour("native-file" if own and "cpp_extension" not in name else "native", f"{name}({text[:80]})")
    if name.startswith("zmq.") and name.endswith(".recv_pyobj"):
        return Behaviour("remote-load", f"{name} unpickles what comes from the network")
    if name in words("python_unsafe_load"):
        keywords = call["keywords"]
        safe = keywords.get("weights_only") == "True" or "SafeLoader" in text or "safe" in keywords.get("Loader", "").lower()
        if safe or (name == "numpy.load" and keywords.get("allow_pickle") != "True"):
            return None
        if _from_network(origins) and name not in {"torch.hub.load_state_dict_from_url", "yaml.load"}:
            odd = hostile_address(" ".join([*c.args, *call.get("paths", ())]))
            return Behaviour(
                "remote-odd" if odd else "remote-load", f"{name} reads what was downloaded{odd and f' from {odd[:80]}'}"
            )
        # torch.load refuses code unless it is told not to, since 2.6; the others have nothing to be told.
        asked = not name.startswith(("torch.", "keras.", "tensorflow.")) or keywords.get("weights_only") == "False"
        return _unpickled(c) if asked else Behaviour("unsafe-load", f"{name}({text[:60]})")
    return None


def _unpickled(c: _Call) -> Behaviour:
    """What is loaded with the code that it holds: a file of the folder is read with the rest, another is not."""
    shown = f"{c.name}({c.text[:60]})"
    if hostile_address(c.args[0] if c.args else ""):
        return Behaviour("remote-odd", shown)
    if c.name == "torch.hub.load_state_dict_from_url" or is_fetched(c.origins):
        return Behaviour("fetched-load", f"{shown} loads a file that is fetched, with whatever code it holds")
    if c.data["absent"]:
        return Behaviour("absent-load", f"{c.name} loads {c.data['absent'][0][:80]}, which is not here")
    return Behaviour("pickle-load", shown)


def _remote_code(c: _Call) -> Behaviour | None:
    """What runs the code of a repository."""
    trusted = c.data["keywords"].get("trust_remote_code") == "True"
    if (trusted or c.name == "torch.hub.load") and (foreign := _foreign(c)):
        return Behaviour("foreign-code", f"{c.name} runs the code of {foreign}")
    return Behaviour("remote-code", f"{c.name}(trust_remote_code=True)") if trusted else None


def _foreign(c: _Call) -> str:
    """Return the repository that a call names and takes code from, unless a publisher of frameworks owns it or a commit pins it."""
    keywords = c.data["keywords"]
    named = [*c.args[:1], *(keywords[k] for k in ("repo_or_dir", "pretrained_model_name_or_path") if k in keywords)]
    if keywords.get("source") == "local" or re.fullmatch(r"[0-9a-f]{40}", keywords.get("revision", "")):
        return ""
    found = _REPOSITORY.fullmatch(named[0]) if named else None
    return named[0] if found and found[1].lower() not in words("known_publishers") else ""


def _patch(c: _Call) -> Behaviour | None:
    """What replaces a part of a library or of the import system: every later caller gets the file's own."""
    if c.name in _HOOKS:
        return Behaviour("patch", f"{c.name} hooks the import of every module")
    if c.name == "sys.modules.__setitem__" and c.args and c.args[0].partition(".")[0] in words("python_guarded"):
        return Behaviour("patch", f"takes the place of the module {c.args[0][:80]}")
    target = c.name.removesuffix(".__set__")
    if target != c.name and (target in words("python_unsafe_load") or target in words("python_guarded_names")):
        return Behaviour("patch", f"replaces {target}")
    return None


def _from_network(origins: frozenset[str]) -> bool:
    received = any(o.startswith(("requests.Session().", "requests.session().")) or "().recv" in o for o in origins)
    return received or any(not o.startswith("socket.") for o in origins & words("python_network_in"))


_TESTS = (_own, _process, _sets, _opens, _inner, _spelled, _code, _files, _transfer, _effect, _remote_code, _loading, _patch)
