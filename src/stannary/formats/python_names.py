# ruff: noqa: E501 - lists of names
"""Which outside names become facts, the parser's own errors, and the sink for code within strings."""

from __future__ import annotations

import ast
import warnings

from stannary.core.errors import FormatError
from stannary.core.model import Json
from stannary.formats.interface import Sink

__all__ = ["RUNNERS", "NestedSink", "is_reported", "parse"]

# Modules whose calls are worth a fact; arithmetic, typing and layers are not.
_REPORTED = frozenset(
    [
        "os",
        "posix",
        "nt",
        "subprocess",
        "sys",
        "pty",
        "popen2",
        "commands",
        "socket",
        "ssl",
        "urllib",
        "urllib2",
        "urllib3",
        "requests",
        "httpx",
        "aiohttp",
        "http",
        "ftplib",
        "smtplib",
        "telnetlib",
        "paramiko",
        "fabric",
        "websocket",
        "websockets",
        "socketserver",
        "xmlrpc",
        "shutil",
        "pathlib",
        "tempfile",
        "ctypes",
        "cffi",
        "_ctypes",
        "importlib",
        "imp",
        "runpy",
        "pkgutil",
        "code",
        "codeop",
        "types",
        "marshal",
        "pickle",
        "_pickle",
        "cPickle",
        "dill",
        "cloudpickle",
        "joblib",
        "shelve",
        "jsonpickle",
        "yaml",
        "base64",
        "binascii",
        "codecs",
        "zlib",
        "gzip",
        "bz2",
        "lzma",
        "eval",
        "exec",
        "compile",
        "__import__",
        "open",
        "io",
        "getattr",
        "setattr",
        "builtins",
        "breakpoint",
        "asyncio",
        "multiprocessing",
        "concurrent",
        "threading",
        "_thread",
        "signal",
        "atexit",
        "platform",
        "pip",
        "webbrowser",
        "crypt",
        "winreg",
        "_posixsubprocess",
        "jinja2",
        "_winapi",
        "mmap",
        "fcntl",
        "cryptography",
        "Crypto",
        "nacl",
        "site",
        "sysconfig",
        "distutils",
        "setuptools",
        "pexpect",
        "sh",
        "plumbum",
        "invoke",
        "numpy",
        "pandas",
        "torch",
        "tensorflow",
        "keras",
        "huggingface_hub",
        "transformers",
        "mlflow",
        "boto3",
        "airflow",
        "discord",
        "telegram",
        "pyperclip",
        "keyring",
        "pynput",
        "browser_cookie3",
        "gc",
        "inspect",
        "operator",
        "map",
        "execfile",
        "get_ipython",
        "input",
        "psutil",
        "getpass",
        "git",
        "wget",
        "pycurl",
        "dns",
        "scapy",
        "timeit",
        "cProfile",
        "profile",
        "pdb",
        "doctest",
        "trace",
        "zipimport",
        "linecache",
        "cython",
        "launch",
        "functools",
        "IPython",
        "execnet",
        "rpyc",
        "Pyro4",
        "zmq",
        "kombu",
        "dataset",
        "sqlite3",
        "email",
        "zipfile",
        "tarfile",
    ]
)
_QUIET = ("os.path.", "os.environ.get", "numpy.", "torch.", "tensorflow.", "keras.", "transformers.", "pandas.", "sys.stdout", "sys.stderr",
          "inspect.", "functools.", "operator.", "types.", "platform.", "io.", "asyncio.", "importlib.util.find_spec", "sys.version",
          "threading.Lock", "threading.local", "concurrent.futures.ThreadPool", "importlib.metadata", "sys.exit", "pathlib.Path")  # fmt: skip
_LOUD = ("numpy.load", "numpy.lib.npyio.load", "numpy.f2py", "numpy.testing", "numpy.distutils", "torch.load", "torch.hub.", "torch.ops.load_library",
         "torch.classes.load_library", "torch.utils.cpp_extension", "torch.package", "torch.jit.load", "torch.serialization", "torch._inductor",
         "tensorflow.keras.models.load_model", "tensorflow.io.", "tensorflow.py_function", "tensorflow.numpy_function", "tensorflow.load_op_library",
         "keras.models.load_model", "keras.utils.get_file", "transformers.pipeline", "pandas.read_pickle", "pandas.eval", "asyncio.create_subprocess",
         "asyncio.open_connection", "io.open", "pathlib.Path().write", "pathlib.Path().open", "pathlib.Path().read", "pathlib.Path().unlink",
         "pathlib.Path.home().write", "pathlib.Path.home()/", "types.FunctionType", "types.CodeType", "platform.popen", "operator.methodcaller",
         "flask.render_template_string", "quart.render_template_string", "mako.template.Template", "send2trash", "fileinput.input",
         "torch.distributed.run", "torch.utils.collect_env", "torch.utils._config_module", "inspect.getattr_static", "io.BytesIO")  # fmt: skip

_PATH_METHODS = frozenset(
    {
        "write_text",
        "write_bytes",
        "read_text",
        "read_bytes",
        "open",
        "unlink",
        "symlink_to",
        "hardlink_to",
        "rename",
        "replace",
        "touch",
        "mkdir",
        "rmdir",
        "chmod",
    }
)

# Callables that run the function that they are handed.
RUNNERS = frozenset(
    [
        "Thread",
        "Timer",
        "Process",
        "register",
        "submit",
        "map",
        "filter",
        "apply",
        "apply_async",
        "start_new_thread",
        "call_soon",
        "run_until_complete",
        "starmap",
        "reduce",
        "run_in_executor",
        "settrace",
        "setprofile",
        "signal",
        "addaudithook",
        "finalize",
        "call_later",
        "add_done_callback",
        "register_at_fork",
        "__set__",
    ]
)


def parse(source: str | bytes, name: str = "<source>") -> ast.Module:
    """Return the syntax tree. Raises FormatError for what this Python cannot parse."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes are the file's business
            return ast.parse(source, name)
    except SyntaxError as exc:
        msg = f"not Python 3 source: {exc.msg} (line {exc.lineno})"
        raise FormatError(msg) from exc
    except (ValueError, LookupError, RecursionError, MemoryError, OverflowError) as exc:
        msg = f"source cannot be parsed: {type(exc).__name__}"
        raise FormatError(msg) from exc


def is_reported(name: str) -> bool:
    """Tell whether a call of this dotted name becomes a fact."""
    if name.startswith((*_LOUD, "<function>.__")) or name.endswith(".__set__") or "f_builtins" in name:
        return True
    if name.startswith("pathlib.") and name.rpartition(".")[2] in _PATH_METHODS:
        return True
    if name in {"logging.config.dictConfig", "logging.config.fileConfig", "os.environ.__setitem__"}:
        return True
    root = name.replace("(", ".").replace("[", ".").partition(".")[0]
    return root in _REPORTED and not name.startswith(_QUIET)


class NestedSink:
    """A sink that puts all facts on the line of the string that holds the code."""

    def __init__(self, sink: Sink, line: int) -> None:
        self._sink = sink
        self._line = line
        self.budget = sink.budget
        self.siblings = sink.siblings
        self.child, self.inflate, self.incomplete, self.inert = sink.child, sink.inflate, sink.incomplete, sink.inert

    def fact(self, kind: str, offset: int | None = None, /, **data: Json) -> None:
        """Pass a fact on."""
        data["line"] = self._line
        self._sink.fact(kind, offset, **data)
