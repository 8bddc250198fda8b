"""Trees and proofs, for all sizes and indexes: what is proven verifies, and verifies for nothing else."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stannary.core.errors import IntegrityError
from stannary.crypto.merkle import (
    EMPTY_ROOT,
    Frontier,
    consistency_proof,
    inclusion_proof,
    inclusion_proofs,
    leaf_hash,
    verify_consistency,
    verify_inclusion,
)
from stannary.crypto.note import Checkpoint, Note, NoteSignature, parse_note
from stannary.crypto.proof_file import decode_proof, encode_proof

LEAVES = [leaf_hash(b"%d" % n) for n in range(1100)]
HASH = st.binary(min_size=32, max_size=32)


def by_definition(leaves):
    """RFC 6962, section 2.1, word for word."""
    if not leaves:
        return EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\1" + by_definition(leaves[:k]) + by_definition(leaves[k:])).digest()


def built(size):
    frontier, nodes = Frontier(), {}
    for leaf in LEAVES[:size]:
        nodes |= {(level, index): value for level, index, value in frontier.append(leaf)}
    return frontier.root(), lambda level, index: nodes[level, index]


@pytest.mark.parametrize("size", range(70))
def test_every_leaf_and_every_beginning_of_a_tree_is_proven(size):
    root, node = built(size)
    assert root == by_definition(LEAVES[:size])
    for index in range(size):
        verify_inclusion(LEAVES[index], index, size, inclusion_proof(index, size, node), root)
    for old in range(size + 1):
        verify_consistency(old, size, by_definition(LEAVES[:old]), root, consistency_proof(old, size, node))


@given(st.data())
def test_a_proof_holds_for_its_leaf_its_place_and_its_head_only(data):
    size = data.draw(st.integers(1, 1100))
    index = data.draw(st.integers(0, size - 1))
    root, node = built(size)
    proof = inclusion_proof(index, size, node)
    assert len(proof) <= (size - 1).bit_length()
    verify_inclusion(LEAVES[index], index, size, proof, root)
    other = data.draw(st.integers(0, size - 1).filter(lambda n: n != index) if size > 1 else st.just(index + 1))
    wrong = data.draw(HASH)
    cases = [(LEAVES[index], other, proof, root), (wrong, index, proof, root), (LEAVES[index], index, proof, wrong)]
    cases += [(LEAVES[index], index, [*proof, wrong], root)]
    if proof:
        place = data.draw(st.integers(0, len(proof) - 1))
        cases += [
            (LEAVES[index], index, [*proof[:place], wrong, *proof[place + 1 :]], root),
            (LEAVES[index], index, proof[:place] + proof[place + 1 :], root),
        ]
    for leaf, at, path, head in cases:
        with pytest.raises(IntegrityError):
            verify_inclusion(leaf, at, size, path, head)


@given(st.integers(1, 600), st.integers(1, 500), st.data())
def test_a_consistency_proof_holds_for_its_two_heads_only(old, more, data):
    new = old + more
    root, node = built(new)
    before, proof = by_definition(LEAVES[:old]), consistency_proof(old, new, node)
    verify_consistency(old, new, before, root, proof)
    wrong = data.draw(HASH)
    place = data.draw(st.integers(0, len(proof) - 1))
    for a, b, path in (
        (wrong, root, proof),
        (before, wrong, proof),
        (root, before, proof),
        (before, root, [*proof[:place], wrong, *proof[place + 1 :]]),
        (before, root, proof[:place] + proof[place + 1 :]),
        (before, root, [*proof, wrong]),
    ):
        with pytest.raises(IntegrityError):
            verify_consistency(old, new, a, b, path)


@given(st.integers(0, 300), st.integers(1, 300))
def test_proofs_of_a_batch_are_those_made_one_by_one(first, more):
    frontier, all_, nodes = Frontier(), {}, {}
    for index, leaf in enumerate(LEAVES[: first + more]):
        if index == first:
            nodes = frontier.nodes()
        for level, place, value in frontier.append(leaf):
            all_[level, place] = value
            if index >= first:
                nodes[level, place] = value
    expected = [inclusion_proof(index, first + more, lambda a, b: all_[a, b]) for index in range(first, first + more)]
    assert inclusion_proofs(first, first + more, nodes) == expected


NAME = st.text(
    st.characters(codec="utf-8", exclude_categories=("Zs", "Zl", "Zp", "Cc", "Cs"), exclude_characters="+"), min_size=1, max_size=40
)
NAME = NAME.filter(lambda text: not any(map(str.isspace, text)))


@given(NAME, st.integers(0, 2**59), HASH, st.lists(st.tuples(NAME, st.binary(min_size=5, max_size=90)), min_size=1, max_size=16))
def test_notes_have_one_spelling(origin, size, root, lines):
    checkpoint = Checkpoint(origin, size, root)
    note = Note(checkpoint.text, tuple(NoteSignature(name, blob[:4], blob[4:]) for name, blob in lines))
    assert parse_note(str(note)) == note
    assert Checkpoint.parse(note.text) == checkpoint


@given(st.text(max_size=200) | st.binary(max_size=200))
def test_anything_is_a_note_or_refused(content):
    try:
        note = parse_note(content)
    except IntegrityError:
        return
    assert str(note) == (content if isinstance(content, str) else content.decode())


@given(st.integers(0, 2**62), st.lists(HASH, max_size=63), st.text(max_size=80))
def test_proof_files_say_what_was_written(index, proof, note):
    assert decode_proof(encode_proof(index, proof, note)) == (index, proof, note)
