"""Attacks on texts, held against exact answers for models that add up words, and tried on a real encoder and spam filter."""

from __future__ import annotations

import random
import re

import numpy as np
import pytest

from stannary.checks.robustness.attacks.text import TextOptions, attack_texts, rewritten, words_of
from stannary.checks.robustness.attacks.text_characters import KINDS, CharacterEdits
from stannary.checks.target.statistics import clopper_pearson
from stannary.checks.target.text_model import TextTarget
from stannary.core.errors import BackendError, InputError

VOCABULARY = [f"{a}{b}{c}ord" for a in "bdfgklm" for b in "aeiou" for c in "nrst"]
RNG = np.random.default_rng(0)
WEIGHT = dict(zip(VOCABULARY, RNG.normal(size=len(VOCABULARY)), strict=True))
BIAS = 0.3


def score(text: str) -> float:
    """Add up the weights of the words that stand in a text: once for each time."""
    return BIAS + sum(WEIGHT.get(word, 0.0) for word in re.findall(r"[^\W_]+", text))


def linear(texts):
    return np.array([score(text) for text in texts])


def texts(count=30, seed=1):
    rng = random.Random(seed)
    made = [" ".join(rng.choices(VOCABULARY, k=rng.randint(8, 40))) for _ in range(count)]
    return made, [int(score(text) > 0) for text in made]


def fewest(text, label):
    """Return the exact smallest number of words to take out of the sum, by sorting; None if all do not suffice."""
    sign = 1 if label else -1
    gains = sorted((sign * WEIGHT[word] * text.split().count(word) for word in set(text.split())), reverse=True)
    margin = sign * score(text)
    for count, gain in enumerate(gains, 1):
        if gain <= 0:
            return None
        margin -= gain
        if margin < 0:
            return count
    return None


def test_on_a_sum_of_words_the_fewest_changes_are_found():
    made, labels = texts()
    target = TextTarget(linear, 2, made)
    found = attack_texts(target, made, labels, TextOptions(CharacterEdits(["zero-width"]), share=1.0, units=100, candidates=2))
    exact = [fewest(text, label) for text, label in zip(made, labels, strict=True)]
    assert [len(changes) if done else None for changes, done in zip(found.changes, found.success, strict=True)] == exact
    assert sum(found.success) > 20
    for text, changed, changes, label, done in zip(made, found.texts, found.changes, labels, found.success, strict=True):
        assert changed == rewritten(text, changes)
        assert (int(score(changed) > 0) != label) == done
    assert all(found.finished)


def test_the_share_of_words_that_change_is_kept():
    made, labels = texts()
    found = attack_texts(TextTarget(linear, 2, made), made, labels, TextOptions(CharacterEdits(), share=0.1))
    allowed = [max(1, len(words_of(text)) // 10) for text in made]
    assert all(len(changes) <= most for changes, most in zip(found.changes, allowed, strict=True))
    exact = [fewest(text, label) for text, label in zip(made, labels, strict=True)]
    assert found.success == [count is not None and count <= most for count, most in zip(exact, allowed, strict=True)]


def test_queries_are_those_that_the_model_saw_and_few_calls_carry_them():
    made, labels = texts()
    seen = []

    def counted(part):
        seen.append(len(part))
        return linear(part)

    target = TextTarget(counted, 2, made, batch=100_000)
    seen.clear()
    found = attack_texts(target, made, labels, TextOptions(CharacterEdits(), share=1.0))
    assert found.spend.queries == sum(seen)
    assert found.spend.calls == len(seen) < 40
    alone = [
        attack_texts(target, [text], [label], TextOptions(CharacterEdits(), share=1.0))
        for text, label in zip(made, labels, strict=True)
    ]
    assert [one.changes[0] for one in alone] == found.changes
    assert sum(one.spend.queries for one in alone) == found.spend.queries


def test_what_a_text_takes_is_what_the_model_saw_until_the_first_success():
    made, labels = texts(25)
    options = TextOptions(CharacterEdits(KINDS), share=0.08, candidates=2)
    found = attack_texts(TextTarget(linear, 2, made), made, labels, options)
    assert 5 < sum(found.success) < 25
    for at, (text, label) in enumerate(zip(made, labels, strict=True)):
        seen: list[str] = []

        def logged(some, seen=seen):
            seen.extend(some)
            return linear(some)

        target = TextTarget(logged, 2, [text])
        seen.clear()  # without the first look
        alone = attack_texts(target, [text], [label], options)
        first = next((rank for rank, one in enumerate(seen, 1) if int(score(one) > 0) != label and one != text), None)
        assert alone.cost == [found.cost[at]]  # a text takes the same beside others
        if found.success[at]:
            assert first is not None
            assert first <= found.cost[at] <= len(seen)
        else:
            assert found.cost[at] == len(seen)


def test_the_card_says_what_texts_take():
    from stannary.checks.robustness.text_suite import text_robustness

    made, labels = texts(40)
    options = [TextOptions(CharacterEdits(KINDS), share=0.2), TextOptions(CharacterEdits(["zero-width"]), share=0.6)]
    part = text_robustness(TextTarget(linear, 2, made), made, labels, options, ("no", "yes"))
    assert [curve.unit for curve in part.budgets] == ["queries", "queries"]
    for curve, run in zip(part.budgets, part.attacks, strict=True):
        left = [round(point.accuracy.value * 40) for point in curve.points]
        assert (curve.attack, left[0], left[-1]) == (run.id, run.survivors_in, run.survivors_out)
        assert left == sorted(left, reverse=True)
        assert curve.fell == run.survivors_in - run.survivors_out
    assert part.budgets[-1].points[-1].accuracy.value == part.robust.value
    assert any(curve.fell for curve in part.budgets)


def test_labels_alone_suffice_and_what_is_not_needed_is_put_back():
    made, labels = texts()
    target = TextTarget(lambda part: (linear(part) > 0).astype(int), 2, made)
    assert target.access == "decision"
    found = attack_texts(target, made, labels, TextOptions(CharacterEdits(["zero-width"]), share=1.0, units=100))
    for text, changes, label, done in zip(made, found.changes, labels, found.success, strict=True):
        if done:
            assert int(score(rewritten(text, changes)) > 0) != label
            for word in changes:  # none of them can be put back
                fewer = {key: one for key, one in changes.items() if key != word}
                assert not fewer or int(score(rewritten(text, fewer)) > 0) == label
    assert sum(found.success) > 10


def test_a_model_that_always_says_the_same_is_not_fooled():
    made, _ = texts(5)
    found = attack_texts(
        TextTarget(lambda part: np.tile([0.9, 0.1], (len(part), 1)), 2, made), made, [0] * 5, TextOptions(CharacterEdits())
    )
    assert found.success == [False] * 5
    assert found.finished == [True] * 5
    assert found.texts == made


def test_silence_is_no_success_and_no_resistance():
    made, labels = texts(6)

    def silent(part):  # on whatever has an invisible character
        out = np.stack([-linear(part), linear(part)], 1)
        out[["\u200b" in text for text in part]] = np.nan
        return out

    target = TextTarget(silent, 2, made)
    found = attack_texts(target, made, labels, TextOptions(CharacterEdits(["zero-width"]), share=1.0))
    assert found.success == found.finished == [False] * 6
    assert found.spend.unanswered > 0


def test_a_text_on_which_the_model_fails_harms_no_other():
    def brittle(part):
        if any("bomb" in text for text in part):
            raise RuntimeError
        return linear(part)

    target = TextTarget(brittle, 2, ["banord"])
    assert np.isnan(target.scores(["banord", "bomb", "benord"])).any(1).tolist() == [False, True, False]
    assert (target.spend.queries, target.spend.unanswered) == (3, 1)
    with pytest.raises(InputError):
        TextTarget(brittle, 2, ["bomb"])
    with pytest.raises(InputError):
        TextTarget(lambda part: np.zeros((len(part), 3)), 2, ["a"])


def test_a_budget_and_a_dead_model_end_the_attack_with_what_was_found():
    made, labels = texts()
    whole = attack_texts(TextTarget(linear, 2, made), made, labels, TextOptions(CharacterEdits(), share=1.0))
    target = TextTarget(linear, 2, made, budget=whole.spend.queries - 1)
    found = attack_texts(target, made, labels, TextOptions(CharacterEdits(), share=1.0))
    assert "budget" in found.stopped
    assert target.spend.queries <= whole.spend.queries - 1
    assert any(found.success)
    assert not all(found.finished)
    calls = []

    def dying(part):
        calls.append(part)
        if len(calls) > 2:
            msg = "gone"
            raise BackendError(msg)
        return linear(part)

    found = attack_texts(TextTarget(dying, 2, made, batch=10_000), made, labels, TextOptions(CharacterEdits(), share=1.0))
    assert found.stopped == "gone"
    assert not any(found.finished)


@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_word_is_another_near_the_old_one(kind):
    rng = random.Random(0)
    for word in ("free", "Money", "account", "cat", "MEETING", "unsubscribe"):
        for changed in CharacterEdits([kind]).candidates([word], rng, 4)[0]:
            assert changed != word
            assert abs(len(changed) - len(word)) <= 1
            if kind != "homoglyph":
                assert changed[0] == word[0]
    assert CharacterEdits([kind]).candidates(["it", "2026", "a"], rng, 4) == [[], [], []]


def test_words_are_replaced_as_words():
    assert (
        rewritten("Free, free! freedom don't 3rd", {"free": "frree", "don't": "do not", "3rd": "x"})
        == "Free, frree! freedom do not x"
    )
    assert words_of("A b, a b! don't e-mail x_y") == ["A", "b", "a", "don't", "e-mail", "x", "y"]


@pytest.fixture(scope="module")
def encoder():
    from stannary.checks.robustness.attacks.text_words import packaged_encoder
    from stannary.core.errors import UsageError

    try:
        return packaged_encoder()
    except UsageError as exc:
        pytest.skip(str(exc))


def test_the_encoder_knows_what_is_near(encoder):
    from stannary.checks.robustness.attacks.text_words import Meaning, WordEdits

    money, plural, unknown = WordEdits(encoder, 0.5).candidates(["Money", "cars", "qqqzzz"], random.Random(0), 6)
    assert {"Cash", "Funds"} & set(money)
    assert "car" not in plural
    assert unknown == []
    meaning = Meaning(encoder)
    text = "Please send the money to my account before Friday, as we agreed in the meeting."
    near, far = meaning.likeness(text, {"money": "cash"}), meaning.likeness(text, {"money": "elephant"})
    assert near > 0.8 > far
    assert meaning.likeness(text, {}) == 1.0
    vectors = encoder.encode(["a", "b", "a"])
    assert vectors.shape[0] == 3
    assert np.allclose(vectors.norm(dim=1), 1)


def test_other_words_fool_a_model_only_where_the_meaning_stays(encoder):
    from stannary.checks.robustness.attacks.text_words import Meaning, WordEdits

    weights = {"money": 2.0, "winner": 1.5, "prize": 1.0, "meeting": -1.0, "report": -1.0}

    def spam(part):
        return np.array([sum(weights.get(word.lower(), 0.0) for word in re.findall(r"\w+", text)) - 1.2 for text in part])

    text = ["Dear winner, please send the money for the report to my office before the weekend, as we have agreed."]
    target = TextTarget(spam, 2, text)
    strict, loose = Meaning(encoder, 0.999), Meaning(encoder, 0.7)
    options = TextOptions(WordEdits(encoder, 0.5), share=0.3, limit=loose)
    found = attack_texts(target, text, [1], options)
    assert found.success == [True]
    assert loose.likeness(text[0], found.changes[0]) >= 0.7
    assert spam(found.texts)[0] < 0
    assert attack_texts(target, text, [1], TextOptions(options.edits, share=0.3, limit=strict)).success == [False]


def test_the_card_counts_the_worst_case_and_only_what_was_attacked_to_the_end():
    from stannary.checks.robustness.text_suite import text_robustness

    made, labels = texts(40)
    labels[0] = 1 - labels[0]  # wrong from the start
    attacks = [TextOptions(CharacterEdits(["swap"]), share=0.05), TextOptions(CharacterEdits(["zero-width"]), share=0.5, units=100)]
    card = text_robustness(TextTarget(linear, 2, made), made, labels, attacks, ("ham", "spam"))
    exact = [fewest(text, label) for text, label in zip(made[1:], labels[1:], strict=True)]
    stand = sum(count is None or count > max(1, len(words_of(text)) // 2) for count, text in zip(exact, made[1:], strict=True))
    assert (card.clean.value, card.robust.n, card.robust.value) == (39 / 40, 40, stand / 40)
    assert [run.survivors_out for run in card.attacks][-1] == stand
    assert card.attacks[0].survivors_out == card.attacks[1].survivors_in
    assert card.unfinished == 0
    assert card.examples[0].distance == 1
    assert card.examples[0].label in ("ham", "spam")
    budget = TextTarget(linear, 2, made, budget=2000)
    cut = text_robustness(budget, made, labels, attacks)
    assert cut.unfinished > 0
    stood = round(cut.robust.value * 40)
    assert cut.robust.n == 40
    assert (cut.robust.low, cut.robust.high) == (clopper_pearson(stood, 40)[0], clopper_pearson(stood + cut.unfinished, 40)[1])
    assert any(run.stopped for run in cut.attacks)


def test_a_text_that_not_every_attack_could_try_is_not_robust():
    from stannary.checks.robustness.text_suite import text_robustness

    made, labels = texts(40)
    attacks = [TextOptions(CharacterEdits([edit]), share=0.15) for edit in ("swap", "zero-width")]
    first = TextTarget(linear, 2, made)
    found = attack_texts(first, made, labels, attacks[0])
    assert 0 < sum(found.success) < 40
    # The last of its calls takes changes back from texts that are fooled: the others have been attacked to the end by then.
    target = TextTarget(linear, 2, made, budget=len(made) + first.spend.queries - 1)
    short = text_robustness(target, made, labels, attacks)
    assert short.attacks[1].skipped
    assert (short.robust.value, short.robust.low) == (0, 0)
