"""What no file of the repository may say, and what each of them must."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.tree

ROOT = Path(__file__).resolve().parents[2]
# Written so that this file does not hold them.
HOSTS = [
    re.escape(".".join(parts)) for parts in (("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("deb", "debian", "org"))
]
PLACES = [rf"/{'work'}/(main|shared|\.)", rf"/{'root'}/\.(pyenv|cache|local)", rf"/{'opt'}/(wheels|pypi)"]
REGISTRIES = re.compile("|".join(HOSTS).encode())
MACHINES = re.compile("|".join(PLACES).encode())


def repository():
    """Return the files that are, or would be, committed."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    return [path for name in names if name and (path := ROOT / name).is_file()]


@pytest.mark.parametrize("pattern", [REGISTRIES, MACHINES], ids=["registry", "machine"])
def test_no_file_names_a_registry_or_a_machine(pattern):
    assert [str(path.relative_to(ROOT)) for path in repository() if pattern.search(path.read_bytes())] == []


def test_locks_name_no_host():
    for path in sorted((ROOT / "requirements").glob("*.txt")):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"://|--(extra-)?index-url|--find-links", text), path.name


def test_locked_packages_have_hashes():
    for name in ("base", "dev", "ml"):
        text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
        for block in re.split(r"\n(?=[a-z0-9])", text.strip()):
            assert "--hash=sha256:" in block, block.splitlines()[0]


def test_no_lock_that_embeds_addresses():
    assert not [path.name for path in repository() if path.name in {"uv.lock", "pylock.toml"}]


def test_every_dependency_is_locked():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locked = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements" / "base.txt").read_text(), re.MULTILINE))
    wanted = {re.split(r"[<>=!;\[ ]", text)[0].replace(".", "-").lower() for text in project["dependencies"]}
    assert wanted <= locked


def test_the_changelog_has_this_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{project['version']}]" in text


def links(page):
    """Return the files that a page links to."""
    targets = re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", page.read_text(encoding="utf-8"))
    return [(page.parent / target).resolve() for target in targets]


def test_links_between_pages_lead_somewhere():
    pages = [path for path in repository() if path.suffix == ".md"]
    assert [(page.name, str(target)) for page in pages for target in links(page) if not target.exists()] == []


def test_every_page_is_reached_from_the_index():
    seen, left = set(), [ROOT / "docs" / "index.md"]
    while left:
        page = left.pop()
        if page.suffix == ".md" and page not in seen:
            seen.add(page)
            left.extend(links(page))
    assert set((ROOT / "docs").rglob("*.md")) - seen == set()
