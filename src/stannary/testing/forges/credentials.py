"""Credentials where they were not looked for: in addresses, headers, commands and settings, of more services. None is real.

They are put together here, so that no scanner of this source finds them.
"""

from __future__ import annotations

import base64
import json

from stannary.testing.forges.configs import file

__all__: list[str] = []

_WORD = "Kd83jfL2mXc7QpVwRt5Yn1bG4hTsA9uEoI6kMxC0vPqZr3WnJ8yBdHf2Lg5Sa7Ti"
_DIGITS = "93b1f7c2e8a4d06b5c9e1f3a7d2b8c60"
_UUID = "1f9d3c7a-5b2e-4c8d-9a06-7e41b3f2d5c8"

# name, file name, text
_FOUND = (
    ("in_an_address", "setup.sh", "git clone https://ghp_" + _WORD[:36] + "@github.com/x/y\n"),
    ("of_a_hub_in_an_address", "setup.sh", "git clone https://hf_" + _WORD[:34] + "@huggingface.co/x/y\n"),
    ("digits", "client.json", json.dumps({"api_type": "azure", "api_key": _DIGITS})),
    ("digits_in_a_setting", "voice.yaml", "voice:\n  api_key: " + _DIGITS + "\n"),
    ("digits_of_an_entry", "app.py", f"app.config['SECRET_KEY'] = '{_DIGITS}'\n"),
    ("identifier", "index.py", f"init(api_key='{_UUID}')\n"),
    ("setting", "llm.yaml", "mistral_api_key: " + _WORD[:32] + "\n"),
    ("password_setting", "app.yml", "database:\n  user: admin\n  password: " + _WORD[:20] + "  # production\n"),
    ("password_variable", "tracking.env", "MLFLOW_TRACKING_PASSWORD=" + _WORD[:16] + "\n"),
    ("entry", "run.py", f"import os\nos.environ['COHERE_API_KEY'] = '{_WORD[:40]}'\n"),
    ("cohere", "run.py", f"import cohere\nco = cohere.Client('{_WORD[:40]}')\n"),
    ("basic", "call.py", "h = {'Authorization': 'Basic " + base64.b64encode(("svc:" + _WORD[:24]).encode()).decode() + "'}\n"),
    ("command", "call.sh", "curl -u admin:" + _WORD[:18] + " https://api.corp.internal/v1\n"),
    ("age", "backup.txt", "AGE-SECRET-KEY-1" + "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L"[::-1] + "QPZRY9X8GF2TVDW0S3JN54KHCE" + "\n"),
    ("mapbox", "map.js", "token = 'sk." + "eyJ1Ijoi" + _WORD + "." + _WORD[:22] + "'\n"),
    ("google_access", "run.sh", "T=ya29." + _WORD + _WORD + "\n"),
    ("resend", "mail.ts", f"const r = new Resend('re_{_WORD[:8]}_{_WORD[8:32]}');\n"),
    ("deepseek", "run.py", f"c = OpenAI(x='sk-{_DIGITS}')\n"),
    *(
        (f"service_{number}", "notes.cfg", f"x = {token}\n")
        for number, token in enumerate(
            (
                "figd_" + _WORD[:40],
                "nfp_" + _WORD[:36],
                "pscale_tkn_" + _WORD[:43],
                "tskey-auth-" + _WORD[:17] + "-" + _WORD[20:52],
                "NRAK-" + _WORD[:27].upper(),
                "xkeysib-" + _DIGITS * 2 + "-" + _WORD[:16],
                "rubygems_" + _DIGITS + _DIGITS[:16],
                "dbtu_" + _WORD[:38],
                "pat-na1-" + _UUID,
                "sbp_" + _DIGITS + _DIGITS[:8],
                "HRKU-" + _WORD[:60],
                "AKCp" + (_WORD + _WORD)[:69],
                "pul-" + _DIGITS + _DIGITS[:8],
                "LTAI" + _WORD[:20],
                "KGAT_" + _DIGITS,
                "tvly-" + _WORD[:32],
            )
        )
    ),
)  # fmt: skip
for _name, _filename, _text in _FOUND:
    file(f"credentials.{_name}", _filename, _text, "secrets")
_NONE = (
    ("names", "values.yaml", "password: ${DB_PASSWORD}\napi_key: <your-api-key>\nsecret_key: my-app-secret-key-v2\naccess_token: HF_ACCESS_TOKEN\n"),
    ("hashes", "lock.yaml", f"commit: {_DIGITS}{_DIGITS[:8]}\nmd5: {_DIGITS}\nkey: {_DIGITS}\nidempotency: {_UUID}\n"),
    ("documented", "call.sh", "curl -u user:password https://x.internal\ncurl -H 'Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=='\n"),
    ("tokens", "generation.yaml", "pad_token: <pad>\nmax_tokens: 4096\ntokenizer: meta-llama/Llama-3-8B-Instruct\nauth_token: null\n"),
)  # fmt: skip
for _name, _filename, _text in _NONE:
    file(f"credentials.{_name}", _filename, _text, "secrets", malicious=False)
