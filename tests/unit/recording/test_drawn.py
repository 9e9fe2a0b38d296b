"""What is drawn is what would have been written: the same lines, byte for byte, whatever the entries hold."""

import asyncio
import copy
import pickle
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import Raw

from funcgate.core.call import Call
from funcgate.core.crc import crc_holds
from funcgate.core.decision import Allow, Deny, RequireApproval
from funcgate.core.entry import Drawn, Entry, Kind, whole
from funcgate.core.native import half
from funcgate.core.principal import Principal, make_principal
from funcgate.core.refusal import Code
from funcgate.core.reply import Outcome, Reply
from funcgate.masking.masker import Masked
from funcgate.recording import entries
from funcgate.recording.contents import Contents, contents
from funcgate.recording.tape import Tape, tape_of
from funcgate.stores import lines
from funcgate.stores.memory import MemoryJournal
from funcgate.stores.parcels import HEAD, groups_of
from support.quick import examples

pytestmark = pytest.mark.skipif(half("funcgate.recording._native") is None, reason="not built, or FUNCGATE_PURE is set")
AT = "2026-11-21T09:30:00.123456Z"
MADE = make_principal("corp", "ada", frozenset({"b", "a"}), {}, "t", 0.0, "eve", "bot")


class Word(str):
    __slots__ = ()


class Number(int):
    __slots__ = ()


TEXT = st.text("az09 ~\x7f/", max_size=40) | st.sampled_from(
    ["", "\x1f", '"', "\\", "\x00", "12345678\n", "1234567\t8", "ü", "\u2028", "\ud800", "x" * 5000]
)
ODD_TEXT = TEXT | st.sampled_from([Word("w"), Word(""), None, 5, Code.POLICY_DENIED, Outcome.CUT])
NUMBER = st.integers(-(1 << 63), (1 << 63) - 1) | st.sampled_from(
    [0, 1, -1, 200, 1 << 63, (1 << 64) - 1, 1 << 70, True, False, 1.5, Number(0), Number(7), None]
)
COUNTS = st.dictionaries(TEXT, NUMBER, max_size=4) | st.sampled_from([{}, {Word("a"): 1}, None])
JSON = st.sampled_from(
    [
        b"{}",
        b"",
        b'{"a":1}',
        b'{"a":\n1}',
        b'{"a":\r1}',
        b'{"a":\t1}',
        b'"\xc3\xbc"',
        b"\xff",
        b'"\\u0041"',
        b' "a"',
        b'"' + b"y" * 3000 + b'"',
        b"1" * ((32 << 10) - 200),
        b"1" * (33 << 10),
    ]
)
PRINCIPAL = st.builds(
    lambda make, issuer, subject, groups, acts_for, token: make(
        issuer, subject, frozenset(groups), {}, token, 0.0, acts_for
    ),
    st.sampled_from([make_principal, Principal]), TEXT, TEXT, st.lists(TEXT, max_size=3), TEXT | st.none(), TEXT,
)  # fmt: skip
CALL = st.builds(
    Call,
    id=ODD_TEXT, target=ODD_TEXT, function=ODD_TEXT, args=st.just({}), principal=st.just(MADE) | PRINCIPAL, session=ODD_TEXT,
    digest=ODD_TEXT, received_at=st.just(0.0), client=ODD_TEXT, trace=ODD_TEXT, reason=ODD_TEXT,
)  # fmt: skip
PLAIN_CALL = Call(
    id="c", target="shop", function="shop.buy", args={}, principal=MADE, session="s", digest="sha256:0", received_at=0.0
)
POLICIES = st.lists(ODD_TEXT, max_size=3).map(tuple) | st.sampled_from([(), ["p"], None])
DECISION = st.none() | st.builds(
    lambda kind, names: (
        Allow(names, "v")
        if kind == "allow"
        else RequireApproval((), names, "v")
        if kind == "ask"
        else Deny(Code.POLICY_DENIED, "why", names, "v")
    ),
    st.sampled_from(["allow", "ask", "deny"]), POLICIES,
)  # fmt: skip
FIELDS = st.lists(
    st.tuples(ODD_TEXT, ODD_TEXT) | st.sampled_from([("a",), ("a", "b", "c"), (), ["a", "b"]]), max_size=3
).map(tuple)
ARRIVAL = st.tuples(st.just("arrival"), st.tuples(CALL, st.none() | JSON.map(Raw)))
STEP = st.tuples(
    st.just("step"), st.tuples(st.sampled_from(Kind), ODD_TEXT, st.none() | CALL, ODD_TEXT, DECISION, ODD_TEXT)
)
ANSWER = st.tuples(
    st.just("answer"),
    st.tuples(
        CALL, st.builds(Reply, status=NUMBER, headers=st.just([]), body=JSON | st.none()), FIELDS, COUNTS,
        st.none() | JSON.map(Raw) | TEXT, ODD_TEXT,
    ),
)  # fmt: skip
ENDED = st.tuples(
    st.just("ended"),
    st.tuples(
        ODD_TEXT, st.none() | CALL, ODD_TEXT, DECISION, ODD_TEXT, ODD_TEXT, ODD_TEXT, COUNTS, NUMBER, COUNTS, NUMBER
    ),
)
MAKING = ARRIVAL | STEP | ANSWER | ENDED


def told(work: Callable[..., Any], *args: Any) -> Any:
    """What it gives, or the kind of what it raises."""
    try:
        return work(*args)
    except Exception as error:
        return type(error)


def made(name: str, args: tuple[Any, ...]) -> tuple[Any, Any]:
    return told(getattr(entries, name), *args), told(getattr(entries, f"_{name}"), *args)


def written(add: Callable[..., int], entries: Sequence[Entry | Drawn]) -> tuple[int, bytes]:
    buffer = bytearray(b"before\n")
    return add(buffer, entries, 41, AT), bytes(buffer)


def packed(pack: Callable[..., None], entries: tuple[Entry | Drawn, ...]) -> bytes:
    buffer = bytearray()
    pack(buffer, entries, True)
    return bytes(buffer)


@settings(max_examples=examples(1500), deadline=None)
@given(st.lists(MAKING, min_size=1, max_size=4))
@example([("step", (Kind.ALLOWED, "c", None, "", Allow(None, "v"), ""))])  # type: ignore[arg-type]
@example([("arrival", (PLAIN_CALL, Raw(b" {}")))])
@example([("arrival", (PLAIN_CALL, Raw(b"{} "))), ("step", (Kind.ALLOWED, "\ud800", None, "", None, ""))])
def test_the_same_lines(makings: list[tuple[str, tuple[Any, ...]]]) -> None:
    pairs = [made(*making) for making in makings]
    assert all(isinstance(ours, type) is isinstance(theirs, type) for ours, theirs in pairs), pairs
    ours = tuple(pair[0] for pair in pairs if not isinstance(pair[0], type))
    theirs = tuple(pair[1] for pair in pairs if not isinstance(pair[1], type))
    expected = told(written, lines._add_lines, theirs)
    assert told(written, lines.add_lines, ours) == expected
    assert told(written, lines._add_lines, ours) == expected
    assert told(packed, lines.pack_lines, ours) == told(packed, lines._pack_lines, theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert (one.kind, one.call, one.args) == (other.kind, other.call, other.args)
        if isinstance(one, Entry):
            continue
        assert whole(one) == other
        assert len(one.text) < 33 << 10
        assert b"\n" not in one.text
        for inline in (0, 1, 2, 10, 3002, 5000):
            assert contents._small((one,), inline) is contents._all_small((other,), inline)


def test_what_is_plain_is_drawn() -> None:
    """Else all of the above compares entries with entries."""
    half("funcgate.recording._native").draws(True)  # a test before this one may have left a journal that seals
    decision = Allow(("p", "q"), "v")
    rest = (Outcome.COMPLETE, Code.TARGET_TIMEOUT, {"send": 5}, 200, {"card": 1}, 1 << 40)
    reply = Reply(status=200, headers=[], body=b"x")
    for one in (
        entries.arrival(PLAIN_CALL, Raw(b'{"a":1}')), entries.arrival(PLAIN_CALL, None),
        entries.step(Kind.ALLOWED, "c", PLAIN_CALL, "a", decision, "v2"), entries.step(Kind.ALLOWED, "c", None, "", None, ""),
        entries.answer(PLAIN_CALL, reply, (("etag", "x"),), {}, Raw(b"[]"), ""),
        entries.answer(PLAIN_CALL, reply, (), {"card": 1}, "text", "text/plain"),
        entries.ended("c", PLAIN_CALL, "", decision, "v2", *rest), entries.ended("c", None, "", None, "", *rest),
    ):  # fmt: skip
        assert not isinstance(one, Entry)
    for kind in Kind:
        if kind is not Kind.ALLOWED:
            assert isinstance(entries.step(kind, "c", PLAIN_CALL, "", decision, "v"), Entry)


def test_pieces_that_are_kept_are_of_the_call_that_they_stand_in() -> None:
    """By the very objects, of which there are more than are kept; and equal ones that are others."""
    half("funcgate.recording._native").draws(True)
    decisions: list[Any] = [Allow((f"p{place}",) * (place % 3), "v") for place in range(7)]
    principals: list[Any] = [make_principal("corp", f"who{place}", frozenset(), {}, "t", 0.0) for place in range(11)]
    texts = [f"{place}.select" + "x" * (place % 4 * 200) for place in range(13)]
    chance = random.Random(5)
    for turn in range(1500):
        some = [chance.choice(texts[:5]) for _ in range(3)] if turn % 2 else [chance.choice(texts) for _ in range(3)]
        function, target, version = (str(text.encode(), "ascii") if chance.random() < 0.1 else text for text in some)
        principal, decision = (chance.choice(many[:2] if turn % 2 else many) for many in (principals, decisions))
        call = msgspec.structs.replace(PLAIN_CALL, function=function, target=target, principal=principal)
        rest = (
            Outcome.COMPLETE,
            "",
            {"send": turn % 120, "mask": 9, "lease": 10, "hold": 99, "record": 100},
            200,
            {},
            0,
        )
        for name, args in (
            ("arrival", (call, None)), ("step", (Kind.ALLOWED, "c", call, "", decision, version)),
            ("ended", ("c", call, "", decision, version, *rest)),
        ):  # fmt: skip
            drawn, entry = made(name, args)
            assert not isinstance(drawn, Entry)
            assert b"{" + drawn.text == msgspec.json.encode(entry).replace(b'"seq":0,"at":"",', b"")


def is_json(body: bytes) -> bool:
    return not isinstance(told(msgspec.json.decode, body), type)


BODY = (
    st.binary(max_size=40)
    | st.text(max_size=40).filter(lambda text: text.isprintable()).map(str.encode)
    | st.text("az\"\\\n\r\t\x00\x1f\x7f{}:", max_size=60).map(str.encode)
    | st.sampled_from([b"data:;base64,eA==", b'{"a": 1}', b'{"a":1}', b"[\n]", b"x" * 40_000, b'"' * 20_000, b"\x01" * 5000])
)  # fmt: skip


@settings(max_examples=examples(600), deadline=None)
@given(
    BODY, st.sampled_from(["application/json", "text/plain", "application/x-ndjson", "", "a/b+json"]), st.booleans(),
    st.lists(st.tuples(st.sampled_from([b"etag", b"date", b"x"]), st.binary(max_size=5)), max_size=2),
)  # fmt: skip
def test_the_same_line_of_an_answer(body: bytes, media: str, known: bool, headers: list[tuple[bytes, bytes]]) -> None:
    reply = Reply(status=200, headers=headers, media=media, body=body, trailers=headers)
    found = []
    for make, add in ((tape_of, lines.add_lines), (Tape, lines._add_lines)):
        masked = Masked(reply, {"card": 1}, known and media == "application/json" and is_json(body))
        tape = make(masked, 100_000, PLAIN_CALL, MemoryJournal().append)
        found.append((tape.worth and written(add, [tape.chunk()]), tape.recorded, tape.size))
    assert found[0] == found[1]


def test_drawn_ones_and_others_share_a_batch() -> None:
    """Also with one that must be mended: then all of them are written the slow way."""
    step = (Kind.ALLOWED, "c", PLAIN_CALL, "", None, "")
    for odd in (Entry(kind=Kind.ENDED, call="c", body="\ud800"), Entry(kind=Kind.ENDED, call="c", args=Raw(b"{\n}"))):
        mixed = [entries.step(*step), odd, entries.arrival(PLAIN_CALL, Raw(b"{}"))]
        other = [entries._step(*step), odd, entries._arrival(PLAIN_CALL, Raw(b"{}"))]
        for some in (slice(0, 1), slice(0, 3), slice(1, 3), slice(2, 3), slice(0, 0)):
            ours = written(lines.add_lines, mixed[some])
            assert ours == written(lines._add_lines, other[some])
            assert all(crc_holds(line) for line in ours[1].splitlines()[1:])


def test_a_group_that_cannot_be_packed_leaves_nothing_in_its_parcel() -> None:
    """Attack: with half a group in it the next parcel is taken for a forged one, and the worker is ended."""
    odd: Any = object()
    drawn = entries.step(Kind.ALLOWED, "c", PLAIN_CALL, "", None, "")
    for pack in (lines.pack_lines, lines._pack_lines):
        buffer = bytearray(b"before")
        for some in ((odd,), (drawn, odd), (drawn,) * 3000 + (odd,)):
            with pytest.raises(AttributeError):
                pack(buffer, some, True)
            assert buffer == b"before"
        pack(buffer, (drawn,), True)
        assert groups_of(bytes(HEAD.size) + buffer[6:])[0].lines == [b"{" + drawn.text]


def test_a_line_number_of_any_size_and_a_time_of_any_length() -> None:
    drawn = entries.step(Kind.ALLOWED, "c", None, "", None, "")
    for seq in (0, 8, 9, 99, (1 << 63) - 2):
        for at in ("", AT, "9" * 88, "9" * 89, "9" * 3000, "ü"):
            found = []
            for add in (lines.add_lines, lines._add_lines):
                buffer = bytearray()
                found.append((add(buffer, [drawn, drawn], seq if seq < 1 << 62 else seq - 1, at), bytes(buffer)))
            assert found[0] == found[1]


def test_where_entries_are_sealed_none_are_drawn(tmp_path: Path) -> None:
    async def go() -> None:
        contents = Contents(MemoryJournal(), tmp_path, key=bytes(32))
        assert isinstance(entries.step(Kind.ALLOWED, "c", None, "", None, ""), Entry)
        await contents.close()

    asyncio.run(go())
    assert not isinstance(entries.step(Kind.ALLOWED, "c", None, "", None, ""), Entry)


def test_nobody_else_draws() -> None:
    drawn: Any = entries.step(Kind.ALLOWED, "c", None, "", None, "")
    forger = type(drawn)
    with pytest.raises(TypeError):
        forger()
    for attack in (
        lambda: copy.copy(drawn), lambda: pickle.dumps(drawn), lambda: type("More", (forger,), {}),
        lambda: setattr(drawn, "text", b'"kind":"admin"}\n'),
    ):  # fmt: skip
        with pytest.raises((TypeError, AttributeError)):
            attack()
    empty = forger.__new__(forger)
    buffer = bytearray(b"x\n")
    with pytest.raises(TypeError):
        lines.add_lines(buffer, [drawn, empty], 1, AT)
    assert buffer == b"x\n"
    with pytest.raises(TypeError):
        lines.pack_lines(bytearray(), (empty,), False)
    assert "shop" not in repr(entries.step(Kind.ALLOWED, "c", PLAIN_CALL, "", None, ""))


def test_an_entry_that_is_whole_has_its_own_fields() -> None:
    for _ in range(3000):  # also: no reference is lost or kept
        drawn = entries.arrival(PLAIN_CALL, Raw(b'{"a":1}'))
        assert drawn.args == Raw(b'{"a":1}')
    entry = whole(drawn)
    assert entry == entries._arrival(PLAIN_CALL, Raw(b'{"a":1}'))
    entry.args = None
    assert whole(drawn).args is not None
