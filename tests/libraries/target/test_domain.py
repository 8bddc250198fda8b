"""The domain of a table: what `project` gives is allowed, nearest and stable; the judge of it is written apart."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stannary.checks.target.domain import Column, Group, TableDomain
from stannary.checks.target.domain_file import dump_domain, parse_domain, read_domain
from stannary.checks.target.domain_infer import infer_domain
from stannary.checks.target.expression import parse
from stannary.core.errors import InputError, UsageError

CREDIT = TableDomain(
    (
        Column("age", "integer", 18, 90, monotone="rise", cost=2, fixed=1),
        Column("income", low=0, high=1000),
        Column("debt", low=0, high=500, monotone="fall"),
        Column("grade", "ordinal", values=(1, 2, 5), scale=2),
        Column("owner", "binary", cost=3),
        Column("job_a", "onehot"),
        Column("job_b", "onehot"),
        Column("job_c", "onehot"),
        Column("sex_m", "onehot"),
        Column("sex_f", "onehot"),
        Column("ratio", formula="debt / (income + 1)", high=2),
        Column("town", "categorical", values=(0, 1, 2, 3), immutable=True),
    ),
    (Group("job", ("job_a", "job_b", "job_c"), cost=4), Group("sex", ("sex_m", "sex_f"), immutable=True)),
    ("debt <= income + 400",),
)

NUMBER = st.floats(-2000, 2000, allow_nan=False) | st.sampled_from([math.nan, math.inf, -math.inf, 0.0, 1.0, 0.5, 1e300])
ROW = st.lists(NUMBER, min_size=12, max_size=12)


@st.composite
def rows_of_data(draw):
    """A row as data has it, sometimes outside of what was written down."""
    income, debt = draw(st.floats(0, 1000)), draw(st.floats(0, 500))
    job, sex = draw(st.integers(0, 2)), draw(st.integers(0, 1))
    row = [draw(st.integers(10, 95)), income, debt, draw(st.sampled_from([1, 2, 5, 7])), draw(st.integers(0, 1))]
    row += [float(job == at) for at in range(3)] + [float(sex == at) for at in range(2)]
    return [*row, draw(st.sampled_from([debt / (income + 1), 1.5])), draw(st.integers(0, 3))]


def rows(*values):
    return torch.tensor(values, dtype=torch.float64)


@given(ROW, rows_of_data())
def test_what_project_gives_is_allowed_and_stays(wanted, origin) -> None:
    x, o = rows(wanted), rows(origin)
    moved = CREDIT.project(x, o)
    assert not CREDIT.violations(moved, o).any(), (moved, o)
    assert torch.equal(CREDIT.project(moved, o), moved)
    assert torch.equal(CREDIT.project(o, o), o)
    assert not CREDIT.violations(o, o).any()


@given(ROW, rows_of_data())
def test_rows_do_not_depend_on_their_neighbours(wanted, origin) -> None:
    x, o = rows(wanted, [5.0] * 12, wanted), rows(origin, [20.0, 1, 1, 1, 1, 1, 0, 0, 1, 0, 0.5, 1], origin)
    moved = CREDIT.project(x, o)
    assert torch.equal(moved[0], moved[2])
    assert torch.equal(moved[:1], CREDIT.project(x[:1], o[:1]))


@settings(max_examples=100)
@given(st.lists(st.floats(-3, 8), min_size=6, max_size=6), st.integers(0, 1), st.sampled_from([(1.0, 0.0), (0.0, 1.0), (0.0, 0.0)]))
def test_project_is_the_nearest_of_all_allowed_points(wanted, start, group) -> None:
    domain = TableDomain(
        (
            Column("n", "integer", 0, 3, monotone="rise"),
            Column("v", "ordinal", values=(-1, 0.5, 4), monotone="fall"),
            Column("b", "binary"),
            Column("fixed", immutable=True),
            Column("g1", "onehot"),
            Column("g2", "onehot"),
        ),
        (Group("g", ("g1", "g2"), optional=True),),
    )
    origin = rows([start, 0.5, 1, 2.5, *group])
    grid = itertools.product(range(start, 4), (-1, 0.5), (0, 1), (2.5,), ((1.0, 0.0), (0.0, 1.0), (0.0, 0.0)))
    points = rows(*([*first, *last] for *first, last in grid))
    assert not domain.violations(points, origin.expand(len(points), -1)).any()
    x = rows(wanted)
    moved = domain.project(x, origin)
    assert (moved - x).norm() == pytest.approx(float((points - x).norm(dim=1).min()), abs=1e-12)


def test_each_kind_of_violation_is_seen() -> None:
    origin = rows([40, 100, 50, 2, 1, 1, 0, 0, 1, 0, 50 / 101, 2])
    broken = {
        "fraction": (0, 41.5), "falls": (0, 39), "above": (0, 91), "below": (1, -1), "nan": (1, math.nan), "rises": (2, 51),
        "not a value": (3, 3), "not binary": (4, 0.5), "two of a group": (6, 1), "part": (5, 0.5), "immutable group": (8, 0),
        "immutable": (11, 3), "formula": (10, 0.7), "formula's input": (2, 40),
    }  # fmt: skip
    for what, (at, value) in broken.items():
        x = origin.clone()
        x[0, at] = value
        assert CREDIT.violations(x, origin).all(), what
    fine = origin.clone()
    fine[0, :8] = torch.tensor([55, 99, 49, 5, 0, 0, 0, 1])
    fine[0, 10] = 49 / 100
    assert not CREDIT.violations(fine, origin).any()


def test_a_constraint_between_columns_holds_where_it_was_moved() -> None:
    domain = TableDomain((Column("paid", low=0, high=100), Column("billed", low=0, high=100)), (), ("paid <= billed",))
    origin = rows([10, 20], [30, 20])  # the second one breaks it from the start
    assert not domain.violations(origin, origin).any()
    moved = domain.project(rows([40, 20], [50, 20]), origin)
    assert moved[0, 0] == pytest.approx(20, abs=1e-5)
    assert torch.equal(moved[1], origin[1])
    assert domain.violations(rows([40, 20]), origin[:1]).all()


def test_a_computed_column_follows_through_others_and_keeps_its_bounds() -> None:
    columns = (
        Column("a", "integer", 0, 10),
        Column("b", "integer", 0, 10),
        Column("t", formula="a + b", high=12),
        Column("h", formula="t / 2"),
    )
    domain = TableDomain(columns)
    origin = rows([1, 2, 3, 1.5])
    assert domain.project(rows([5, 6, 0, 0]), origin).tolist() == [[5, 6, 11, 5.5]]
    moved = domain.project(rows([10, 10, 0, 0]), origin)
    assert moved[0, 2] <= 12
    assert moved[0, 2] >= 10, "it went back further than it had to"
    assert not domain.violations(moved, origin).any()


def test_cost_and_changed_fields() -> None:
    origin = rows([40, 100, 50, 2, 1, 1, 0, 0, 1, 0, 50 / 101, 2])
    x = origin.clone()
    x[0, 0], x[0, 4], x[0, 5], x[0, 6] = 43, 0, 0, 1
    assert CREDIT.cost(x, origin).tolist() == [3 * 2 + 1 + 3 + 4]
    changed = CREDIT.changed(x, origin)[0].tolist()
    assert [name for name, yes in zip(CREDIT.fields, changed, strict=True) if yes] == ["age", "owner", "job"]
    x = CREDIT.project(rows([*origin[0, :2].tolist(), 40, *origin[0, 3:].tolist()]), origin)
    assert CREDIT.cost(x, origin).tolist() == [10], "what follows costs nothing of its own"


def test_float32_is_refused() -> None:
    with pytest.raises(UsageError, match="float64"):
        CREDIT.project(torch.zeros(1, 12), torch.zeros(1, 12))


@pytest.mark.parametrize(
    "text,part",
    [
        ("__import__('os')", "no such function"),
        ("a.b", "Attribute"),
        ("[a for a in b]", "ListComp"),
        ("a if b else c", "IfExp"),
        ("'x' + a", "not a number"),
        ("True + a", "not a number"),
        ("a <= b", "Compare"),
        ("a +", "not a formula"),
        ("max(a)", "two or more"),
        ("sqrt(a, b)", "takes 1"),
        ("9" * 400 + " + a", "too large"),
        ("(" * 60 + "a" + ")+1" * 60, "too large"),
        ("+".join(["a"] * 400), "too large"),
        ("max(a, b, key=c)", "no such function"),
    ],
)
def test_what_is_no_formula_is_refused(text, part) -> None:
    with pytest.raises(InputError, match=part):
        parse(text)


@given(st.floats(0.1, 50), st.floats(0.1, 50))
def test_formulas_mean_what_python_means(a, b) -> None:
    columns = {"a": rows([a])[0], "b c": rows([b])[0]}
    cases = {
        "a + `b c` * 2 - -3": a + b * 2 + 3,
        "max(a, `b c`, 7) / min(a, `b c`)": max(a, b, 7) / min(a, b),
        "sqrt(abs(a - `b c`)) + log(a) + exp(`b c` / 50)": math.sqrt(abs(a - b)) + math.log(a) + math.exp(b / 50),
        "floor(a) + ceil(`b c`) + round(a)": math.floor(a) + math.ceil(b) + round(a),
        "a ** 2 % 7": a**2 % 7,
    }
    for text, value in cases.items():
        assert float(parse(text).evaluate(columns)) == pytest.approx(value, rel=1e-9), text


# Files


def test_a_domain_is_read_back_as_it_was_written(tmp_path) -> None:
    path = tmp_path / "credit.yaml"
    path.write_text(dump_domain(CREDIT))
    again = read_domain(path, CREDIT.names)
    assert (again.columns, again.groups, again.constraints) == (CREDIT.columns, CREDIT.groups, CREDIT.constraints)
    assert again.digest == CREDIT.digest
    assert TableDomain(CREDIT.columns, CREDIT.groups).digest != CREDIT.digest


@given(st.lists(st.text(min_size=1, max_size=8).filter(lambda s: "\x00" not in s), min_size=1, max_size=5, unique=True))
def test_any_name_is_read_back(names) -> None:
    names = [name.encode("utf-8", "ignore").decode() or "x" for name in names]
    names = list(dict.fromkeys(names))
    domain = TableDomain(tuple(Column(name, low=0.1, high=1e300) for name in names))
    assert parse_domain(dump_domain(domain)).columns == domain.columns


def test_all_errors_come_together_with_their_lines() -> None:
    text = """\
columns:
  age: {kind: intger, low: 18}
  income: {low: ten, immutable: maybe}
  debt: {hihg: 3}
  sex_m: {kind: onehot}
grups: {}
constraints: debt
"""
    with pytest.raises(ExceptionGroup) as caught:
        parse_domain(text, "d.yaml")
    found = {error.where: (error.message, error.help) for error in caught.value.exceptions}
    assert found["d.yaml:2"] == ("there is no kind 'intger'", "did you mean 'integer'?")
    assert found["d.yaml:4"] == ("there is no setting 'hihg'", "did you mean 'high'?")
    assert found["d.yaml:6"][1] == "did you mean 'groups'?"
    assert "list" in found["d.yaml:7"][0]
    assert len([error for error in caught.value.exceptions if error.where == "d.yaml:3"]) == 2


def test_what_does_not_fit_together_names_its_line() -> None:
    text = """\
columns:
  a: {low: 3, high: 1}
  b: {formula: c + zz}
  c: {formula: b + 1}
  m: {kind: onehot}
"""
    with pytest.raises(ExceptionGroup) as caught:
        parse_domain(text)
    found = {error.where: error.message for error in caught.value.exceptions}
    assert "above" in found["domain:2"]
    assert "in no group" in found["domain:5"]
    with pytest.raises(ExceptionGroup, match="domain") as caught:
        parse_domain("columns:\n  b: {formula: c + 1}\n  c: {formula: b + 1}\n")
    assert "circle" in caught.value.exceptions[0].message
    with pytest.raises(ExceptionGroup) as caught:
        parse_domain("columns:\n  b: {formula: zz + 1}\n")
    assert "no column 'zz'" in caught.value.exceptions[0].message
    assert caught.value.exceptions[0].where == "domain:2"


def test_a_domain_describes_each_column_of_the_data_and_no_other() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        parse_domain("columns:\n  age: {}\n  incom: {}\n", names=["income", "age"])
    messages = [str(error) for error in caught.value.exceptions]
    assert any("has no column 'incom'" in text for text in messages)
    assert any("'income' of the data is not described" in text for text in messages)
    assert parse_domain("columns:\n  age: {}\n  income: {}\n", names=["income", "age"]).names == ("income", "age")


@pytest.mark.parametrize(
    "text,part",
    [
        ("", "mapping"),
        ("- 1", "mapping"),
        ("columns: [1", "no YAML"),
        ("a: &x 1\nb: *x", "aliases"),
        ("columns: {a: {}, a: {}}", "twice"),
        ("columns: 3", "mapping"),
        ("columns: {a: {low: .nan}}", "number"),
        ("columns: {a: {values: 3}}", "list"),
        ("columns: {a: {kind: ordinal}}", "needs its values"),
        ("columns: {}", "no columns"),
    ],
)
def test_what_is_no_domain_is_refused(text, part) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        parse_domain(text)
    assert part in str(caught.value.exceptions[0])


def test_a_file_that_is_not_there(tmp_path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_domain(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="UTF-8"):
        read_domain(tmp_path / "bad.yaml")


# From data


def test_a_domain_is_inferred_from_data() -> None:
    torch.manual_seed(3)
    n = 200
    job = torch.randint(0, 3, (n,))
    x = torch.stack(
        [
            torch.randint(18, 90, (n,)).double(),
            torch.rand(n).double() * 7 - 2,
            torch.randint(0, 2, (n,)).double(),
            *((job == k).double() for k in range(3)),
        ],
        1,
    )
    domain = infer_domain(x, ["age", "score", "owner", "job_a", "job_b", "job_c"], immutable=["age"])
    assert [c.kind for c in domain.columns] == ["integer", "continuous", "binary", "onehot", "onehot", "onehot"]
    assert domain.groups == (Group("job", ("job_a", "job_b", "job_c")),)
    assert domain.columns[0].immutable
    low, high = domain.span(x)
    assert torch.equal(low, x.amin(0))
    assert torch.equal(high, x.amax(0))
    assert not domain.violations(x, x.roll(1, 0)).logical_and(x[:, 0] == x.roll(1, 0)[:, 0]).any()
    narrow = infer_domain(x, quantiles=(0.1, 0.9))
    assert narrow.columns[1].low > float(x[:, 1].min())
    assert float(domain.scale(x)[1]) == pytest.approx(float(x[:, 1].std(correction=0)))


def test_what_no_domain_can_be_inferred_from() -> None:
    with pytest.raises(InputError, match="rows"):
        infer_domain(torch.zeros(0, 3))
    with pytest.raises(InputError, match="finite"):
        infer_domain(torch.tensor([[math.nan]]))
    with pytest.raises(InputError, match="names"):
        infer_domain(torch.zeros(2, 3), ["a"])
