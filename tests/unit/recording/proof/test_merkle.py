"""The tree against RFC 9162's definitions written down again, known vectors, and an independent implementation (pymerkle)."""

import hashlib
from collections.abc import Sequence
from itertools import pairwise

import pymerkle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funcgate.recording.proof.merkle import (
    EMPTY_ROOT,
    Range,
    Tree,
    leaf_hash,
    root_of,
    split,
    verify_consistency,
    verify_inclusion,
)

# The leaves and roots that Certificate Transparency's implementations test with.
VECTOR = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = {
    0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}
LEAVES = [leaf_hash(str(number).encode()) for number in range(700)]
ALL = b"".join(LEAVES)


def read(begin: int, end: int) -> bytes:
    return ALL[32 * begin : 32 * end]


def defined(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 9162, section 2.1.1, over leaf hashes."""
    if len(leaves) < 2:
        return leaves[0] if leaves else EMPTY_ROOT
    k = max(1 << power for power in range(20) if 1 << power < len(leaves))
    return hashlib.sha256(b"\1" + defined(leaves[:k]) + defined(leaves[k:])).digest()


@pytest.mark.parametrize(("size", "root"), ROOTS.items())
def test_known_roots(size: int, root: str) -> None:
    leaves = [leaf_hash(bytes.fromhex(line)) for line in VECTOR[:size]]
    assert root_of(leaves).hex() == root
    frontier = Range()
    frontier.extend(leaves)
    assert frontier.root().hex() == root


@pytest.mark.parametrize("size", [*range(1, 70), 255, 256, 257, 511, 512, 513, 700])
def test_every_way_to_a_root_agrees(size: int) -> None:
    wanted = defined(LEAVES[:size])
    assert root_of(LEAVES[:size]) == wanted
    assert Tree(read).root(size) == wanted
    frontier = Range()
    frontier.extend(LEAVES[:size])
    assert frontier.root() == wanted
    again = Range.restore(0, size, frontier.save())
    again.extend(LEAVES[size : size + 3])
    assert again.root() == defined(LEAVES[: size + 3])


@given(st.lists(st.integers(0, 700), max_size=6))
def test_ranges_join_in_any_pieces(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), 700]
    whole = Range()
    for begin, end in pairwise(edges):
        piece = Range(begin)
        piece.extend(LEAVES[begin:end])
        whole.join(Range.restore(begin, end, piece.save()))
    assert whole.root() == defined(LEAVES)


def test_ranges_that_do_not_fit() -> None:
    piece = Range(4)
    piece.extend(LEAVES[4:9])
    with pytest.raises(ValueError, match="does not follow"):
        Range().join(piece)
    with pytest.raises(ValueError, match="from 0 on"):
        piece.root()
    with pytest.raises(ValueError, match="2 hashes"):
        Range.restore(0, 3, LEAVES[0])
    with pytest.raises(ValueError, match="no range"):
        Range.restore(5, 3, b"")


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 255, 256, 257, 600, 700])
def test_inclusion_of_every_leaf(size: int) -> None:
    tree = Tree(read)
    root = defined(LEAVES[:size])
    for index in range(size):
        path = tree.inclusion(index, size)
        assert verify_inclusion(LEAVES[index], index, size, path, root)


@given(st.data())
def test_no_other_inclusion_verifies(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 300))
    index, other = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, size - 1))
    tree, root = Tree(read), Tree(read).root(size)
    path = tree.inclusion(index, size)
    if other != index:
        assert not verify_inclusion(LEAVES[index], other, size, path, root)
        assert not verify_inclusion(LEAVES[other], index, size, path, root)
    assert not verify_inclusion(LEAVES[index], index, size, path[:-1], root)
    assert not verify_inclusion(LEAVES[index], index, size, [*path, LEAVES[0]], root)
    assert not verify_inclusion(LEAVES[index], size, size, path, root)
    spoilt = data.draw(st.integers(0, len(path) - 1))
    bad = [bytes(32) if at == spoilt else node for at, node in enumerate(path)]
    assert not verify_inclusion(LEAVES[index], index, size, bad, root)


@given(st.data())
def test_consistency(data: st.DataObject) -> None:
    new = data.draw(st.integers(1, 700))
    old = data.draw(st.integers(1, new))
    tree = Tree(read)
    path = tree.consistency(old, new)
    old_root, new_root = defined(LEAVES[:old]), defined(LEAVES[:new])
    assert verify_consistency(old, new, old_root, new_root, path)
    assert not verify_consistency(old, new, bytes(32), new_root, path)
    assert not verify_consistency(old, new, old_root, bytes(32), path)
    assert not verify_consistency(old, new, old_root, new_root, [*path, LEAVES[0]])
    if path:
        assert not verify_consistency(old, new, old_root, new_root, path[:-1])


def test_proofs_of_what_is_not_there() -> None:
    with pytest.raises(ValueError, match="no leaf 3"):
        Tree(read).inclusion(3, 3)
    with pytest.raises(ValueError, match="no proof"):
        Tree(read).consistency(0, 3)
    assert not verify_consistency(0, 3, EMPTY_ROOT, Tree(read).root(3), [])
    assert not verify_inclusion(b"", 0, 1, [b"short"], b"")


def test_large_trees_are_not_read_twice() -> None:
    got: list[int] = []

    def counted(begin: int, end: int) -> bytes:
        got.append(end - begin)
        return b"".join(LEAVES[number % 700] for number in range(begin, end))

    tree, size = Tree(counted), 20_000
    root = tree.root(size)
    assert sum(got) == size
    got.clear()
    path = tree.inclusion(12_345, size)
    assert sum(got) < 600
    assert verify_inclusion(LEAVES[12_345 % 700], 12_345, size, path, root)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13, 64, 100])
def test_pymerkle_agrees(size: int) -> None:
    theirs = pymerkle.InmemoryTree(algorithm="sha256")
    lines = [str(number).encode() for number in range(size)]
    for line in lines:
        theirs.append_entry(line)
    ours = Tree(read)
    assert theirs.get_root() == ours.root(size)
    for index in range(size):
        proof = theirs.prove_inclusion(index + 1, size)
        assert proof.path[0] == LEAVES[index]
        assert proof.path[1:] == ours.inclusion(index, size)
        proof.path = [LEAVES[index], *ours.inclusion(index, size)]
        pymerkle.verify_inclusion(leaf_hash(lines[index]), ours.root(size), proof, index + 1, size)
        assert verify_inclusion(theirs.get_leaf(index + 1), index, size, proof.path[1:], theirs.get_root())
    for old in range(1, size + 1):
        proof = theirs.prove_consistency(old, size)
        assert theirs.get_root(old) == ours.root(old)
        pymerkle.verify_consistency(ours.root(old), ours.root(size), proof, old, size)
        assert verify_consistency(old, size, theirs.get_root(old), theirs.get_root(), ours.consistency(old, size))
        if old & 1 and 1 < old < size:  # else theirs says in more hashes what ours says in fewer
            assert sorted(proof.path) == sorted(ours.consistency(old, size))


def test_nodes_over_blocks_are_taken_as_given() -> None:
    blocks = b"".join(root_of(LEAVES[at : at + 256]) for at in (0, 256))
    for known in (blocks, blocks[:32], b""):
        tree = Tree(read, known)
        assert tree.root(700) == defined(LEAVES)
        assert verify_inclusion(LEAVES[300], 300, 700, tree.inclusion(300, 700), defined(LEAVES))
    assert Tree(read, bytes(64)).root(700) != defined(LEAVES)


def test_split() -> None:
    assert split(ALL) == LEAVES
