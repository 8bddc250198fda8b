"""Merkle trees as RFC 6962 hashes them: heads, proofs, and the tiles that C2SP cuts them into.

Everything here is a pure function of hashes. Nodes are named `(level, index)`: the hash over the leaves
from `index << level` up to `(index + 1) << level`, which exists once all of them do. Generators ask a
`NodeSource` for nodes; verifiers need nothing but their arguments and fail closed with IntegrityError.

RFC 6962 section 2.1, RFC 9162 sections 2.1.3 and 2.1.4, https://c2sp.org/tlog-tiles.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from stannary.core.errors import Bug, IntegrityError

__all__ = [
    "EMPTY_ROOT",
    "HASH_SIZE",
    "TILE_HEIGHT",
    "TILE_WIDTH",
    "Frontier",
    "NodeSource",
    "consistency_proof",
    "fold",
    "inclusion_proof",
    "inclusion_proofs",
    "leaf_hash",
    "node_hash",
    "peaks",
    "root_of",
    "tile_path",
    "verify_consistency",
    "verify_inclusion",
]

HASH_SIZE = 32
TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT
EMPTY_ROOT = hashlib.sha256(b"").digest()
_HIGHEST = 63  # levels; a proof of more hashes is of no tree that can be
_INCLUSION, _CONSISTENCY = "inclusion", "consistency"

NodeSource = Callable[[int, int], bytes]  # (level, index) → hash of that complete subtree


def leaf_hash(record: bytes) -> bytes:
    """Return the hash of a leaf."""
    return hashlib.sha256(b"\x00" + record).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def fold(hashes: Sequence[bytes]) -> bytes:
    """Return the root of the complete subtree over a power of two of hashes."""
    if not hashes or len(hashes) & (len(hashes) - 1):
        msg = f"a complete subtree has a power of two of hashes, not {len(hashes)}"
        raise Bug(msg)
    sha256 = hashlib.sha256
    row = list(hashes)
    while len(row) > 1:
        row = [sha256(b"\x01" + row[i] + row[i + 1]).digest() for i in range(0, len(row), 2)]
    return row[0]


def peaks(size: int) -> Iterator[tuple[int, int]]:
    """Yield the nodes that a tree of `size` leaves consists of, the largest first."""
    start = 0
    for level in range(size.bit_length() - 1, -1, -1):
        if size >> level & 1:
            yield level, start >> level
            start += 1 << level


def root_of(size: int, node: NodeSource) -> bytes:
    """Return the head of a tree of `size` leaves."""
    return _joined([node(level, index) for level, index in peaks(size)])


class Frontier:
    """The right edge of a tree: the peaks, enough to append and to know the head."""

    def __init__(self, size: int = 0, hashes: Iterable[bytes] = ()) -> None:
        self.size = size
        self.hashes = list(hashes)  # one for each of peaks(size)
        if len(self.hashes) != size.bit_count():
            msg = f"a tree of {size} leaves has {size.bit_count()} peaks, not {len(self.hashes)}"
            raise Bug(msg)

    def copy(self) -> Frontier:
        """Return another with the same leaves."""
        return Frontier(self.size, self.hashes)

    def nodes(self) -> dict[tuple[int, int], bytes]:
        """Return the peaks by name."""
        return dict(zip(peaks(self.size), self.hashes, strict=True))

    def append(self, leaf: bytes) -> Iterator[tuple[int, int, bytes]]:
        """Take a leaf hash and yield the nodes that become complete, the leaf first. To be run to its end."""
        index, hashes = self.size, self.hashes
        yield 0, index, leaf
        level = 0
        while index & 1:
            leaf = node_hash(hashes.pop(), leaf)
            index >>= 1
            level += 1
            yield level, index, leaf
        hashes.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """Return the head."""
        return _joined(self.hashes)


def inclusion_proof(index: int, size: int, node: NodeSource) -> list[bytes]:
    """Return PATH(index, D[size]): the siblings from the leaf upwards."""
    if not 0 <= index < size:
        msg = f"there is no leaf {index} in a tree of {size}"
        raise Bug(msg)
    proof: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            proof.append(_subtree(middle, end, node))
            end = middle
        else:
            proof.append(_subtree(start, middle, node))
            start = middle
    proof.reverse()
    return proof


def inclusion_proofs(first: int, size: int, nodes: Mapping[tuple[int, int], bytes]) -> list[list[bytes]]:
    """Return the proofs of the leaves from `first` to the end of a tree of `size`: quicker than one by one.

    `nodes` has the peaks of the tree of `first` leaves and all that became complete since. A path climbs through
    siblings that are complete, or that reach over the end of the tree: there is one of the latter a level.
    """
    if not 0 <= first < size:
        return []
    height = (size - 1).bit_length()
    last = size - 1
    edge = [nodes[0, last]]  # the hash over all leaves from the start of the last node of the level to the end
    for level in range(height - 1):
        place = last >> level
        edge.append(node_hash(nodes[level, place - 1], edge[level]) if place & 1 else edge[level])
    return [
        [
            edge[level] if sibling == last >> level else nodes[level, sibling]
            for level in range(height)
            if (sibling := index >> level ^ 1) << level < size
        ]
        for index in range(first, size)
    ]


def consistency_proof(old: int, new: int, node: NodeSource) -> list[bytes]:
    """Return PROOF(old, D[new]): what shows that the tree of `old` leaves is the beginning of that of `new`."""
    if not 0 <= old <= new:
        msg = f"a tree of {old} leaves cannot be the beginning of one of {new}"
        raise Bug(msg)
    if old in (0, new):
        return []
    proof: list[bytes] = []
    start, end, left = 0, new, True  # `left`: the subtree begins where the whole does, so its old head is known
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            proof.append(_subtree(middle, end, node))
            end = middle
        else:
            proof.append(_subtree(start, middle, node))
            start, left = middle, False
    if not left:
        proof.append(_subtree(start, end, node))
    proof.reverse()
    return proof


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Return when `leaf` (its hash) is at `index` of the tree of `size` leaves with head `root`. Raises IntegrityError.

    1. the numbers and the lengths can be;
    2. the path, climbed from the leaf, ends at the top and not before (RFC 9162, 2.1.3.2);
    3. there it gives the head.
    """
    # 1.
    if not 0 <= index < size:
        raise _refused(_INCLUSION, f"leaf {index} is not in a tree of {size}")
    _lengths(_INCLUSION, [leaf, root, *proof])
    # 2.
    place, last, found = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise _refused(_INCLUSION, "the proof is too long for the tree")
        if place & 1 or place == last:
            found = node_hash(sibling, found)
            while not place & 1 and place:
                place >>= 1
                last >>= 1
        else:
            found = node_hash(found, sibling)
        place >>= 1
        last >>= 1
    # 3.
    if last or found != root:
        raise _refused(_INCLUSION, f"leaf {index} is not the one under the head of size {size}")


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Return when the tree of `old` leaves is the beginning of that of `new`. Raises IntegrityError.

    1. the numbers and the lengths can be; trees of the same size are the same tree, and the empty one begins all;
    2. both heads are rebuilt from the proof (RFC 9162, 2.1.4.2);
    3. both are the ones given.
    """
    # 1.
    if not 0 <= old <= new:
        raise _refused(_CONSISTENCY, f"a tree of {old} leaves cannot be the beginning of one of {new}")
    _lengths(_CONSISTENCY, [old_root, new_root, *proof])
    if old in (0, new):
        expected = EMPTY_ROOT if old == 0 else new_root
        if proof or old_root != expected or (new == 0 and new_root != EMPTY_ROOT):
            raise _refused(_CONSISTENCY, f"two heads of size {old} differ" if old == new else "the empty tree has another head")
        return
    # 2.
    path = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not path:
        raise _refused(_CONSISTENCY, "the proof is empty")
    place, last = old - 1, new - 1
    while place & 1:
        place >>= 1
        last >>= 1
    before = after = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise _refused(_CONSISTENCY, "the proof is too long for the trees")
        if place & 1 or place == last:
            before, after = node_hash(sibling, before), node_hash(sibling, after)
            while not place & 1 and place:
                place >>= 1
                last >>= 1
        else:
            after = node_hash(after, sibling)
        place >>= 1
        last >>= 1
    # 3.
    if last or before != old_root or after != new_root:
        raise _refused(_CONSISTENCY, f"the tree of {new} leaves does not begin with that of {old}")


def tile_path(level: int | str, index: int, width: int = TILE_WIDTH) -> str:
    """Return where C2SP puts a tile (`level` may be `entries`): `tile/0/x001/234` or `tile/0/x001/234.p/17`."""
    parts = [f"{index % 1000:03d}"]
    while index := index // 1000:
        parts.insert(0, f"x{index % 1000:03d}")
    partial = f".p/{width}" if width < TILE_WIDTH else ""
    return f"tile/{level}/{'/'.join(parts)}{partial}"


def _split(size: int) -> int:
    """Return the largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1


def _subtree(start: int, end: int, node: NodeSource) -> bytes:
    """Return MTH(D[start:end]), where `start` is where a subtree of that many leaves may begin."""
    hashes: list[bytes] = []
    size = end - start
    for level in range(size.bit_length() - 1, -1, -1):
        if size >> level & 1:
            hashes.append(node(level, start >> level))
            start += 1 << level
    return _joined(hashes)


def _joined(hashes: Sequence[bytes]) -> bytes:
    """Return the head over peaks, the largest first."""
    if not hashes:
        return EMPTY_ROOT
    found = hashes[-1]
    for left in reversed(hashes[:-1]):
        found = node_hash(left, found)
    return found


def _lengths(what: str, hashes: Sequence[bytes]) -> None:
    if len(hashes) > _HIGHEST + 2:
        raise _refused(what, f"the proof has {len(hashes) - 2} hashes")
    if any(len(item) != HASH_SIZE for item in hashes):
        raise _refused(what, "a hash is not 32 bytes")


def _refused(what: str, why: str) -> IntegrityError:
    if what == _INCLUSION:
        return IntegrityError(
            f"the inclusion proof does not hold: {why}",
            code="LED001",
            help="ask the log for a new proof; if that does not hold either, the entry is not in the log",
        )
    return IntegrityError(
        f"the consistency proof does not hold: {why}",
        code="LED002",
        help="keep both checkpoints: they are the proof that the log was rewritten, or that one is of another log",
    )
