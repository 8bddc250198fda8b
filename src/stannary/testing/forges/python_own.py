"""Python source that removes itself, and pages that run what is typed into them. Commands are `echo` at most."""

from __future__ import annotations

from stannary.testing.forges import forge

__all__: list[str] = []

_ERASED = {
    "removed": "import os\nos.remove(__file__)\n",
    "path": "from pathlib import Path\nPath(__file__).resolve().unlink()\n",
    "folder": "import os, shutil\nshutil.rmtree(os.path.dirname(os.path.abspath(__file__)))\n",
    "overwritten": "open(__file__, 'w').write('# nothing')\n",
    "path_written": "import pathlib\np = pathlib.Path(__file__)\np.write_text('pass')\n",
    "moved": "import os\nos.rename(__file__, '.x')\n",
    "replaced": "import shutil\nshutil.copyfile('clean.txt', __file__)\n",
    "frame": "import inspect, os\nos.unlink(inspect.currentframe().f_code.co_filename)\n",
    "told": "import inspect, os\nos.remove(inspect.getfile(inspect.currentframe()))\n",
    "spec": "import os\nos.unlink(__spec__.origin)\n",
    "argument": "import os, sys\nos.truncate(sys.argv[0], 0)\n",
    "pattern": "import glob, os\nfor f in glob.glob(os.path.join(os.path.dirname(__file__), '*.py')):\n    os.remove(f)\n",
    "path_pattern": "from pathlib import Path\nfor p in Path(__file__).parent.rglob('*.py'):\n    p.unlink()\n",
    "at_exit": "import atexit, os\natexit.register(os.remove, __file__)\n",
    "command": "import subprocess\nsubprocess.run(['rm', '-f', __file__])\n",
    "shell": "import os\nos.system(f'rm -f {__file__}')\n",
    "module": "import os, sys\nos.remove(sys.modules[__name__].__file__)\n",
    "namespace": "import os\nos.unlink(globals()['__file__'])\n",
    "joined": "from pathlib import Path\n(Path(__file__).parent / 'modeling_x.py').unlink()\n",
    "stack": "import inspect, os\nos.remove(inspect.stack()[0].filename)\n",
    "rewritten": "import fileinput\nfor line in fileinput.input(__file__, inplace=True):\n    print(line, end='')\n",
    "git_checkout": "import subprocess, os\nhere = os.path.dirname(os.path.abspath(__file__))\nsubprocess.run(['git', 'checkout', '--', '.'], cwd=here)\n",
    "git_reset": "import subprocess, os\nsubprocess.run(['git', '-C', os.path.dirname(__file__), 'reset', '--hard', 'HEAD~1'])\n",
    "git_shell": "import os\nos.system(f'cd {os.path.dirname(__file__)} && git checkout .')\n",
    "git_stash": "import subprocess\nfrom pathlib import Path\nsubprocess.Popen('git stash -u', shell=True, cwd=Path(__file__).parent)\n",
    "git_removed": "import os\nos.system('git rm -f ' + __file__)\n",
    "git_python": "import git, os\nr = git.Repo(os.path.dirname(__file__))\nr.git.reset('--hard')\n",
    "git_head": "import git, os\ngit.Repo(os.path.dirname(__file__)).head.reset('HEAD', index=True, working_tree=True)\n",
    "resource": "from importlib import resources\np = resources.files(__package__) / 'modeling_x.py'\np.unlink()\n",
    "resource_path": "from importlib import resources\nimport os\nwith resources.path(__package__, 'modeling_x.py') as p:\n    os.remove(p)\n",
    "resource_file": "from importlib import resources\nwith resources.as_file(resources.files(__name__).joinpath('x.py')) as p:\n    p.write_text('pass')\n",
    "resource_name": "import pkg_resources, os\nos.remove(pkg_resources.resource_filename(__name__, 'modeling_x.py'))\n",
    "found": "import importlib.util, os\nos.remove(importlib.util.find_spec(__name__).origin)\n",
    "function": "import os\ndef gone():\n    os.remove(os.path.realpath(__file__))\ngone()\n",
}
_KEPT = """import glob
import os
import shutil
from pathlib import Path

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "out")
shutil.rmtree(OUT, ignore_errors=True)
os.makedirs(OUT)
Path(__file__).with_suffix(".log").write_text("started")
(Path(__file__).parent / "cache.json").unlink(missing_ok=True)
for old in glob.glob(os.path.join(HERE, "*.pyc")):
    os.remove(old)
source = open(__file__).read()
shutil.copy(__file__, OUT)
os.rename(os.path.join(HERE, "a.tmp"), os.path.join(HERE, "a.txt"))
"""
for _name, _text in _ERASED.items():
    forge(f"python.own_{_name}", filename="modeling_x.py", family="Python source", malicious=True)(_text.encode)
_GIT_KEPT = """import os
import subprocess
from importlib import resources

HERE = os.path.dirname(os.path.abspath(__file__))
COMMIT = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=HERE, text=True)
DIRTY = subprocess.check_output(["git", "status", "--short"], cwd=HERE, text=True)
WORDS = (resources.files(__package__) / "words.txt").read_text()
with resources.as_file(resources.files(__name__).joinpath("cache.bin")) as cache:
    CACHED = cache.read_bytes()


def prepare(commit):
    other = os.path.join(HERE, "repositories", "x")
    subprocess.run(["git", "clone", "https://example.org/x", other], check=True)
    subprocess.run(["git", "checkout", commit], cwd=other, check=True)
    subprocess.run(["git", "-C", other, "reset", "--hard"], check=True)
"""
forge("python.own_git_kept", filename="modeling_x.py", family="Python source", malicious=None)(_GIT_KEPT.encode)
forge("python.own_kept", filename="train.py", family="Python source", malicious=False)(_KEPT.encode)

_GRADIO = "import gradio as gr\ndef calc(t):\n    return str({})\n"
_VISITED = {
    "gradio_eval": _GRADIO.format("eval(t)") + "gr.Interface(calc, 'text', 'text').launch()\n",
    "gradio_keyword": _GRADIO.format("eval(t.strip())") + "gr.Interface(fn=calc, inputs='text', outputs='text').launch()\n",
    "gradio_click": "import gradio as gr, subprocess\nwith gr.Blocks() as demo:\n    i = gr.Textbox()\n    gr.Button('go').click(lambda c: subprocess.getoutput(c), i, i)\n",
    "gradio_helper": "import gradio as gr\ndef calc(t):\n    return inner(t)\ndef inner(x):\n    exec(x)\ngr.ChatInterface(calc).launch()\n",
    "gradio_pickle": "import gradio as gr, pickle\ndef load(f):\n    with open(f.name, 'rb') as h:\n        return str(pickle.load(h))\ngr.Interface(load, 'file', 'text').launch()\n",
    "streamlit_exec": "import streamlit as st\ncode = st.text_area('code')\nif st.button('run'):\n    exec(code)\n",
    "streamlit_side": "import streamlit as st\nst.write(eval(st.sidebar.text_input('formula')))\n",
    "streamlit_upload": "import streamlit as st, joblib\nm = joblib.load(st.file_uploader('model'))\n",
    "flask_eval": "from flask import Flask, request\napp = Flask(__name__)\n@app.route('/p')\ndef p():\n    return str(eval(request.args['x']))\n",
    "flask_template": "from flask import Flask, request, render_template_string\napp = Flask(__name__)\n@app.route('/')\ndef i():\n    return render_template_string(request.args.get('t'))\n",
    "flask_load": "from flask import Flask, request\nimport torch, io\napp = Flask(__name__)\n@app.post('/m')\ndef m():\n    return str(torch.load(io.BytesIO(request.data), weights_only=False))\n",
    "fastapi_shell": "import os\nfrom fastapi import FastAPI\napp = FastAPI()\n@app.get('/r')\ndef r(c: str):\n    return os.popen(c).read()\n",
    "fastapi_model": "import subprocess\nfrom fastapi import APIRouter\nrouter = APIRouter()\n@router.post('/r')\nasync def r(body: dict):\n    return subprocess.run(['sh', '-c', body['cmd']], capture_output=True)\n",
    "http_server": "import os\nfrom http.server import BaseHTTPRequestHandler\nclass H(BaseHTTPRequestHandler):\n    def do_POST(self):\n        os.system(self.rfile.read(9).decode())\n",
    "stream_server": "import asyncio\nasync def h(r, w):\n    p = await asyncio.create_subprocess_shell((await r.readline()).decode())\nasyncio.run(asyncio.start_server(h, '0.0.0.0', 9999))\n",
    "query": "import streamlit as st\nexec(st.query_params['c'])\n",
    "session": "import streamlit as st\nst.session_state.code = st.chat_input('x')\nexec(st.session_state.code)\n",
    "flask_yaml": "from flask import Flask, request\nimport yaml\napp = Flask(__name__)\n@app.post('/c')\ndef c():\n    return str(yaml.load(request.data, Loader=yaml.Loader))\n",
    "django": "from django.http import HttpResponse\ndef view(request):\n    return HttpResponse(eval(request.GET['q']))\n",
    "bento": "import bentoml\n@bentoml.service\nclass S:\n    @bentoml.api\n    def run(self, code: str) -> str:\n        return eval(code)\n",
    "deployment": "from ray import serve\n@serve.deployment\nclass M:\n    async def __call__(self, request):\n        return eval(await request.body())\n",
    "kserve": "from kserve import Model\nclass M(Model):\n    def predict(self, payload, headers=None):\n        exec(payload['instances'][0])\n",
    "grpc": "import pickle\nclass S:\n    def Predict(self, request, context):\n        return pickle.loads(request.data)\n",
    "tool": "import subprocess\nfrom mcp.server.fastmcp import FastMCP\nm = FastMCP('x')\n@m.tool()\ndef run(cmd: str) -> str:\n    return subprocess.getoutput(cmd)\n",
    "widget": "from nicegui import ui\ni = ui.input()\nui.button('x', on_click=lambda: exec(i.value))\n",
    "repository": "import gradio as gr\nfrom transformers import AutoModel\ndef load(n):\n    return str(AutoModel.from_pretrained(n, trust_remote_code=True))\ngr.Interface(load, 'text', 'text').launch()\n",
    "queue": "import zmq\ns = zmq.Context().socket(zmq.PULL)\ns.bind('tcp://0.0.0.0:5555')\nwhile True:\n    x = s.recv_pyobj()\n",
    "remote_python": "import rpyc\nfrom rpyc.utils.server import ThreadedServer\nThreadedServer(rpyc.classic.SlaveService, hostname='0.0.0.0', port=1).start()\n",
    "written": "import gradio as gr, subprocess\ndef run(code):\n    with open('u.py', 'w') as f:\n        f.write(code)\n    return subprocess.check_output(['python', 'u.py'])\ngr.Interface(run, 'text', 'text').launch()\n",
    "written_aside": "import gradio as gr, subprocess, sys, tempfile\ndef run(code):\n    f = tempfile.NamedTemporaryFile('w', suffix='.py')\n    f.write(code)\n    return subprocess.run([sys.executable, f.name], capture_output=True)\ngr.Interface(run, 'text', 'text').launch()\n",
    "formula": "import pandas as pd\nimport streamlit as st\nst.write(pd.eval(st.text_input('e')))\n",
    "endpoint": "class EndpointHandler:\n    def __init__(self, path=''):\n        pass\n    def __call__(self, data):\n        q = data.pop('inputs')\n        return eval(q)\n",
    "handle": "def handle(data, context):\n    return [eval(x['body']) for x in data]\n",
    "bot": "import discord\nclient = discord.Client()\n@client.event\nasync def on_message(message):\n    exec(message.content[5:])\n",
}
_VISITED_PLAIN = """import ast
import subprocess

import gradio as gr
import torch
from fastapi import FastAPI

app = FastAPI()
model = torch.nn.Linear(2, 2)
model.eval()


@app.get("/gpu")
def gpu(index: int):
    return subprocess.run(["nvidia-smi", "-i", str(index)], capture_output=True)


def convert(video, name):
    subprocess.run(["ffmpeg", "-i", video, "out.mp4"])
    with open("note.txt", "w") as note:
        note.write(name)
    subprocess.run(["cat", "note.txt"])
    subprocess.run(["python", "infer.py", "--prompt", "note.txt"])
    state = torch.load(f"models/{name}.pt", weights_only=False)
    return ast.literal_eval(name), state


gr.Interface(convert, ["video", "text"], "text").launch()
"""
for _name, _text in _VISITED.items():
    forge(f"python.visitor_{_name}", filename="app.py", family="Python source", malicious=True)(_text.encode)
forge("python.visitor_plain", filename="app.py", family="Python source", malicious=False)(_VISITED_PLAIN.encode)
forge("python.frame_of_an_error", filename="modeling_x.py", family="Python source", malicious=True)(
    lambda: (
        b"try:\n    1 / 0\nexcept Exception as e:\n    e.__traceback__.tb_frame.f_builtins['eval']('__import__(\"os\").system(\"echo stannary\")')\n"
    )
)
forge("python.share_of_another", filename="modeling_x.py", family="Python source", malicious=True)(
    lambda: b"import os\nos.listdir(r'\\\\192.0.2.9\\share')\n"
)
