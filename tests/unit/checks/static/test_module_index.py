"""Bisection in the shipped file says what reading all of it says."""

import json
from importlib import resources

import pytest

from stannary.checks.static.module_index import ModuleIndex

RAW = resources.files("stannary.checks.static").joinpath("data", "knowledge.json").read_bytes()
MODULES = json.loads(RAW)["modules"]
INDEX = ModuleIndex(RAW)


def test_the_file_is_as_the_bisection_needs_it():
    assert list(MODULES) == sorted(MODULES)
    assert RAW.isascii()
    assert not any("{" in text or "}" in text or '"' in text for roles in MODULES.values() for text in (*roles, *roles.values()))
    assert RAW.count(b'},"') == len(MODULES)  # one before `stdlib`, none after the last


def test_every_module_is_found_with_its_roles():
    for module, roles in MODULES.items():
        assert INDEX.roles(module) == roles


def test_what_is_not_there_is_not_found():
    for module in list(MODULES)[::7]:
        for other in (module + "!", module + "\uffff", module[:-1] + chr(ord(module[-1]) - 1), module + ".x\x00"):
            assert (other in INDEX) == (other in MODULES)
            assert INDEX.roles(other) == MODULES.get(other, {})


@pytest.mark.parametrize(
    "prefix",
    ["", "Bio.", "zeus.", "sklearn.", "scipy.stats.", "scipy.stat.", "zz", "zeus.samples", "A", "\x00", "numpy._core.", "é"],
)
def test_prefixes_are_told(prefix):
    assert INDEX.has_below(prefix) == any(module.startswith(prefix) for module in MODULES)


def test_the_prefix_of_every_module_is_told():
    tops = {module.partition(".")[0] for module in MODULES}
    below = {module.partition(".")[0] for module in MODULES if "." in module}
    for top in tops:
        assert INDEX.has_below(top + ".") == (top in below)


@pytest.mark.parametrize("modules", [{}, {"a": {"c": "b"}}, {"a": {"c": "b"}, "b.c": {"k": "d"}}])
def test_few_modules(modules):
    index = ModuleIndex(json.dumps({"packages": {}, "stdlib": [], "modules": modules}, separators=(",", ":")).encode())
    for module in ("", "a", "aa", "b", "b.c", "z"):
        assert (module in index) == (module in modules)
        assert index.roles(module) == modules.get(module, {})


def test_another_file_is_refused():
    with pytest.raises(ValueError, match="no modules"):
        ModuleIndex(b"{}")


@pytest.mark.parametrize("many", [-1, 10**9])
def test_a_table_of_all_and_bisection_say_the_same(monkeypatch, many):
    monkeypatch.setattr("stannary.checks.static.module_index._MANY", many)
    index = ModuleIndex(RAW)
    for module in [*list(MODULES)[::97], "", "a0", "sklearn.nothing", "\uffff"]:
        assert (module in index) == (module in MODULES)
        assert index.roles(module) == MODULES.get(module, {})
        assert index.has_below(f"{module}.") == any(name.startswith(f"{module}.") for name in MODULES)
