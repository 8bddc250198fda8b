"""Versions and aliases: what is pushed is pulled, and an alias moves by a decision alone."""

import json
import threading
from datetime import timedelta

import msgspec
import pytest
from tests.powerless import powerless

from stannary.core.errors import BackendError, InputError, IntegrityError, PolicyDenied, StannaryError, UsageError
from stannary.core.model import Digest
from stannary.evidence.trust import write_trust
from stannary.policy.model import Policy, Requirement
from stannary.registry import promotion, queries, transfer
from stannary.registry.names import Name, parse, parse_model
from stannary.registry.retention import delete, hold, plan, quarantine, retain, sweep

CLAIMS = Name("default", "claims")
APPROVED = Policy(name="approved", require=(Requirement(kind="statement", check="approval", approvals=1),))


@pytest.fixture
def registry(bench):
    found = bench.opened[0]
    promotion.protect(found, CLAIMS, "production", APPROVED)
    return found


def digests(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_pushed_is_pulled_byte_for_byte(bench, registry, tmp_path):
    version = bench.push(b"one" * 700_000)
    assert (version.number, version.files, version.creator) == (1, 2, "ann")
    found, path = registry.pull(parse("claims:1"), tmp_path / "out")
    assert found == version
    assert digests(path) == digests(tmp_path / "m")


def test_a_single_file_keeps_its_name_and_so_its_digest(bench, registry, tmp_path):
    file = tmp_path / "model.onnx"
    file.write_bytes(b"x")
    version = registry.push(file, CLAIMS)
    _, path = registry.pull(parse("claims"), tmp_path / "out")
    assert path == tmp_path / "out" / "model.onnx"
    assert registry.push(path, CLAIMS).number == version.number


def test_the_same_artifact_again_is_the_same_version(bench, registry):
    assert [bench.push(b"one").number, bench.push(b"two").number, bench.push(b"one").number] == [1, 2, 1]
    assert [item.number for item in registry.versions(CLAIMS)] == [2, 1]


def test_an_alias_moves_when_its_policy_allows_it(bench, registry):
    version = bench.push(b"one")
    denied = promotion.promote(registry, CLAIMS, 1, "production")
    assert (denied.moved, denied.decision.verdict) == (False, "deny")
    with pytest.raises(UsageError, match="no such alias"):
        registry.resolve(parse("claims@production"))
    bench.say(version)
    assert promotion.promote(registry, CLAIMS, 1, "production").moved
    assert registry.resolve(parse("claims@production")).digest == version.digest
    kinds = [(row.type, row.kind) for row in registry.chain.ledger.entries()]
    assert kinds[-2:] == [("decision", "vsa"), ("registry", "alias")]
    assert ("decision", "vsa") in kinds[:-2]  # the denial is in the ledger as well


def test_rollback_goes_to_the_last_version_that_may_be_in_service_now(bench, registry):
    versions = [bench.push(bytes([number]) * 9) for number in range(1, 5)]
    for version in versions:
        bench.say(version)
        promotion.promote(registry, CLAIMS, version.number, "production")
    quarantine(registry, versions[2].digest, "flagged")
    bench.say(versions[1], "reject")
    found = promotion.rollback(registry, CLAIMS, "production")
    assert (found.moved, found.number, found.before, found.tried) == (True, 1, 4, (3, 2))
    assert registry.resolve(parse("claims@production")).number == 1
    assert registry.moves(CLAIMS)[0].reason == "rollback"


def _untrust(other, version):
    workspace = other.chain.workspace
    write_trust(workspace.trust_path, workspace.trust.without(workspace.signer.public.keyid)[0])


ELSEWHERE = {
    "quarantine": lambda other, version: quarantine(other, version.digest, "flagged"),
    "freeze": lambda other, _: promotion.freeze(other, CLAIMS, "production", "an audit"),
    "deletion": lambda other, version: delete(other, CLAIMS, version.number, "old"),
    "policy": lambda other, _: promotion.protect(other, CLAIMS, "production", Policy(name="nothing")),
    "trust": _untrust,
}


@pytest.mark.parametrize("what", ELSEWHERE)
def test_what_another_process_says_counts_at_the_next_promotion(bench, registry, what):
    """Whatever this one has read, decided and kept before."""
    versions = [bench.push(bytes([number]) * 9) for number in range(1, 4)]
    for version in versions:
        bench.say(version)
    for number in (1, 2, 1, 3):
        assert promotion.promote(registry, CLAIMS, number, "production").moved
    ELSEWHERE[what](bench.open("bob"), versions[1])
    try:
        moved = promotion.promote(registry, CLAIMS, 2, "production").moved
    except StannaryError:
        moved = False
    assert not moved
    assert queries_at(registry) == 3


def queries_at(registry):
    with registry.reading() as connection:
        return queries.alias_of(connection, parse("claims@production")).number


def test_a_rollback_goes_back_in_the_order_that_versions_were_last_in_service(bench, registry):
    for number in range(1, 4):
        bench.say(bench.push(bytes([number]) * 9))
    for number in (1, 2, 3, 1, 2):
        promotion.promote(registry, CLAIMS, number, "production")
    assert [promotion.rollback(registry, CLAIMS, "production").number for _ in range(3)] == [1, 2, 1]
    quarantine(registry, registry.show(parse("claims:2")).digest, "flagged")
    assert promotion.rollback(registry, CLAIMS, "production").number == 3


def test_a_rollback_with_nowhere_to_go_says_so_and_moves_nothing(bench, registry):
    bench.say(bench.push(b"one"))
    promotion.promote(registry, CLAIMS, 1, "production")
    with pytest.raises(UsageError, match="no other version"):
        promotion.rollback(registry, CLAIMS, "production")
    assert registry.resolve(parse("claims@production")).number == 1


def test_what_is_quarantined_is_had_under_no_name(bench, registry, tmp_path):
    version = bench.push(b"one")
    bench.push(b"one", name="other/copy")
    bench.say(version)
    promotion.promote(registry, CLAIMS, 1, "production")
    concerned = quarantine(registry, version.digest, "found in the wild")
    assert [str(item) for item in concerned] == ["claims:1", "other/copy:1"]
    for name in ("claims@production", "claims:1", "claims", "other/copy"):
        with pytest.raises(PolicyDenied, match="found in the wild"):
            registry.resolve(parse(name))
    with pytest.raises(PolicyDenied):
        bench.push(b"one", name="third")
    with pytest.raises(PolicyDenied):
        promotion.promote(registry, CLAIMS, 1, "staging")
    assert registry.show(parse("claims:1")).quarantined == "found in the wild"
    quarantine(registry, version.digest, "settled", lifted=True)
    assert registry.resolve(parse("claims@production")).number == 1


def test_a_frozen_alias_stays_whatever_the_policy_says(bench, registry):
    for content in (b"one", b"two"):
        bench.say(bench.push(content))
    promotion.promote(registry, CLAIMS, 1, "production")
    for name, alias in ((CLAIMS, "production"), (CLAIMS, "*"), (Name("default", "*"), "*")):
        promotion.freeze(registry, name, alias, "incident 12")
        for move in (
            lambda: promotion.promote(registry, CLAIMS, 2, "production"),
            lambda: promotion.rollback(registry, CLAIMS, "production"),
            lambda: promotion.remove(registry, CLAIMS, "production"),
        ):
            with pytest.raises(PolicyDenied, match="incident 12"):
                move()
        promotion.freeze(registry, name, alias, "", lifted=True)
    assert promotion.promote(registry, CLAIMS, 2, "production").moved


def test_whoever_pushed_does_not_promote_where_duties_are_separate(bench, registry):
    promotion.protect(registry, CLAIMS, "production", APPROVED, separate=True)
    bench.say(bench.push(b"one"))
    with pytest.raises(PolicyDenied, match="pushed by ann"):
        promotion.promote(registry, CLAIMS, 1, "production")
    assert promotion.promote(bench.open("bob"), CLAIMS, 1, "production").moved


def test_who_may_not_gets_nowhere_and_sees_nothing(bench, registry):
    bench.say(bench.push(b"one"))

    def nobody(action, name, alias=""):
        msg = "no"
        raise PolicyDenied(msg)

    stranger = bench.open("eve", allowed=nobody)
    assert stranger.models() == []
    calls = [
        lambda: stranger.resolve(parse("claims")),
        lambda: stranger.show(parse("claims")),
        lambda: stranger.versions(CLAIMS),
        lambda: stranger.moves(CLAIMS),
        lambda: stranger.push(bench.root / "m", CLAIMS),
        lambda: promotion.promote(stranger, CLAIMS, 1, "production"),
        lambda: promotion.rollback(stranger, CLAIMS, "production"),
        lambda: promotion.remove(stranger, CLAIMS, "production"),
        lambda: promotion.protect(stranger, CLAIMS, "production", APPROVED),
        lambda: promotion.freeze(stranger, CLAIMS, "*", "no"),
        lambda: quarantine(stranger, "sha256:" + "0" * 64, "no"),
        lambda: hold(stranger, CLAIMS, 1, "no"),
        lambda: retain(stranger, CLAIMS, keep=1, older_than=timedelta(0), reason="no"),
        lambda: sweep(stranger),
    ]
    before = registry.chain.ledger.head().size
    for call in calls:
        with pytest.raises(PolicyDenied):
            call()
    assert registry.chain.ledger.head().size == before


def test_a_policy_of_a_namespace_holds_where_a_model_has_none(bench, registry):
    promotion.protect(registry, Name("default", "*"), "canary", APPROVED)
    bench.push(b"one", name="other")
    assert not promotion.promote(registry, Name("default", "other"), 1, "canary").moved
    assert registry.protection(Name("default", "other"), "canary").policy["name"] == "approved"
    assert registry.protection(Name("default", "other"), "production").policy["name"] == "production"
    assert registry.protection(Name("elsewhere", "other"), "canary").policy["name"] == "baseline"


def test_retention_keeps_what_is_in_service_held_quarantined_or_new(bench, registry):
    versions = [bench.push(bytes([number]) * 9) for number in range(1, 8)]
    bench.say(versions[0])
    promotion.promote(registry, CLAIMS, 1, "production")
    hold(registry, CLAIMS, 2, "case 4711")
    quarantine(registry, versions[2].digest, "flagged")
    assert plan(registry, CLAIMS, keep=2, older_than=timedelta(hours=1)) == []
    bench.offset = timedelta(days=2)
    chosen = retain(registry, CLAIMS, keep=2, older_than=timedelta(days=1), reason="old")
    assert [item.number for item in chosen] == [5, 4]
    with pytest.raises(UsageError, match="was deleted"):
        registry.resolve(parse("claims:4"))
    assert sweep(registry, dry_run=True).deleted == 2  # two weights; the shared config stays, manifests are in the ledger
    assert sweep(registry).deleted == 2
    assert sweep(registry).deleted == 0
    for number in (1, 2, 6, 7):
        registry.pull(parse(f"claims:{number}"), bench.root / f"out{number}")
    assert bench.push(bytes([4]) * 9).number == 8  # a number is never given twice
    hold(registry, CLAIMS, 2, "", lifted=True)
    assert [item.number for item in retain(registry, CLAIMS, keep=3, older_than=timedelta(days=1), reason="old")] == [2]


def test_a_push_under_way_is_not_swept(bench, registry):
    bench.push(b"one")
    folder = bench.model(b"not registered yet")
    from stannary.evidence.subject import identify
    from stannary.registry.transfer import upload

    upload(registry.contents("default"), identify(folder), folder)
    swept = sweep(registry)
    assert (swept.deleted, swept.young) == (0, 1)


def test_a_manifest_stands_in_the_event_when_it_is_small_and_nothing_is_encrypted(bench, registry, monkeypatch):
    small = bench.push(b"one")
    assert not registry.contents("default").has(Digest.parse(small.manifest))
    monkeypatch.setattr(transfer, "INLINE", 10)
    large = bench.push(b"two")
    assert registry.contents("default").has(Digest.parse(large.manifest))
    for version in (small, large):
        assert [file.path for file in registry.manifest(version).files] == ["sub/config.json", "weights.bin"]
        registry.pull(parse(str(version)), bench.root / f"out{version.number}")
    # A table that names another manifest than the event is not believed.
    forged = msgspec.structs.replace(small, manifest=large.manifest)
    with pytest.raises(IntegrityError):
        registry.manifest(forged)
    # What the event of one version holds is not another's.
    with pytest.raises(IntegrityError):
        registry.manifest(msgspec.structs.replace(large, entry=small.entry))


def test_tables_are_made_again_from_the_ledger(bench, registry):
    for content in (b"one", b"two"):
        bench.say(bench.push(content))
    promotion.promote(registry, CLAIMS, 1, "production")
    promotion.promote(registry, CLAIMS, 2, "production")
    hold(registry, CLAIMS, 1, "case")
    promotion.freeze(registry, CLAIMS, "canary", "why not")
    before = (registry.models(), registry.versions(CLAIMS), registry.moves(CLAIMS), registry.protection(CLAIMS, "canary"))
    assert registry.rebuild() == 7
    assert (registry.models(), registry.versions(CLAIMS), registry.moves(CLAIMS), registry.protection(CLAIMS, "canary")) == before


def test_tables_that_lag_behind_the_ledger_catch_up(bench, registry):
    """As after a process that died between the append and the commit."""
    import sqlalchemy as sa

    from stannary.store import tables

    bench.say(bench.push(b"one"))
    promotion.promote(registry, CLAIMS, 1, "production")
    with registry.database.writing() as connection:
        for table in (tables.alias, tables.alias_move):
            connection.execute(sa.delete(table))
        connection.execute(sa.update(tables.applied).values(size=4, root=registry.chain.ledger.root_at(4).hex()))
    assert bench.open("bob").resolve(parse("claims@production")).number == 1


@pytest.mark.parametrize("change", ["alias", "digest", "manifest", "entry", "dropped", "creator", "info"])
def test_a_table_that_somebody_edited_leads_nowhere(bench, registry, change):
    import sqlalchemy as sa

    from stannary.store import tables

    for content in (b"one", b"two"):
        bench.say(bench.push(content))
    promotion.promote(registry, CLAIMS, 2, "production")
    promotion.promote(registry, CLAIMS, 1, "production")
    two = registry.show(parse("claims:2"))
    with registry.database.writing() as connection:
        if change == "alias":  # back where it was, with the entry that says so
            row = connection.execute(sa.select(tables.alias_move).where(tables.alias_move.c.number == 2)).one()
            connection.execute(sa.update(tables.alias).values(number=2, entry=row.entry))
        elif change == "entry":
            connection.execute(sa.update(tables.version).where(tables.version.c.number == 1).values(entry=two.entry))
        else:
            values = {"digest": two.digest, "manifest": two.manifest, "dropped": True, "creator": "eve", "info": {"pushed_by": []}}
            connection.execute(sa.update(tables.version).where(tables.version.c.number == 1).values({change: values[change]}))
    with pytest.raises((IntegrityError, UsageError)) as caught:
        bench.open("bob").resolve(parse("claims@production"))
    assert caught.value.code in ("REG006", "REG013")
    registry.rebuild()
    assert bench.open("bob").resolve(parse("claims@production")).number == 1


@pytest.mark.parametrize("forged", [False, True])
def test_an_alias_that_another_process_moves_meanwhile_is_where_it_was_moved_to_and_no_forgery(bench, registry, forged):
    """Between a look at the tables and one at the ledger; a row that is wrong stays one, whatever moves meanwhile."""
    import sqlalchemy as sa

    from stannary.store import tables

    for content in (b"one", b"two"):
        bench.say(bench.push(content))
    promotion.promote(registry, CLAIMS, 1, "production")
    reader, moves = bench.open("bob"), iter((2, 1, 2))

    class Late:
        def resolve(self, connection, reference, trusted=reader.trusted):
            number = next(moves, None)
            connection.execute(sa.select(tables.alias)).all()  # the state that this transaction sees
            if number:
                assert promotion.promote(registry, CLAIMS, number, "production").moved
                if forged and number == 2:
                    with registry.database.writing() as changing:
                        changing.execute(
                            sa.update(tables.version).where(tables.version.c.number == 2).values(digest="sha256:" + "0" * 64)
                        )
            return trusted.resolve(connection, reference)

    reader.trusted = Late()
    if forged:
        with pytest.raises(IntegrityError):
            reader.resolve(parse("claims@production"))
    else:
        assert reader.resolve(parse("claims@production")).number == 2
        assert next(moves, None) is None


def test_a_content_that_was_changed_is_not_pulled_and_nothing_is_left(bench, registry, tmp_path):
    bench.push(b"one" * 1000)
    victim = max((tmp_path / ".stannary" / "blobs").rglob("*"), key=lambda path: path.stat().st_size if path.is_file() else 0)
    victim.chmod(0o644)
    content = bytearray(victim.read_bytes())
    content[7] ^= 1
    victim.write_bytes(content)
    with pytest.raises(IntegrityError):
        registry.pull(parse("claims"), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".out*"))


def test_a_content_that_is_gone_is_named(bench, registry, tmp_path):
    bench.push(b"one" * 1000)
    for path in (tmp_path / ".stannary" / "blobs").rglob("*"):
        if path.is_file() and path.stat().st_size == 3000:
            path.unlink()
    with pytest.raises(InputError, match="sha256:"):
        registry.pull(parse("claims"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_destination_that_is_there_is_left_alone(bench, registry, tmp_path):
    bench.push(b"one")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        registry.pull(parse("claims"), tmp_path / "out")
    assert (tmp_path / "out" / "mine").read_text() == "mine"


def test_many_push_and_promote_at_once_and_nothing_is_lost(bench, registry):
    failures = []
    versions = [bench.push(bytes([number]) * 5) for number in range(1, 4)]
    for version in versions:
        bench.say(version)

    def work(number):
        mine = bench.open(f"worker{number}")
        try:
            for step in range(4):
                folder = bench.model(f"{number} {step}".encode(), name=f"w{number}")
                mine.push(folder, CLAIMS)
                promotion.promote(mine, CLAIMS, 1 + (number + step) % 3, "production")
        except Exception as error:  # noqa: BLE001 - told below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(item.number for item in registry.versions(CLAIMS)) == list(range(1, 20))
    assert len(registry.moves(CLAIMS, "production")) == 16
    registry.resolve(parse("claims@production"))
    before = registry.versions(CLAIMS)
    registry.rebuild()
    assert registry.versions(CLAIMS) == before


def test_a_model_is_not_pushed_over_a_dataset(bench, registry):
    bench.push(b"one", kind="dataset")
    with pytest.raises(UsageError, match="is a dataset"):
        bench.push(b"two")


def test_near_names_are_suggested(bench, registry):
    bench.push(b"one")
    with pytest.raises(UsageError) as caught:
        registry.show(parse("claim"))
    assert caught.value.help == "did you mean claims?"


def test_pages_of_names_and_versions_join_without_gap(bench, registry):
    for name in ("b", "a/z", "claims", "claims-2", "c"):
        bench.push(name.encode(), name=name)
    names, after = [], None
    while page := registry.models(after=after, limit=2):
        names += [str(item.name) for item in page]
        after = page[-1].name
    assert names == [str(item.name) for item in registry.models()] == ["a/z", "b", "c", "claims", "claims-2"]
    for content in (b"2", b"3", b"4"):
        bench.push(content)
    first = registry.versions(CLAIMS, limit=2)
    assert [item.number for item in first + registry.versions(CLAIMS, before=first[-1].number)] == [4, 3, 2, 1]


BAD_NAMES = [
    "", "/", "a/", "/a", "A", "a b", "a/b/c", "..", "a/..", "../a", "a..b", "a:0", "a:x", "a:1@b", "a@", "a@B", "a@b/c", "-a", "a-",
    "a\n", "a\0", "é", "registry:", "a:99999999999", "x" * 200, "a@" + "b" * 80,
]  # fmt: skip


@pytest.mark.parametrize("text", BAD_NAMES, ids=[json.dumps(name)[:30] for name in BAD_NAMES])
def test_what_is_no_name_is_refused(text):
    with pytest.raises(UsageError, match="is no name"):
        parse(text)


@pytest.mark.parametrize("text", ["a", "ns/a", "a:3", "ns/a@production", "a.b_c-d", "0"])
def test_names_are_read_and_written_alike(text):
    assert str(parse(text)) == str(parse(f"registry:{text}")) == text


def test_a_model_is_named_without_a_version():
    with pytest.raises(UsageError, match="names one version"):
        parse_model("a:1")


def test_rows_of_one_state_are_read_together(bench, registry):
    """A reader that began before a promotion sees the state before it to the end."""
    bench.say(bench.push(b"one"))
    with registry.reading() as connection:
        queries.versions(connection, CLAIMS)
        done = threading.Thread(target=lambda: promotion.promote(bench.open("bob"), CLAIMS, 1, "production"))
        done.start()
        done.join(30)
        assert not done.is_alive()
        assert queries.aliases(connection, CLAIMS) == []
    assert registry.resolve(parse("claims@production")).number == 1


def test_a_place_that_cannot_be_written_is_named(bench, registry, tmp_path):
    bench.push(b"one")
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(BackendError, match="Permission denied") as caught:
        powerless(lambda: registry.pull(parse("claims"), tmp_path / "locked" / "out"))
    assert "locked" in str(caught.value.where)
    assert list((tmp_path / "locked").iterdir()) == []
