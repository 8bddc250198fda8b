"""What else a call in Python source does to the machine: libraries' own functions, search paths, processes, files and links.

Each test returns a kind of `python_behaviour` and the words that show it, or None.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from stannary.checks.static.judges.addresses import hostile_address
from stannary.checks.static.judges.word_sets import contains_any

__all__ = ["effect", "is_odd_tool", "odd_address"]

Found = tuple[str, str] | None

_FOREIGN_CALL = re.compile(
    r"(?:ctypes|cffi)\..*\.(?:system|popen|exec[lv]p?e?|posix_spawnp?|WinExec|ShellExecute\w*|CreateProcess\w*|fork|_wsystem)"
)
# What stops, copies or re-owns the process that imports a model; nothing that describes a model does.
_DISTURBS = frozenset({
    "os.fork", "os.forkpty", "os.kill", "os.killpg", "os._exit", "os.abort", "os.setuid", "os.setgid", "os.setreuid",
    "os.setresuid", "signal.raise_signal", "signal.pthread_kill", "psutil.Process().kill", "psutil.Process().terminate",
    "ctypes.string_at", "ctypes.memset",
})  # fmt: skip
_FETCHED = frozenset({
    "huggingface_hub.snapshot_download", "huggingface_hub.hf_hub_download", "urllib.request.urlretrieve", "requests.get",
    "wget.download", "gdown.download", "urllib.request.urlopen", "git.Repo.clone_from", "huggingface_hub.Repository",
})  # fmt: skip
_SEARCH = frozenset({"sys.path.insert", "sys.path.append", "sys.path.extend"})
_NOT_SOURCE = re.compile(r"\.(?!py\b|pyw\b|pyi\b|pyc\b|so\b|pyd\b|dll\b|dylib\b|\w*[<{}>])[A-Za-z]\w{0,11}$")
_PACKED = re.compile(r"\.(?:zip|whl|egg|pyz|bin|pt|pth|pkl|dat|npz)$")
_FROM_FILE = frozenset({
    "importlib.util.spec_from_file_location", "importlib.machinery.SourceFileLoader", "importlib.machinery.SourcelessFileLoader",
    "imp.load_source",
})  # fmt: skip
_SEARCHED = frozenset({"os.walk", "glob.glob", "glob.iglob", "os.listdir", "os.scandir"})
_WRITES = frozenset({"write", "write_bytes", "write_text", "writelines"})
_CLIENTS = ("requests.", "urllib.request.", "httpx.", "webbrowser.open", "aiohttp.", "urllib3.", "urllib2.", "wget.", "git.")
_CONNECTS = frozenset({"connect", "connect_ex", "create_connection", "sendto"})
_CHANGES = frozenset({
    "os.makedirs", "os.mkdir", "os.remove", "os.unlink", "os.rmdir", "os.chmod", "os.truncate", "os.mkfifo", "os.rename",
    "os.replace",
})  # fmt: skip
_PATH_CHANGES = frozenset({"touch", "mkdir", "unlink", "rmdir", "chmod", "write_text", "write_bytes"})
_ABSOLUTE = re.compile(r"(?:/(?!dev/|proc/self/)\w|~/|[A-Za-z]:[\\/]\w)")
_FOR_PEOPLE = frozenset({
    "ls", "dir", "echo", "cat", "touch", "mkdir", "id", "whoami", "true", "false", "cp", "mv", "rm", "chmod", "chown", "date",
    "pwd", "env", "printenv", "ps", "kill", "sleep", "find", "ln", "head", "tail", "history", "who", "w", "netstat",
    "ifconfig", "ip",
})  # fmt: skip
# A share of a named machine: Windows logs in to it with the user's own name and hash.
_SHARE = re.compile(r"\\\\[\w.-]+\\\w")
_LINKS = frozenset({"os.symlink", "os.link"})


def effect(name: str, args: Sequence[str], origins: frozenset[str], keywords: Mapping[str, str], of: str = "") -> Found:
    """Return the kind of the first effect that a call has, and the words that show it."""
    if _FOREIGN_CALL.fullmatch(name):
        return "process", f"{name}({' '.join(args)[:80]})"
    if name in _DISTURBS:
        return "disturb", f"{name}({' '.join(args)[:40]})"
    if name in _LINKS and args and (args[0].startswith("/etc/") or contains_any(args[0], "secret_paths")):
        return "secret-file", f"{name} makes {args[0][:80]} appear among the model's files"
    if name.startswith(("os.", "open", "shutil.", "pathlib.", "io.open")) and (share := next(filter(_SHARE.match, args[:2]), "")):
        return "network-odd", f"{name} opens {share[:80]} on another machine, which is told who asks"
    if odd := odd_address(name, args, keywords):
        return "network-odd", f"{name}({odd[:80]})"
    if name.startswith("socket.") and name.rpartition(".")[2] in _CONNECTS:
        return "network", f"{name}({' '.join(args)[:80]})"
    return _search(name, args, origins) or _file(name, origins) or _elsewhere(name, args, keywords, of)


def _search(name: str, args: Sequence[str], origins: frozenset[str]) -> Found:
    """Where the next import looks."""
    if name in _SEARCH:
        if fetched := sorted(origins & _FETCHED):
            return "foreign-code", f"{name} has modules taken from what {fetched[0]} brings"
        if args and _PACKED.search(args[-1]):
            return "data-run", f"{name} has modules taken from {args[-1][:80]}"
    if name in _FROM_FILE and len(args) > 1 and _NOT_SOURCE.search(args[1]):
        return "data-run", f"{name} runs the file {args[1][:80]}"
    return None


def _file(name: str, origins: frozenset[str]) -> Found:
    """Files that were looked for and are written back enciphered."""
    enciphered = any("encrypt" in origin.rpartition(".")[2] for origin in origins)
    found = bool(origins & _SEARCHED) or any(origin.endswith((".rglob", ".glob", ".iterdir")) for origin in origins)
    if enciphered and found and name.rpartition(".")[2] in _WRITES:
        return "destroy", f"{name} writes files that it found back enciphered"
    return None


def _elsewhere(name: str, args: Sequence[str], keywords: Mapping[str, str], of: str) -> Found:
    """Files and folders of the machine, named by whoever wrote the model, that are made, changed or removed."""
    path, method = args[0] if args else "", name.rpartition(".")[2]
    changes = name in _CHANGES
    if name in {"open", "io.open"}:
        changes = any(letter in (args[1] if len(args) > 1 else keywords.get("mode", "r")) for letter in "wax+")
    if name.startswith("pathlib.") and method in _PATH_CHANGES:
        path, changes = of, True
    if changes and _ABSOLUTE.match(path):
        return "writes", f"{name}({path[:80]})"
    return None


def is_odd_tool(command: str) -> bool:
    """Tell whether a command is of those that shells have for people; what is asked of a machine (`nvidia-smi`, `git`) is none."""
    words = command.split(maxsplit=1)
    return bool(words) and words[0].rpartition("/")[2] in _FOR_PEOPLE


def odd_address(name: str, args: Sequence[str], keywords: Mapping[str, str]) -> str:
    """Return the address that a client is given and nobody honest would: a bare one, a paste site, a hook."""
    given = [*args[:2], *keywords.values()] if name.startswith(_CLIENTS) else ()
    return next((found for value in given if (found := hostile_address(value))), "")
