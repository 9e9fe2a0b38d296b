"""The compiled half of digests beside hashlib: the same for whatever is cut into a head and a rest."""

from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from funcgate.core import digest
from funcgate.core.native import half

native: Any = half("funcgate.core._digest")
pytestmark = pytest.mark.skipif(
    native is None or not native.FOUND, reason="not built, or its library is not as expected, or FUNCGATE_PURE is set"
)
TEXTS = st.binary(max_size=300) | st.integers(0, 10_000).map(b"x".__mul__)


@given(TEXTS, st.lists(TEXTS, min_size=1, max_size=3))
def test_both_give_the_same(head: bytes, rests: list[bytes]) -> None:
    one, other = native.Begun(head), digest._Begun(head)
    for rest in rests:
        wanted = "sha256:" + sha256(head + rest).hexdigest()
        assert (
            one.over(rest)
            == other.over(rest)
            == native.digest_of(head + rest)
            == digest._digest_of(head + rest)
            == wanted
        )


def test_a_large_text_is_digested_as_a_small_one() -> None:
    text = bytes(range(256)) * 40_000
    assert native.digest_of(text) == native.Begun(text[:7]).over(text[7:]) == digest._digest_of(text)


@pytest.mark.parametrize("wrong", [None, "text", bytearray(b"x"), 1])
def test_nothing_but_bytes_is_taken(wrong: Any) -> None:
    with pytest.raises(TypeError):
        native.digest_of(wrong)
    with pytest.raises(TypeError):
        native.Begun(b"").over(wrong)
