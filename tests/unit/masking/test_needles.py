"""P7 for credentials: where a stream is cut never changes what is scrubbed. An exhaustive table, not a search."""

from itertools import combinations, product

import pytest

from funcgate.core.lease import Lease
from funcgate.core.secret import Secret
from funcgate.masking.needles import Needles, Revealed, Scrubber

NEEDLES = [
    [b"s"], [b"ab"], [b"aba"], [b"aaa"], [b"secret"], [b"secret", b"c2VjcmV0"], [b"abc", b"bcd"], [b"abcd", b"bc"],
    [b"aab", b"ab", b"b"], [b"abab", b"ba"], [b"xyxyx", b"yxyz"],
]  # fmt: skip
PADDINGS = [b"", b"a", b"ab", b"sec", b"xyz", b"aaaa", b"s3"]


def reference(needles: list[bytes], text: bytes) -> bytes:
    """Mark every byte of every occurrence; overlapping occurrences are one label."""
    spans = sorted(
        (at, at + len(needle)) for needle in needles for at in range(len(text)) if text.startswith(needle, at)
    )
    out, at = b"", 0
    for start, end in spans:
        if start >= at:
            out += text[at:start] + b"[CREDENTIAL]"
        at = max(at, end)
    return out + text[at:]


def streamed(needles: Needles, pieces: list[bytes]) -> bytes:
    scrubber = Scrubber(needles, {})
    return b"".join([*(scrubber.feed(piece) for piece in pieces), scrubber.finish()])


def texts(needles: list[bytes]) -> set[bytes]:
    out = set()
    for before, between, after in product(PADDINGS, repeat=3):
        for one, two in product(needles, repeat=2):
            out.add(before + one + between + two + after)
            overlap = before + one + two[1:] + after  # the second begins inside the first
            out.add(overlap)
    return out


@pytest.mark.parametrize("needles", NEEDLES, ids=lambda n: b"+".join(n).decode())
def test_every_cut_gives_the_same(needles: list[bytes]) -> None:
    compiled = Needles(needles)
    for text in texts(needles):
        wanted = reference(needles, text)
        assert compiled.scrub(text, {}) == wanted
        for cut in range(len(text) + 1):
            assert streamed(compiled, [text[:cut], text[cut:]]) == wanted
        assert streamed(compiled, [bytes((byte,)) for byte in text]) == wanted


@pytest.mark.parametrize("needles", NEEDLES, ids=lambda n: b"+".join(n).decode())
def test_every_two_cuts_give_the_same(needles: list[bytes]) -> None:
    compiled = Needles(needles)
    text = b"xa" + needles[0] + needles[-1] + needles[0][:-1] + needles[-1][1:] + b"b" + needles[0]
    wanted = reference(needles, text)
    for one, two in combinations(range(len(text) + 1), 2):
        assert streamed(compiled, [text[:one], text[one:two], text[two:]]) == wanted


def test_nothing_is_held_back_that_cannot_become_an_occurrence() -> None:
    scrubber = Scrubber(Needles([b"secret"]), {})
    assert scrubber.feed(b"data: 1\n\n") == b"data: 1\n\n"
    assert scrubber.feed(b"data: sec") == b"data: "
    assert scrubber.feed(b"ond\n\n") == b"second\n\n"


@pytest.mark.parametrize(
    "spelled", [rb"s\u0033cr3t\/x", rb"s3cr3t\/x", b"%733cr3t/x", b"s3cr3t%2Fx", b"&#115;3cr3t/x", rb"s\\u0033cr3t/x"]
)
def test_unforeseen_spellings_are_scrubbed_from_whole_texts(spelled: bytes) -> None:
    counts: dict[str, int] = {}
    assert Needles([b"s3cr3t/x"]).scrub(b'{"a":"' + spelled + b'"}', counts, undo=True) == b'{"a":"[CREDENTIAL]"}'
    assert counts == {"credential": 1}


def test_a_lease_is_revealed_once_and_never_taken_for_another() -> None:
    revealed = Revealed()
    leases = [Lease(needles=(Secret(f"secret-{number}"),)) for number in range(200)]
    for number, lease in enumerate(leases):
        needles = revealed.of(lease)
        assert revealed.of(lease) is needles
        assert needles.scrub(f"secret-{number}".encode(), {}) == b"[CREDENTIAL]"
    del leases[:]
    for number in range(200):
        assert (
            revealed.of(Lease(needles=(Secret(f"other-{number}"),))).scrub(f"other-{number}".encode(), {})
            == b"[CREDENTIAL]"
        )


def test_needles_do_not_show() -> None:
    assert "secret" not in repr(Needles([b"secret"]))
