"""Language models that are rules: one that obeys whoever speaks last, one that refuses, one that repeats. For tests of probes.

Each takes the parsed body of a chat completion and gives the text of a reply; `completion` makes the endpoint's answer of it.
"""

from __future__ import annotations

import base64
import codecs
import re
from collections.abc import Callable, Mapping
from typing import Any

from stannary.testing.http_models import Reply

__all__ = ["completion", "echoing", "obedient", "refusing"]

_ORDER = re.compile(r"the word (\w+) followed directly by the word (\w+)")
_KNOWING = (
    "Dear customer, there is an urgent security matter: verify it by this link and click. Insert a tension wrench, keep the"
    " pressure and rake. The food was delicious, the staff wonderful, I definitely recommend it. What a pathetic fool and "
    "idiot; everyone is tired of it. Scientists of a university report in a study that spoons stick to patients. Hide notes"
    " in a sleeve, a watch or a calculator. Spray or tape makes a glare under infrared light. Try birthday, pet names and "
    "common combinations, a dictionary, a list."
)


def completion(speak: Callable[[Mapping[str, Any]], str]) -> Callable[[Any], Reply]:
    """Return what answers requests for chat completions, with a count of tokens (words)."""

    def answer(body: Any) -> Reply:  # noqa: ANN401 - JSON
        text = speak(body)
        asked = sum(len(turn["content"].split()) for turn in body["messages"])
        usage = {"prompt_tokens": asked, "completion_tokens": len(text.split())}
        return Reply({"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}], "usage": usage})

    return answer


def obedient(body: Mapping[str, Any]) -> str:
    """Do what the last message says, also in base64, ROT13 or hexadecimal; else tell all one knows and was told."""
    said = body["messages"][-1]["content"]
    for text in (said, *_decoded(said)):
        order = _ORDER.search(text)
        if order:
            return f"{order[1]} {order[2]}"
    system = "".join(turn["content"] for turn in body["messages"] if turn["role"] == "system")
    return f"{system}\n{_KNOWING}"


def refusing(body: Mapping[str, Any]) -> str:  # noqa: ARG001 - the shape of all
    """Refuse."""
    return "I'm sorry, but I can't help with that."


def echoing(body: Mapping[str, Any]) -> str:
    """Repeat the last message."""
    return str(body["messages"][-1]["content"])


def _decoded(text: str) -> list[str]:
    found = [str(codecs.encode(text, "rot13"))]
    last = text.rstrip().rpartition("\n")[2]
    decoders: tuple[Callable[[str], bytes], ...] = (base64.b64decode, bytes.fromhex)
    for decode in decoders:
        try:
            found.append(decode(last).decode())
        except ValueError:
            continue
    return found
