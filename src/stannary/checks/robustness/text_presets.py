"""Which attacks on texts a preset is, and what of it cannot be had here."""

from __future__ import annotations

from dataclasses import dataclass

from stannary.checks.robustness.attacks.text import TextOptions
from stannary.checks.robustness.attacks.text_characters import CharacterEdits
from stannary.core.errors import InputError, UsageError

__all__ = ["SHARE", "TEXT_PRESETS", "text_attacks"]

SHARE = 0.2  # of a text's different words
_LEAST = 0.8  # cosine of a stretch of text before and after its words were changed


@dataclass(frozen=True)
class _Budget:
    """Words that are tried, candidates of each, rounds; `words`: whether words are replaced by others, too."""

    units: int
    candidates: int
    rounds: int
    words: bool


TEXT_PRESETS = {
    "smoke": _Budget(20, 3, 1, words=False),
    "gate": _Budget(60, 6, 2, words=True),
    "standard": _Budget(60, 6, 2, words=True),
    "paranoid": _Budget(200, 12, 4, words=True),
}


def text_attacks(preset: str, *, share: float | None = None, seed: int = 0) -> tuple[tuple[TextOptions, ...], tuple[str, ...]]:
    """Return the attacks of a preset, and what of them cannot run here.

    - `smoke`: typing errors, look-alike and invisible characters in the 20 most important words
    - `gate`, `standard`: in 60 words, two rounds; then other words that mean nearly the same, as the packaged encoder has it
    - `paranoid`: 200 words, more candidates, four rounds

    Args:
        preset: its name.
        share: of a text's words that may change; 0.2 without it.
        seed: of the candidates.

    Raises:
        UsageError: there is no such preset.
    """
    budget = TEXT_PRESETS.get(preset)
    if budget is None:
        msg = f"no such preset: {preset} (there are {', '.join(TEXT_PRESETS)})"
        raise UsageError(msg)
    share = share or SHARE
    attacks = [TextOptions(CharacterEdits(), share, budget.units, budget.candidates, budget.rounds, seed)]
    if not budget.words:
        return tuple(attacks), ()
    try:
        from stannary.checks.robustness.attacks.text_words import Meaning, WordEdits, packaged_encoder

        encoder = packaged_encoder()
    except (UsageError, InputError, ImportError) as error:
        return tuple(attacks), (f"the attack on words was not run: {error}",)
    edits, limit = WordEdits(encoder), Meaning(encoder, _LEAST)
    attacks.append(TextOptions(edits, share, budget.units, budget.candidates, budget.rounds, seed, limit))
    return tuple(attacks), ()
