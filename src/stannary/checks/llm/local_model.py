"""A language model of one's own, in this process: transformers, also from a GGUF file, without code of the model's.

A model from elsewhere is scanned first (`stannary scan`): nothing here runs code that comes with it, but its chat template is
rendered (in Jinja's sandbox, as transformers does).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stannary.checks.llm.interface import ChatCosts, Conversation, Reply
from stannary.core.errors import InputError

__all__ = ["LocalChat", "open_local"]

_BATCH = 8


class LocalChat:
    """A loaded model and its tokenizer, both as transformers has them. Replies are greedy: the same for the same question.

    Args:
        model: with `generate`.
        tokenizer: with a chat template.
        name: for messages.
    """

    def __init__(self, model: Any, tokenizer: Any, *, name: str = "model") -> None:  # noqa: ANN401 - transformers
        self.model, self.tokenizer, self.name = model, tokenizer, name
        self._costs = ChatCosts()
        if tokenizer.chat_template is None:
            msg = "the tokenizer has no chat template: it is no model for conversations"
            raise InputError(msg, where=name)
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        tokenizer.padding_side = "left"

    def chat(self, conversations: Sequence[Conversation], *, tokens: int, seed: int) -> list[Reply]:  # noqa: ARG002 - greedy
        """Return a reply to each conversation, batched by length."""
        order = sorted(range(len(conversations)), key=lambda at: sum(len(turn.content) for turn in conversations[at]))
        replies: list[Reply] = [Reply(None)] * len(conversations)
        for start in range(0, len(order), _BATCH):
            part = order[start : start + _BATCH]
            for at, reply in zip(part, self._batch([conversations[at] for at in part], tokens), strict=True):
                replies[at] = reply
        return replies

    def costs(self) -> ChatCosts:
        """Return what was spent so far, in tokens."""
        return self._costs

    def _batch(self, conversations: Sequence[Conversation], tokens: int) -> list[Reply]:
        import torch

        texts = [
            self.tokenizer.apply_chat_template(
                [{"role": turn.role, "content": turn.content} for turn in one], tokenize=False, add_generation_prompt=True
            )
            for one in conversations
        ]
        given = self.tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False).to(self.model.device)
        with torch.no_grad():
            out = self.model.generate(
                **given, max_new_tokens=tokens, do_sample=False, temperature=None, top_p=None, top_k=None,
                pad_token_id=self.tokenizer.pad_token_id,
            )  # fmt: skip
        new = out[:, given["input_ids"].shape[1] :]
        self._costs.requests += len(conversations)
        self._costs.tokens_in += int(given["attention_mask"].sum())
        self._costs.tokens_out += int((new != self.tokenizer.pad_token_id).sum())
        return [Reply(text) for text in self.tokenizer.batch_decode(new, skip_special_tokens=True)]


def open_local(path: Path) -> LocalChat:
    """Load a GGUF file, or a folder as transformers saves one (safetensors alone). Nothing is fetched.

    Raises:
        InputError: transformers cannot load it.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    more: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    gguf = path.suffix == ".gguf"
    folder = path.parent if gguf else path
    more |= {"gguf_file": path.name} if gguf else {}
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **more)
        model = AutoModelForCausalLM.from_pretrained(folder, **more, **({} if gguf else {"use_safetensors": True}))
    except (OSError, ValueError, ImportError, KeyError, RuntimeError) as exc:
        msg = f"transformers cannot load it: {type(exc).__name__}: {exc}"
        raise InputError(msg, where=str(path)) from exc
    return LocalChat(model.eval(), tokenizer, name=path.name)
