"""What a base install weighs, and that it holds what it needs."""

import importlib.metadata
from importlib import resources

from packaging.requirements import Requirement

BASE_BYTES = 65 << 20


def closure(name):
    """Return the names of a distribution and all it requires, extras left out."""
    found, left = set(), [name]
    while left:
        current = left.pop()
        if current in found:
            continue
        found.add(current)
        for text in importlib.metadata.requires(current) or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                left.append(requirement.name)
    return found


def weight(name):
    """Return the bytes of the installed files, compiled modules included."""
    files = importlib.metadata.files(name) or ()
    paths = [path for file in files if (path := file.locate()).is_file()]
    return sum(path.stat().st_size for path in paths)


def test_a_base_install_is_small():
    sizes = {name: weight(name) for name in closure("stannary")}
    ours = resources.files("stannary")
    # An editable install lists none of our modules: weigh the folder instead.
    sizes["stannary"] = sum(path.stat().st_size for path in ours.rglob("*") if path.is_file())
    assert sum(sizes.values()) <= BASE_BYTES, sizes


def test_the_data_is_installed():
    data = resources.files("stannary.checks.static").joinpath("data")
    for name in ("rules.json", "atlas.json"):
        assert data.joinpath(name).is_file(), name
    assert resources.files("stannary").joinpath("py.typed").is_file()
