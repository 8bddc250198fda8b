"""The table, Markdown and HTML: what people read."""

from __future__ import annotations

import base64
import hashlib
import re
import unicodedata
from html.parser import HTMLParser

import msgspec
import pytest

from stannary.checks.static.result import Missed, TargetResult
from stannary.report import html, markdown, table
from stannary.report.interface import FORMATS, renderer
from stannary.report.wording import human_seconds, human_size

VOID = {"meta", "br", "hr", "img", "input", "link", "circle"}


class Page(HTMLParser):
    """Checks nesting and collects what a browser would act on."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str, str | None]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes.extend((tag, key, value) for key, value in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):  # noqa: ARG002 - the parser's signature
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_table_tells_the_worst_first_and_ends_with_the_headline(mixed, context):
    lines = table.render(mixed, context).splitlines()
    assert lines[0].startswith(" UNSAFE  downloads")
    assert (
        lines[-1]
        == "scanned 2.0 GB in 1.3 s · 7 files · 1 unsafe · 1 suspicious · 2 incomplete · 1 unverified · 2 clean · 1 waived"
    )
    order = [next(n for n, line in enumerate(lines) if word in line) for word in ("critical", "medium", "low ")]
    assert order == sorted(order)


def test_the_table_says_loudly_what_was_not_read(mixed, context):
    text = table.render(mixed, context)
    assert "NOT READ" in text
    assert "broken.h5: model_config @ 96  needs 12 bytes, 3 are left" in text
    assert "locked.bin  permission denied" in text


@pytest.mark.parametrize(
    "show, present, absent",
    [
        ("findings", ["1 note of severity info not shown"], ["protocol 2", "reviewed by the owner", "clean.safetensors"]),
        ("clean", ["clean.safetensors"], ["protocol 2", "reviewed by the owner"]),
        ("all", ["clean.safetensors", "protocol 2", "reviewed by the owner"], ["not shown"]),
    ],
)
def test_show_decides_how_much(mixed, context, show, present, absent):
    text = table.render(mixed, msgspec.structs.replace(context, show=show))
    assert [word for word in present if word not in text] == []
    assert [word for word in absent if word in text] == []


def test_the_coloured_table_says_the_same_words(mixed, context):
    plain = table.render(mixed, context)
    colored = table.render(mixed, msgspec.structs.replace(context, color=True, width=400))
    assert "\x1b[" in colored
    stripped = re.sub(r"\x1b\[[0-9;]*m", "", colored)
    assert [line.rstrip() for line in stripped.splitlines()] == plain.splitlines()


def test_the_coloured_table_is_wrapped_at_the_width(mixed, context):
    colored = table.render(mixed, msgspec.structs.replace(context, color=True, width=60))
    assert max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in colored.splitlines()) <= 60


def test_a_large_result_is_summarised_and_says_so(large, context):
    text = table.render(large, context)
    assert len(text.splitlines()) < 600
    assert "and 1,960 files more with 11,760 findings (11,760 critical)" in text
    assert len(table.render(large, msgspec.structs.replace(context, show="all")).splitlines()) > 14_000


def single(build, number, verdict):
    name = f"{number}.pkl"
    findings = (build.finding(file=name),) if verdict == "unsafe" else ()
    return TargetResult(
        path=name, digest=None, kind="model", size=1, verdict=verdict, files=(build.file(name, verdict),), findings=findings
    )


def test_of_many_targets_the_clean_ones_are_counted_and_the_worst_of_the_rest_told(build, context):
    result = build.outcome(*(single(build, number, "clean" if number % 2 else "unsafe") for number in range(1000)))
    text = table.render(result, context)
    assert " CLEAN  500 targets  name them with --show clean" in text
    assert "and 300 targets more (300 unsafe); see them with --show all" in text
    assert "999.pkl" not in text
    everything = table.render(result, msgspec.structs.replace(context, show="all"))
    assert all(f" {number}.pkl" in everything for number in range(1000))


def test_a_single_file_is_named_once_whatever_its_folder(build, context):
    target = msgspec.structs.replace(single(build, 1, "unsafe"), path="some/folder/1.pkl")
    assert table.render(build.outcome(target), context).count("1.pkl") == 1


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_nothing_hostile_reaches_a_terminal_from_any_format(hostile, context, form):
    text = renderer(form)(hostile, context)
    bad = {ch for ch in text if unicodedata.category(ch) in {"Cc", "Cf", "Cs", "Co"} and ch not in "\n\ufe0f"}
    assert bad == set()


def test_a_hostile_name_cannot_start_a_line_of_its_own(hostile, context):
    assert not [line for line in table.render(hostile, context).splitlines() if line.startswith("##")]


def test_markdown_puts_hostile_text_in_code_spans_only(hostile, context):
    text = markdown.render(hostile, context)
    spans = re.sub(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", "", text)
    for attack in ("@admin", "https://evil.example", "<script>", "](https"):
        assert attack in text
        assert attack not in spans


def test_markdown_fits_a_comment(large, context):
    assert len(markdown.render(large, context)) < 65_536


def test_html_is_well_formed_and_holds_nothing_active(hostile, mixed, context):
    for result in (hostile, mixed):
        page = Page(html.render(result, context))
        assert page.open == []
        assert page.tags.isdisjoint({"script", "img", "iframe", "link", "object", "embed", "form", "input", "base"})
        assert [a for a in page.attributes if a[1].startswith("on") or a[1] in {"src", "style", "srcset", "action"}] == []
        links = {value for _, key, value in page.attributes if key == "href"}
        assert all(
            re.match(r"https://(cwe|atlas)\.mitre\.org/|https://genai\.owasp\.org/|#[A-Z0-9]+$|#not-read$", link) for link in links
        )


def test_html_policy_names_the_digest_of_its_style(mixed, context):
    text = html.render(mixed, context)
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src &#39;sha256-{digest}&#39;" in text
    assert "default-src &#39;none&#39;" in text
    assert "url(" not in style
    assert "@import" not in style


def test_html_of_five_thousand_files_is_small_and_honest(large, context):
    text = html.render(large, context)
    assert len(text.encode()) <= html.LIMIT
    assert re.search(r"[\d,]+ more files with findings are not shown here", text)
    assert re.search(r"[\d,]+ more clean files are not shown here", text)
    assert "12,000 critical" in text


def test_html_stays_small_when_every_text_is_long(context, build):
    files = tuple(build.file(f"{i}-{'n' * 3000}", "unsafe") for i in range(800))
    found = tuple(
        build.finding(file=f.path, message="m" * 5000, evidence={f"key{k}": "v" * 9000 for k in range(30)}) for f in files
    )
    target = TargetResult(path="p" * 4000, digest=None, kind="model", size=1, verdict="unsafe", files=files, findings=found)
    text = html.render(build.outcome(target), context)
    assert len(text.encode()) <= html.LIMIT
    assert "are not shown here" in text


def test_html_without_findings_is_calm(clean, context):
    text = html.render(clean, context)
    assert "<h1>Clean</h1>" in text
    assert "<h2>Findings" not in text
    assert "Not read" not in text


def test_the_empty_result_is_not_clean(context, build):
    empty = build.outcome()
    for form in FORMATS:
        assert renderer(form)(empty, context)
    assert "incomplete" in markdown.render(empty, context)


@pytest.mark.parametrize(
    "size, shown",
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_999, "1.0 MB"), (2_100_000_000, "2.1 GB"), (5 << 50, "5629.5 TB")],
)
def test_sizes(size, shown):
    assert human_size(size) == shown


@pytest.mark.parametrize(
    "seconds, shown", [(0.0, "0 ms"), (0.0123, "12 ms"), (0.9999, "1.0 s"), (1.31, "1.3 s"), (125, "2 min 05 s")]
)
def test_durations(seconds, shown):
    assert human_seconds(seconds) == shown


@pytest.mark.parametrize("form", [markdown, html])
def test_of_several_targets_each_file_is_named_with_its_own(mixed, context, build, form):
    assert "downloads/custom.pkl" in form.render(mixed, context)
    alone = form.render(build.outcome(mixed.targets[0]), context)
    assert "custom.pkl" in alone
    assert "downloads/custom.pkl" not in alone


def test_a_folder_read_as_a_whole_is_told_once_and_is_no_file(context, build):
    whole = build.file("/", "incomplete", format="repository", size=0, missed=(Missed("weights are elsewhere"),))
    target = TargetResult(
        path="repo",
        digest=None,
        kind="model",
        size=1234,
        verdict="incomplete",
        files=(whole, build.file("a.pkl")),
        findings=(build.finding(file=".", rule="REP011", severity="low", offset=None),),
    )
    lines = table.render(build.outcome(target), context).splitlines()
    assert lines[0] == " INCOMPLETE  repo  1 file, 1.2 kB"
    assert lines[1] == "  .  repository"
    assert "    .  weights are elsewhere" in lines
    page = markdown.render(build.outcome(target), context)
    assert "- `repo`: `weights are elsewhere`" in page
    assert "1 file<" in html.render(build.outcome(target), context) or "1 file ·" in html.render(build.outcome(target), context)
