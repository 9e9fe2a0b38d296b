"""Compiled and pure: the same hashes of leaves, nodes and roots."""

import random
from hashlib import sha256

import pytest

from funcgate.recording.proof import merkle

pytestmark = pytest.mark.skipif(not merkle._quick, reason="not built, FUNCGATE_PURE, or a processor without SHA instructions")


def test_lines_of_every_length() -> None:
    dice = random.Random(2)
    lines = [dice.randbytes(size) for size in (*range(300), 1000, 4095, 4096, 4097, 1 << 20)]
    assert merkle.leaf_hashes(lines) == [sha256(b"\0" + line).digest() for line in lines]


def test_roots_of_every_size(monkeypatch: pytest.MonkeyPatch) -> None:
    dice = random.Random(3)
    leaves = [dice.randbytes(32) for _ in range(520)]
    quick = [merkle.root_of(leaves[:size]) for size in range(len(leaves))]
    monkeypatch.setattr(merkle, "_quick", False)
    assert [merkle.root_of(leaves[:size]) for size in range(len(leaves))] == quick


@pytest.mark.parametrize("odd", [[b"short"], [b"x" * 33], [None], ["x" * 32]])
def test_what_is_no_hash_is_refused(odd: list[object]) -> None:
    with pytest.raises((ValueError, TypeError)):
        merkle._native.root_of(odd)
    assert merkle.root_of([]) == merkle.EMPTY_ROOT
