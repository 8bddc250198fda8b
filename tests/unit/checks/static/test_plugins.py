"""Plug-ins: nothing is loaded unless named; what is named adds readings and findings, or is an error that says why."""

import sys

import pytest

from stannary import scan
from stannary.checks.static import plugins, ruleset
from stannary.checks.static.walk import read_view
from stannary.cli.config import load as load_config
from stannary.core.errors import UsageError
from stannary.formats.identify import identify
from stannary.formats.interface import View

ACME = """
from stannary.checks.static.ruleset import Examples, Hit, Match, Rule
from stannary.formats.identify import Format

FORMAT = Format("acme", "{module}:read", ((0, b"ACME\\x00"),), names=("*.acme",))


def rule(name, **more):
    return Rule(name, "Acme hook", "high", "what", "why", "exploit", "fix", "hook {{name}}", Examples("a", "b"), **more)


RULES = [rule("ACM001", match=(Match("acme.hook", {{"name": "boot"}}),)), rule("ACM002")]


def read(view, sink):
    text = view.bytes(5, len(view) - 5).decode()
    for name in text.split():
        sink.fact("acme.hook", 5, name=name)


def judge(facts):
    hooks = [fact for fact in facts if fact.kind == "acme.hook"]
    if len(hooks) > 1:
        yield Hit("ACM002", hooks[-1], "more than one hook")
"""


@pytest.fixture
def distribution(tmp_path, monkeypatch):
    """Return a function that puts a package with entry points on sys.path."""

    def make(name, source, points):
        home = tmp_path / f"site-{name}"
        info = home / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        info.joinpath("METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        info.joinpath("entry_points.txt").write_text(points)
        home.joinpath(f"{name}.py").write_text(source)
        monkeypatch.syspath_prepend(str(home))
        plugins.load.cache_clear()
        return name

    yield make
    plugins.load.cache_clear()
    for name in [name for name in sys.modules if name.startswith("fake_acme")]:
        del sys.modules[name]


@pytest.fixture
def acme(distribution):
    points = "[stannary.formats]\nacme = fake_acme:FORMAT\n[stannary.checks]\nacme = fake_acme\n"
    return distribution("fake_acme", ACME.format(module="fake_acme"), points)


def test_what_is_installed_but_not_named_is_not_imported(acme, tmp_path):
    path = tmp_path / "model.acme"
    path.write_bytes(b"ACME\0boot")
    result = scan(path, jobs=1)
    assert acme not in sys.modules
    assert result.targets[0].verdict == "incomplete"
    assert not result.findings


@pytest.mark.parametrize("jail", [None, "process"])
def test_a_named_plug_in_reads_and_judges_in_the_workers(acme, tmp_path, jail):
    path = tmp_path / "model.acme"
    path.write_bytes(b"ACME\0boot quiet")
    result = scan(path, jobs=1, jail=jail, plugins=("acme",))
    assert "acme" in result.targets[0].files[0].formats
    assert sorted((finding.rule, finding.message) for finding in result.findings) == [
        ("ACM001", "hook boot"),
        ("ACM002", "more than one hook"),
    ]


def test_a_plug_in_adds_to_what_ours_find(acme):
    rows = plugins.load(("acme",)).formats
    polyglot = View(b"\x80\x04cos\nsystem\n.", "model.acme")
    names = [row.name for row in identify(polyglot)]
    assert [row.name for row in identify(polyglot, plugged=rows)] == [*names, "acme"]
    assert read_view(View(b"{}", "a.json"), plugged=rows).formats == read_view(View(b"{}", "a.json")).formats


def test_the_cache_tells_plug_ins_apart(acme, tmp_path):
    path = tmp_path / "model.acme"
    path.write_bytes(b"ACME\0boot")
    cache = tmp_path / "cache"
    without = scan(path, jobs=1, cache=cache)
    with_it = scan(path, jobs=1, cache=cache, plugins=("acme",))
    assert (len(without.findings), len(with_it.findings)) == (0, 1)


def test_rules_of_plug_ins_have_their_own_digest(acme):
    assert plugins.load(()).rules is ruleset.load()
    extended = plugins.load(("acme",)).rules
    assert extended.digest != ruleset.load().digest
    assert set(extended.rules) - set(ruleset.load().rules) == {"ACM001", "ACM002"}


def test_a_name_that_nothing_has_is_an_error(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("text")
    with pytest.raises(UsageError, match="no installed package has a plug-in 'nobody'"):
        scan(path, plugins=("nobody",))


@pytest.mark.parametrize(
    "source,points,why",
    [
        ("FORMAT = 3", "[stannary.formats]\nbad = fake_acme_bad:FORMAT", "no Format"),
        ("raise RuntimeError('broken')", "[stannary.formats]\nbad = fake_acme_bad:FORMAT", "RuntimeError: broken"),
        ("RULES = ['x']", "[stannary.checks]\nbad = fake_acme_bad", "no Rule"),
        (ACME.format(module="fake_acme_gone"), "[stannary.formats]\nbad = fake_acme_bad:FORMAT", "reader of 'acme'"),
        (
            ACME.format(module="fake_acme_bad").replace('"acme"', '"pickle"'),
            "[stannary.formats]\nbad = fake_acme_bad:FORMAT",
            "'pickle' is there already",
        ),
        (
            ACME.format(module="fake_acme_bad").replace("ACM001", "PKL001"),
            "[stannary.checks]\nbad = fake_acme_bad",
            "'PKL001' is there",
        ),
    ],
    ids=["no-row", "raises", "no-rule", "no-reader", "taken-format", "taken-rule"],
)
def test_a_plug_in_that_is_wrong_is_an_error_that_says_why(distribution, source, points, why):
    distribution("fake_acme_bad", source, points)
    with pytest.raises(UsageError, match=why):
        plugins.load(("bad",))


def test_the_configuration_names_them(tmp_path):
    (tmp_path / "stannary.toml").write_text('[scan]\nplugins = ["acme"]\n')
    assert load_config(start=tmp_path, environ={})["scan.plugins"] == ("acme",)
    assert load_config(start=tmp_path, environ={"STANNARY_SCAN_PLUGINS": "one, two"})["scan.plugins"] == ("one", "two")
