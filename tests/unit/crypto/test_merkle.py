"""RFC 6962 hashing and proofs, against the RFC's own example trees and against wrong ones."""

import hashlib

import pytest

from stannary.core.errors import Bug, IntegrityError
from stannary.crypto.merkle import (
    EMPTY_ROOT,
    Frontier,
    consistency_proof,
    fold,
    inclusion_proof,
    leaf_hash,
    node_hash,
    peaks,
    root_of,
    tile_path,
    verify_consistency,
    verify_inclusion,
)

# The leaves and heads that Certificate Transparency's implementations have tested with since RFC 6962.
LEAVES = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def built(leaves):
    frontier, nodes = Frontier(), {}
    for leaf in leaves:
        nodes |= {(level, index): value for level, index, value in frontier.append(leaf_hash(leaf))}
    return frontier, nodes


@pytest.mark.parametrize("size", range(1, 9))
def test_heads_of_the_reference_tree(size):
    frontier, nodes = built(LEAVES[:size])
    assert frontier.root().hex() == ROOTS[size - 1]
    assert root_of(size, lambda level, index: nodes[level, index]).hex() == ROOTS[size - 1]


def test_the_empty_tree():
    assert Frontier().root() == EMPTY_ROOT == hashlib.sha256(b"").digest()
    verify_consistency(0, 8, EMPTY_ROOT, bytes.fromhex(ROOTS[7]), [])


def test_a_leaf_is_no_node():
    a, b = leaf_hash(b"a"), leaf_hash(b"b")
    assert leaf_hash(a + b) != node_hash(a, b)


def test_a_frontier_has_the_peaks_of_its_size():
    frontier, _ = built(LEAVES)
    assert list(peaks(7)) == [(2, 0), (1, 2), (0, 6)]
    assert Frontier(8, frontier.hashes).root() == frontier.root()
    with pytest.raises(Bug):
        Frontier(7, frontier.hashes)


def test_only_a_power_of_two_folds():
    assert fold([leaf_hash(leaf) for leaf in LEAVES]).hex() == ROOTS[7]
    with pytest.raises(Bug):
        fold([leaf_hash(b"")] * 3)


def test_there_is_no_proof_of_what_is_not_there():
    _, nodes = built(LEAVES)

    def source(level, index):
        return nodes[level, index]

    with pytest.raises(Bug):
        inclusion_proof(8, 8, source)
    with pytest.raises(Bug):
        consistency_proof(9, 8, source)


@pytest.mark.parametrize(
    "index, size, change",
    [
        (5, 5, None),
        (-1, 8, None),
        (3, 8, "drop"),
        (3, 8, "add"),
        (3, 8, "swap"),
        (3, 8, "flip"),
        (2, 8, None),
        (3, 4, None),
        (3, 8, "short"),
    ],
)
def test_a_wrong_inclusion_proof_is_refused(index, size, change):
    _, nodes = built(LEAVES)
    proof = inclusion_proof(3, 8, lambda level, i: nodes[level, i])
    verify_inclusion(leaf_hash(LEAVES[3]), 3, 8, proof, bytes.fromhex(ROOTS[7]))
    if change == "drop":
        proof.pop()
    elif change == "add":
        proof.append(proof[0])
    elif change == "swap":
        proof[0], proof[1] = proof[1], proof[0]
    elif change == "flip":
        proof[2] = bytes([proof[2][0] ^ 1]) + proof[2][1:]
    elif change == "short":
        proof[2] = proof[2][:31]
    with pytest.raises(IntegrityError) as refused:
        verify_inclusion(leaf_hash(LEAVES[3]), index, size, proof, bytes.fromhex(ROOTS[7]))
    assert refused.value.code == "LED001"
    assert refused.value.help


@pytest.mark.parametrize("change", ["drop", "add", "flip", "old root", "new root", "sizes", "empty", "reversed", "too long"])
def test_a_wrong_consistency_proof_is_refused(change):
    _, nodes = built(LEAVES)
    old, new, roots = 3, 7, [bytes.fromhex(ROOTS[2]), bytes.fromhex(ROOTS[6])]
    proof = consistency_proof(3, 7, lambda level, i: nodes[level, i])
    verify_consistency(3, 7, *roots, proof)
    match change:
        case "drop":
            proof.pop()
        case "add":
            proof.append(proof[0])
        case "flip":
            proof[1] = bytes([proof[1][0] ^ 1]) + proof[1][1:]
        case "old root":
            roots[0] = bytes.fromhex(ROOTS[3])
        case "new root":
            roots[1] = bytes.fromhex(ROOTS[7])
        case "sizes":
            old, new = new, old
        case "empty":
            proof = []
        case "reversed":
            proof.reverse()
        case "too long":
            proof += [proof[0]] * 70
    with pytest.raises(IntegrityError) as refused:
        verify_consistency(old, new, *roots, proof)
    assert refused.value.code == "LED002"


def test_heads_of_one_size_have_to_be_one():
    verify_consistency(3, 3, bytes(32), bytes(32), [])
    for old, new, proof in ((bytes(32), b"\1" * 32, []), (bytes(32), bytes(32), [bytes(32)])):
        with pytest.raises(IntegrityError):
            verify_consistency(3, 3, old, new, proof)
    with pytest.raises(IntegrityError):
        verify_consistency(0, 3, bytes(32), bytes(32), [])


def test_paths_of_tiles_are_those_of_the_specification():
    assert tile_path(0, 1234067) == "tile/0/x001/x234/067"
    assert tile_path(2, 5, 17) == "tile/2/005.p/17"
    assert tile_path("entries", 1000, 1) == "tile/entries/x001/000.p/1"
