"""Settings that switch protections off, and configurations that are built on others from elsewhere, with their honest like."""

from __future__ import annotations

from stannary.testing.forges.configs import file

__all__: list[str] = []

_FLAGS = "--disable-safe-unpickle --enable-insecure-extension-access --listen --xformers"
_BASE = "http://203.0.113.9/base.py"

# name, file name, text
_HOSTILE = (
    ("webui_unpickles", "webui-user.sh", f'#!/bin/bash\nexport COMMANDLINE_ARGS="{_FLAGS}"\n'),
    ("webui_batch", "webui-user.bat", "@echo off\nset PYTHON=\nset COMMANDLINE_ARGS=--disable-safe-unpickle --medvram\ncall webui.bat\n"),
    ("webui_option_on_its_line", "start.sh", "#!/bin/sh\npython launch.py \\\n  --xformers \\\n  --disable-safe-unpickle\n"),
    ("webui_compose", "docker-compose.yml", "services:\n  webui:\n    image: webui\n    command: python launch.py --listen --enable-insecure-extension-access\n"),
    ("webui_unit", "webui.service", "[Service]\nExecStart=/opt/webui/webui.sh --share --listen\n[Install]\nWantedBy=multi-user.target\n"),
    ("webui_json", "launch_settings.json", '{"args": ["--listen", "--allow-code", "--api"]}\n'),
    ("webui_dockerfile", "Dockerfile", 'FROM python:3.11\nCMD ["python", "launch.py", "--listen", "--disable-safe-unpickle"]\n'),
    ("invoke_unchecked", "invokeai.yaml", "schema_version: 4.0.2\nunsafe_disable_picklescan: true\n"),
    ("vllm_pickles", "Dockerfile", "FROM vllm/vllm-openai\nENV VLLM_ALLOW_INSECURE_SERIALIZATION=1\n"),
    ("torch_any_pickle", ".env", "MODEL=bert\nTORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1\n"),
    ("torch_any_pickle_cluster", "deploy.yaml", "env:\n- name: TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD\n  value: '1'\n"),
    ("airflow_any_class", "docker-compose.yaml", "environment:\n  AIRFLOW__CORE__ALLOWED_DESERIALIZATION_CLASSES: '.*'\n"),
    ("jupyter_without_token", "entrypoint.sh", "#!/bin/sh\njupyter lab --ip=0.0.0.0 --allow-root --ServerApp.token='' --ServerApp.password=''\n"),
    ("comfy_installs_anything", "config.ini", "[default]\npreview_method = none\nsecurity_level = weak\n"),
    ("agent_asks_nobody", "settings.json", '{\n  "chat.tools.autoApprove": true\n}\n'),
    ("agent_in_no_container", "agents.yaml", "coder:\n  role: writes code\n  allow_code_execution: true\n  code_execution_mode: unsafe\n"),
    ("agent_of_json", "agent.json", '{"role": "coder", "code_execution_mode": "unsafe"}\n'),
    ("chain_unpickles", "rag.yaml", "store: faiss\nallow_dangerous_deserialization: true\n"),
    ("chain_runs_code", "agent.toml", "[agent]\nallow_dangerous_code = true\n"),
    ("base_by_address", "faster_rcnn.py", f"_base_ = '{_BASE}'\nmodel = dict(type='FasterRCNN')\n"),
    ("base_in_list", "faster_rcnn.py", f"_base_ = [\n    'mmdet::_base_/models/x.py',\n    '../_base_/schedule.py',\n    '{_BASE}',\n]\n"),
    ("base_by_tls", "faster_rcnn.py", "_base_ = ['https://example.org/base.py']\n"),
    ("base_yaml", "retinanet.yaml", '_BASE_: "http://203.0.113.9/Base.yaml"\nMODEL:\n  MASK_ON: False\n'),
    ("base_yaml_list", "retinanet.yml", f"_base_:\n  - ./runtime.yml\n  - {_BASE}\n"),
    ("base_json", "config.json", f'{{"_base_": "{_BASE}", "model": {{}}}}\n'),
    ("base_anybodys", "yolo.py", "_base_ = '/tmp/base.py'\n"),
    ("checkpoint_by_number", "train.py", "_base_ = './x.py'\nload_from = 'http://203.0.113.9/x.pth'\n"),
    ("checkpoint_in_config", "train.json", '{"resume_from": "https://pastebin.com/raw/x.pth"}\n'),
)  # fmt: skip
_HONEST = (
    ("webui_listens", "webui-user.sh", '#!/bin/bash\n#export COMMANDLINE_ARGS="--disable-safe-unpickle"\nexport COMMANDLINE_ARGS="--listen --port 7860 --xformers --api"\n'),
    ("webui_shares", "start.sh", "#!/bin/sh\npython app.py --share --port 7860\n"),
    ("webui_with_password", "webui.service", "[Service]\nExecStart=/opt/webui/webui.sh --listen --share --gradio-auth-path /etc/webui/users\n"),
    ("vllm_serves", "docker-compose.yml", "services:\n  llm:\n    image: vllm/vllm-openai\n    command: --model org/model --host 0.0.0.0 --trust-remote-code\n"),
    ("jupyter_with_token", "entrypoint.sh", '#!/bin/sh\njupyter lab --ip=0.0.0.0 --ServerApp.token="$TOKEN"\n'),
    ("torch_checks", ".env", "MODEL=bert\nTORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=0\n"),
    ("invoke_checks", "invokeai.yaml", "schema_version: 4.0.2\nunsafe_disable_picklescan: false\n"),
    ("comfy_normal", "config.ini", "[default]\npreview_method = none\nsecurity_level = normal\n"),
    ("agent_in_container", "agents.yaml", "coder:\n  role: writes code\n  allow_code_execution: true\n  code_execution_mode: safe\n"),
    ("chain_unpickles_nothing", "rag.yaml", "store: faiss\nallow_dangerous_deserialization: false\n"),
    ("base_plain", "faster_rcnn.py", "_base_ = [\n    'mmdet::_base_/models/x.py',\n    '../_base_/schedule.py',\n]\nload_from = 'https://download.openmmlab.com/mmdetection/v2.0/x.pth'\n"),
    ("base_yaml_plain", "retinanet.yaml", '_BASE_: "../Base-RetinaNet.yaml"\nMODEL:\n  WEIGHTS: "detectron2://ImageNetPretrained/MSRA/R-50.pkl"\n  URL: "http://example.org/x"\n'),
    ("base_of_a_class", "shapes.py", "class A:\n    pass\n\n\nclass B(A):\n    _base_ = A\n    site = 'https://example.org'\n"),
)  # fmt: skip
for _name, _filename, _content in _HOSTILE:
    file(f"text.{_name}", _filename, _content, "tools' settings")
for _name, _filename, _content in _HONEST:
    file(f"text.{_name}", _filename, _content, "tools' settings", malicious=False)
file(
    "text.webui_extensions",
    "docker-compose.yml",
    "services:\n  webui:\n    environment:\n      - CLI_ARGS=--medvram --enable-insecure-extension-access --api\n",
    "tools' settings",
    malicious=None,
)
