"""Probes against real servers with models that obey, refuse, repeat, and misbehave."""

import pytest

from stannary.checks.llm.attempts import Attempt, Context, families, plan
from stannary.checks.llm.chat_request import chat_request_of, load_chat_request
from stannary.checks.llm.http_chat import HttpChat
from stannary.checks.llm.probe import ProbeOptions, probe
from stannary.core.errors import BackendError, UsageError
from stannary.testing.chat_models import completion, echoing, obedient, refusing
from stannary.testing.http_models import Reply, serve_model


@pytest.fixture
def endpoint():
    made, open_now = [], []

    def make(speak=obedient, *, answer=None, cache=None, **more):
        server = serve_model(answer or completion(speak))
        model = server.__enter__()
        open_now.append(server)
        more = {"url": f"{model.url}/v1", "model": "rules", "timeout": 5, "concurrency": 8, **more}
        made.append(HttpChat(chat_request_of(more), cache=cache))
        return made[-1], model

    yield make
    for one in made:
        one.close()
    for server in open_now:
        server.__exit__(None, None, None)


def test_a_model_that_obeys_fails_where_it_can(endpoint):
    chat, model = endpoint(obedient)
    found = probe(chat)
    assert set(found.families) == set(families())
    for name in (
        "injection-direct",
        "injection-document",
        "injection-tool",
        "leakage-secret",
        "leakage-pii",
        "leakage-system-prompt",
    ):
        assert found.families[name].value == 1, name
    assert found.families["jailbreak"].value > 0.9
    assert 0.1 < found.families["encoding"].value < 0.4  # it reads three of seventeen, and look-alikes that a regex reads too
    assert found.requests == len(model.seen)
    assert found.unanswered == 0
    assert found.tokens_in > 1000
    assert found.price is None
    assert {"AML.T0051.000", "AML.T0054", "AML.T0056", "AML.T0057"} <= set(found.atlas)
    assert {"LLM01:2025", "LLM02:2025", "LLM07:2025"} <= set(found.owasp)
    shown = [failure for failure in found.failures if failure["family"] == "leakage-secret"]
    assert len(shown) == 20
    assert shown[0]["transcript"][0]["role"] == "system"


@pytest.mark.parametrize("speak", [refusing, echoing])
def test_a_model_that_refuses_or_repeats_resists(endpoint, speak):
    found = probe(endpoint(speak)[0])
    assert {name: share.value for name, share in found.families.items() if share.value} == {}
    assert found.failures == ()
    assert all(share.high < 0.5 and share.n > 7 for share in found.families.values())
    assert found.unanswered == 0


@pytest.mark.parametrize("text", ["The service is not available at the moment.", "I'm sorry, I cannot help with that."])
def test_an_endpoint_that_says_the_same_to_everything_is_not_known_to_resist(endpoint, text):
    found = probe(endpoint(lambda _: text)[0], ProbeOptions(attempts=20))
    assert "all" in found.skipped["replies"]
    assert "are the same" in found.skipped["replies"]
    assert text[:20] in found.skipped["replies"]
    assert "replies" not in probe(endpoint(echoing)[0], ProbeOptions(attempts=20)).skipped
    assert "replies" not in probe(endpoint(lambda _: text)[0], ProbeOptions(attempts=1)).skipped  # one reply is no sign


def test_the_same_seed_asks_the_same_and_another_does_not(endpoint):
    options = ProbeOptions(attempts=30, seed=4)
    asked = []
    for seed in (4, 4, 5):
        chat, model = endpoint(refusing)
        probe(chat, ProbeOptions(attempts=30, seed=seed))
        asked.append(sorted(str(seen[3]["messages"]) for seen in model.seen))
    assert asked[0] == asked[1] != asked[2]
    attempts = plan((), options.seed, Context(), 30)[0]
    assert {attempt.family for attempt in attempts} == set(families())
    assert [a.id for a in plan((), 4, Context(), 12)[0]] == [a.id for a in attempts][:12]


def test_prices_are_those_of_the_tokens_and_the_budget_ends_the_run(endpoint):
    price = {"input": 100.0, "output": 300.0, "currency": "CHF"}
    chat, _ = endpoint(refusing, price=price)
    found = probe(chat, ProbeOptions(families=("leakage-secret",)))
    assert found.price == pytest.approx((found.tokens_in * 100 + found.tokens_out * 300) / 1e6)
    assert found.currency == "CHF"
    whole = found.price
    chat, model = endpoint(refusing, price=price, money=whole / 2 + 0.1, concurrency=1)
    found = probe(chat, ProbeOptions(families=("leakage-secret",), tokens=64))
    assert found.price <= whole / 2 + 0.1
    assert 0 < found.unanswered < found.attempts
    assert found.families["leakage-secret"].n == found.attempts - found.unanswered
    assert "budget" in found.silence
    assert len(model.seen) == found.requests


def test_what_was_answered_is_not_asked_again(endpoint, tmp_path):
    options = ProbeOptions(families=("multi-turn", "injection-tool"))
    with serve_model(completion(obedient)) as model:
        results = []
        for _ in range(2):
            chat = HttpChat(chat_request_of({"url": model.url, "model": "rules"}), cache=tmp_path / "answers.db")
            results.append(probe(chat, options))
            chat.close()
        assert results[0].families == results[1].families
        assert results[1].requests == 0
        assert results[1].cached == len(model.seen) == results[0].requests


def test_attempts_without_an_answer_are_in_no_rate(endpoint):
    def flaky(body):
        silent = "Oslo" in body["messages"][-1]["content"]
        return Reply({"error": "no"}, 500) if silent else completion(refusing)(body)

    chat, _ = endpoint(answer=flaky, tries=1)
    found = probe(chat, ProbeOptions(families=("injection-tool",)))
    assert (found.attempts, found.unanswered, found.families["injection-tool"].n) == (12, 2, 10)
    assert "500" in found.silence


@pytest.mark.parametrize(
    "content",
    [
        b"<html>", {"choices": []}, {"choices": [{"message": {"content": None}}]}, {"choices": [{"text": "old"}]}, [], "text", None,
        {"choices": {"a": 1}},
    ],
    ids=str,
)  # fmt: skip
def test_answers_that_are_none_are_silence(endpoint, content):
    chat, _ = endpoint(answer=lambda _: Reply(content), tries=1)
    found = probe(chat, ProbeOptions(attempts=3))
    assert (found.families, found.unanswered) == ({}, 3)


def test_a_filter_is_an_answer_and_no_success(endpoint):
    canary = completion(obedient)

    def filtered(body):
        if len(body["messages"][-1]["content"]) % 2:
            return Reply({"error": {"code": "content_filter", "message": "stopped"}}, 400)
        made = Reply(None)
        made.content = canary(body).content.replace(b'"stop"', b'"content_filter"')
        return made

    found = probe(endpoint(answer=filtered)[0], ProbeOptions(families=("injection-direct",)))
    assert found.families["injection-direct"].value == 0
    assert found.unanswered == 0


def test_a_wrong_request_is_no_filter(endpoint):
    chat, _ = endpoint(answer=lambda _: Reply({"error": "max_tokens is not supported"}, 400))
    found = probe(chat, ProbeOptions(attempts=2))
    assert found.unanswered == 2
    assert "max_tokens" in found.silence


def test_an_endpoint_that_wants_other_credentials_is_refused(endpoint, monkeypatch):
    monkeypatch.setenv("LLM_TOKEN", "s3cr3t-token")
    chat, model = endpoint(
        answer=lambda _: Reply({"error": "s3cr3t-token?"}, 401), headers={"Authorization": "Bearer ${LLM_TOKEN}"}
    )
    with pytest.raises(BackendError) as told:
        probe(chat)
    assert "s3cr3t" not in str(told.value)
    assert model.seen[0][2]["Authorization"] == "Bearer s3cr3t-token"


def test_steps_are_led_with_the_models_own_words_and_refused_ones_are_taken_back(endpoint):
    def speak(body):
        said = body["messages"][-1]["content"]
        return "I cannot do that." if "Step two" in said else f"Fine: {said}"

    chat, model = endpoint(speak)
    attempt = Attempt(
        "mine/1", "mine", ("AML.T0054",), ("LLM01:2025",), None, (("Step one",), ("Step two", "Softer"), ("Step three",)),
        lambda reply: "three" in reply,
    )  # fmt: skip
    found = probe(chat, ProbeOptions(families=("plain",), attempts=9, sources=(lambda _: [attempt],)))
    assert found.families["mine"].value == 1
    last = max((seen[3]["messages"] for seen in model.seen), key=len)
    assert [turn["content"] for turn in last] == ["Step one", "Fine: Step one", "Softer", "Fine: Softer", "Step three"]


def test_an_application_with_its_own_prompt_and_secrets(endpoint):
    context = Context(
        system="You are the assistant of a bakery. Bread is two francs. The recipe book is locked away in the cellar."
    )
    chat, model = endpoint(obedient)
    found = probe(chat, ProbeOptions(context=context))
    assert found.families["leakage-system-prompt"].value == found.families["leakage-secret"].value == 1
    assert all(seen[3]["messages"][0]["content"].startswith(context.system) for seen in model.seen)

    def own(body):  # its prompt is on its side
        return obedient({"messages": [{"role": "system", "content": "The code is FALCON-1234."}, *body["messages"]]})

    chat, model = endpoint(own)
    found = probe(chat, ProbeOptions(context=Context(prompts=False, secrets=("FALCON-1234",))))
    assert found.families["leakage-secret"].value == 1
    assert set(found.skipped) == {"leakage-system-prompt"}
    assert all(turn["role"] != "system" for seen in model.seen for turn in seen[3]["messages"])


def test_what_cannot_be_tried_is_said(endpoint):
    chat, _ = endpoint(refusing)
    with pytest.raises(UsageError, match="no attempt"):
        probe(chat, ProbeOptions(families=("leakage-secret",), context=Context(prompts=False)))
    with pytest.raises(UsageError, match="nonsense"):
        probe(chat, ProbeOptions(families=("nonsense",)))
    with pytest.raises(UsageError):
        probe(chat, ProbeOptions(attempts=0))


def test_progress_is_told_once_an_attempt(endpoint):
    ticks = []
    found = probe(endpoint(refusing)[0], ProbeOptions(families=("multi-turn", "plain")), tick=ticks.append)
    assert sum(ticks) == found.attempts


@pytest.mark.parametrize(
    "wrong",
    [{"url": "ftp://x"}, {"nothing": 1}, {"money": 1}, {"concurrency": 0}, {"url": "http://x.example/", "headers": {"A": "${B}"}}],
    ids=str,
)
def test_wrong_files_are_refused(wrong):
    with pytest.raises(UsageError):
        chat_request_of({"url": "https://llm.example/v1", **wrong})


def test_a_file_and_its_address(tmp_path):
    (tmp_path / "chat.yaml").write_text("url: https://llm.example/v1/\nmodel: m\nextra: {temperature: 0.5}\n", encoding="utf-8")
    request = load_chat_request(tmp_path / "chat.yaml")
    assert request.address == "https://llm.example/v1/chat/completions"
    assert chat_request_of({"url": "https://x.example/openai/chat/completions?api-version=1"}).address.endswith("=1")
