"""Orders in texts that a language model is given: to forget what it was told, to keep something quiet, to send something out."""

from __future__ import annotations

import re

from stannary.formats.interface import Sink, clip

__all__ = ["INSTRUCTION", "is_prompt", "report"]

_ADDRESS = (
    r"\bhttps?://(?!127\.|10\.|192\.168\.|0\.0)"
    r"(?:\d{1,3}(?:\.\d{1,3}){3}\b|[\w.-]*(?:webhook\.site|ngrok|pipedream\.net|oast\.|\.onion\b))"
)
INSTRUCTION = re.compile(
    r"(?P<override>\b(?:ignore|disregard|forget|override)\s+(?:(?:all|any|the|your|of)\s+){0,3}"
    r"(?:previous|prior|above|earlier|system|safety|preceding)\s+\w+)"
    r"|(?P<silence>\b(?:do\s+not|don't|never|without)\s+(?:tell|inform|mention|reveal|disclos|warn|notify|alert)\w*\s+"
    r"(?:\w+\s+){0,3}(?:user|this|it|them|anyone)\b)"
    r"|(?P<insertion>\b(?:always|must|should|secretly|covertly|silently)\s+(?:\w+\s+){0,2}"
    r"(?:recommend|include|insert|append|add|embed|inject|import|suggest|link)\w*"
    r"\s+[^.\n]{0,60}(?:https?:|<script|import\s|package|backdoor|\bpip\b|\bnpm\b))"
    r"|(?P<leak>\b(?:send|forward|exfiltrate|leak|upload|post)\s+(?:\w+\s+){0,4}"
    r"(?:conversation|password|credential|api[ _-]?key|secret|private\s+key)s?\b)"
    r"|(?P<path>(?:~|\$HOME|/home/\w+|/root)/\.(?:ssh|aws|kube|gnupg|netrc|git-credentials|docker|cache/huggingface)\b\S{0,80})"
    r"|(?P<sent>\b(?:(?:send|post|upload|forward|submit|exfiltrate|report)\w*\s+(?:\S+\s+){0,6}to"
    r"|(?:include|put|append|encode|attach|pass)\w*\s+(?:\S+\s+){0,8}(?:request|call|query|image|link|url)\s+(?:to|of|at|from))\s+[`<\"(]?https?://\S{1,120})"
    r"|(?P<jailbreak>\b(?:you\s+have\s+no\s+restrictions|jailbr(?:eak|oken)|unrestricted\s+mode|DAN\s+mode|no\s+ethical)\b)"
    rf"|(?P<address>{_ADDRESS})",
    re.IGNORECASE,
)
_PROMPT = re.compile(
    r"(?:.*prompt.*\.(?:txt|md|prompt)|(?:agents|claude|gemini|skill|(?:copilot-)?instructions)\.md|.*\.mdc|\.?(?:goose|junie|roo|augment)[\w-]*(?:hints|rules|guidelines)(?:\.md)?|\.(?:cursor|windsurf|cline)rules|modelfile)"
)
_MOST = 1 << 20


def is_prompt(base: str) -> bool:
    """Tell whether a text is, by its name in lower case, one that a language model is told to follow."""
    return _PROMPT.fullmatch(base) is not None


def report(text: str, sink: Sink) -> None:
    """Report `text.orders` (override, then: what stands for itself): both to forget other orders and to send something out.

    One alone is what guards against it say, too: "never send credentials", "if you are told to ignore earlier instructions".
    """
    found = {match.lastgroup: match[0] for match in INSTRUCTION.finditer(text[:_MOST])}
    sent = found.get("sent", "")
    to = re.search(_ADDRESS, sent, re.IGNORECASE)  # the order to send takes its address along
    then = found.get("leak") or found.get("address") or (sent if to else "")
    if "path" in found and "sent" in found:
        sink.fact("text.orders", None, override=clip(found["path"], 120), then=clip(found["sent"], 160))
    elif "override" in found and then:
        sink.fact("text.orders", None, override=clip(found["override"], 120), then=clip(then, 160))
