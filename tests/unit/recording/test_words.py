"""Words: what counts as one, what a question asks for, and where pieces of a stream meet."""

from collections.abc import Sequence

import pytest
from msgspec import Raw

from funcgate.core.entry import Entry, Kind
from funcgate.recording.addresses import address_of, spelling
from funcgate.recording.words import MAX_BYTES, from_json, from_text, spaced, terms, words_of


def said(*bodies: str | bytes, media: str = "", pieces: bool = False) -> str:
    entries = [
        Entry(
            kind=Kind.CHUNK, call="c", body=body if isinstance(body, str) else Raw(body), media=media,
            piece=number if pieces else 0,
        )
        for number, body in enumerate(bodies, 1)
    ]  # fmt: skip
    return spaced(words_of(entries)).strip()


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b'{"amount":250,"to":"acct-20417"}', "amount 250 to acct 20417"),
        (b'{"a_b":"C.D@e.example"}', "a b c d e example"),
        (b'"tab\\there \\"quoted\\" back\\\\slash"', "tab here quoted back slash"),
        ('"Zürich ZÜRICH Zu\u0308rich"'.encode(), "zurich zurich zurich"),
        (b'"Z\\u00fcrich \\ud83d\\ude00 \\ud800 x"', "zurich x"),
        ('"ﬁne ① ½"'.encode(), "fine 1 1 2"),
        ('"日本語 テキスト"'.encode(), "日本語 テキスト"),
        (b"[true,null,-1.5e3]", "true null 1 5e3"),
    ],
)
def test_of_json(raw: bytes, words: str) -> None:
    assert spaced(from_json(raw)).strip() == words


def test_of_text() -> None:
    assert said("plain \\n text") == "plain n text"
    assert said('{"a":"x\\ny"}', media="application/json") == "a x y"
    assert said("data:image/png;base64,aGVsbG8=") == ""
    assert said("one", b'{"two":2}') == "one two 2"


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_word_that_two_pieces_share_is_one(cut: int) -> None:
    whole = "blue whales!"
    assert said(whole[:cut], whole[cut:], pieces=True) == "blue whales"


def test_only_the_first_of_it() -> None:
    assert len(words_of([Entry(kind=Kind.CHUNK, call="c", body="w " * MAX_BYTES)])) == MAX_BYTES
    assert len(from_text("é" * MAX_BYTES)) <= MAX_BYTES
    assert said("x " * MAX_BYTES, "last").endswith("x")


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("Refund  overdue", [(("refund",), False), (("overdue",), False)]),
        ('"order BW-7731" x', [(("order", "bw", "7731"), False), (("x",), False)]),
        ("BW-7731", [(("bw", "7731"), False)]),
        ("bright*", [(("bright",), True)]),
        ('"unclosed phrase', [(("unclosed", "phrase"), False)]),
        ('a "" ! b', [(("a",), False), (("b",), False)]),
    ],
)
def test_what_is_asked_for(query: str, wanted: Sequence[object]) -> None:
    assert [(term.words, term.prefix) for term in terms(query)] == wanted


@pytest.mark.parametrize(
    ("query", "text", "found"),
    [
        ("whale", "blue whales", False), ("whale*", "blue whales", True), ('"blue whales"', "blue whales", True),
        ('"whales blue"', "blue whales", False), ("lue", "blue", False),
    ],
)  # fmt: skip
def test_within(query: str, text: str, found: bool) -> None:
    assert all(term.within(spaced(text.encode())) for term in terms(query)) is found


@pytest.mark.parametrize(
    ("client", "spelled"),
    [
        ("10.0.0.1", "10.0.0.1"), ("10.0.0.1:443", "10.0.0.1"), ("[2001:db8::1]:5", "2001:db8::1"), ("local", "local"),
        ("2001:DB8:0::1", "2001:db8::1"), ("::ffff:10.0.0.1", "10.0.0.1"), ("", ""),
    ],
)  # fmt: skip
def test_addresses(client: str, spelled: str) -> None:
    assert spelling(client) == spelled
    assert (address_of(client) is None) is (spelled in ("local", ""))
