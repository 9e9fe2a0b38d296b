"""Compiled and pure: the same entries, fields and answers to what may stay in a line."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from funcgate.core.call import Call
from funcgate.core.decision import Allow, Deny, RequireApproval
from funcgate.core.entry import Drawn, Entry, Kind, whole
from funcgate.core.native import half
from funcgate.core.principal import Principal, Who, make_principal, who_is
from funcgate.core.refusal import Code
from funcgate.core.reply import Outcome, Reply
from funcgate.recording import entries, tape
from funcgate.recording.contents import contents
from support.quick import examples

pytestmark = pytest.mark.skipif(half("funcgate.recording._native") is None, reason="not built, or FUNCGATE_PURE is set")
MADE = make_principal("corp", "ada", frozenset({"b", "a"}), {}, "t", 0.0, "eve", "bot")
BARE = Principal("corp", "ada", frozenset({"b", "a"}), {}, "t", 0.0, "eve", actor="bot")
DECISIONS = (None, Allow(("p",), "v"), RequireApproval((), ("p", "q"), "v"), Deny(Code.POLICY_DENIED, "why", (), "v"))


def call_of(principal: Principal, **more: str) -> Call:
    return Call(
        id="c", target="shop", function="shop.buy", args={}, principal=principal, session="s", digest="sha256:0",
        received_at=0.0, **more,
    )  # fmt: skip


def test_a_principal_is_shown_alike_however_it_was_made() -> None:
    assert who_is(MADE) == who_is(BARE) == Who("corp", "ada", ("a", "b"), "eve", "t", "bot")


@pytest.mark.parametrize("principal", [MADE, BARE])
@pytest.mark.parametrize("more", [{}, {"client": "::1", "trace": "ab", "reason": "because"}])
def test_the_same_arrival(principal: Principal, more: dict[str, str]) -> None:
    call = call_of(principal, **more)
    assert whole(entries.arrival(call, Raw(b"{}"))) == entries._arrival(call, Raw(b"{}"))


@pytest.mark.parametrize("decision", DECISIONS)
@pytest.mark.parametrize("call", [None, call_of(MADE)])
@pytest.mark.parametrize("kind", [Kind.ALLOWED, Kind.DENIED, Kind.ENDED])
def test_the_same_step_and_end(decision: Any, call: Call | None, kind: Kind) -> None:
    args = (kind, "c", call, "approval", decision, "v2")
    assert whole(entries.step(*args)) == entries._step(*args)
    rest = (Outcome.CUT, Code.TARGET_TIMEOUT, {"send": 5}, 200, {"card": 1}, 1 << 40)
    assert whole(entries.ended(*args[1:], *rest)) == entries._ended(*args[1:], *rest)


@pytest.mark.parametrize("body", [None, b"", b'{"a":1}'])
def test_the_same_answer(body: bytes | None) -> None:
    reply = Reply(status=206, headers=[], body=body)
    args = (call_of(MADE), reply, (("etag", "x"),), {"card": 1}, None if body is None else Raw(body), "")
    assert whole(entries.answer(*args)) == entries._answer(*args)


@pytest.mark.parametrize(
    "make",
    [
        lambda: entries.arrival(5, Raw(b"")), lambda: entries.answer(5, 5, (), {}, None, ""),
        lambda: entries.ended("c", 5, "", None, "", "", "", {}, 0, {}, 0),
    ],
)  # fmt: skip
def test_another_type_is_no_call(make: Callable[[], Entry | Drawn]) -> None:
    with pytest.raises(TypeError):
        make()


def test_entries_share_nothing_that_changes() -> None:
    for _ in range(3000):  # also: no reference is lost or kept
        entry = whole(entries.step(Kind.DENIED, "c", None, "", None, ""))
        entry.masked = {"card": 1}
        entry.timing_us = {"send": 1}
    fresh = whole(entries.step(Kind.DENIED, "c", None, "", None, ""))
    assert (fresh.masked, fresh.timing_us, fresh.change) == ({}, {}, {})


NAMES = st.sampled_from([
    b"Date", b"date", b"SERVER", b"Connection", b"keep\rAlive", b"Keep-Alive", b"keep\ralive", b"content\rlength",
    b"Content-Length", b"CONTENT-TYPE", b"content-typo", b"x", b"", b"etag", b"dat\xe9", b"location", b"a" * 14, b"a" * 15,
]) | st.binary(max_size=16)  # fmt: skip


@settings(max_examples=examples(300), deadline=None)
@given(st.lists(st.tuples(NAMES, st.binary(max_size=9)), max_size=5))
def test_the_same_fields(pairs: list[tuple[bytes, bytes]]) -> None:
    assert tape.fields_of(pairs) == tape.fields_of(tuple(pairs)) == tape._fields_of(pairs)


@settings(max_examples=examples(300), deadline=None)
@given(st.binary(max_size=40) | st.text("az\n\r\x80", max_size=40).map(str.encode))
def test_one_line_is_ascii_without_a_break(body: bytes) -> None:
    plain = bool(body) and body.isascii() and b"\n" not in body and b"\r" not in body
    assert half("funcgate.recording._native").one_line(body) is plain
    if plain:
        known = tape.as_json(body, "application/json", True)
        assert known is not None
        assert bytes(known) == body


@pytest.mark.parametrize("args", [None, Raw(b"1234"), Raw(b"12345")])
@pytest.mark.parametrize("body", [None, Raw(b"1234"), Raw(b"12345"), "1234", "12345"])
def test_what_is_small(args: Raw | None, body: Raw | str | None) -> None:
    given_ = (Entry(kind=Kind.ENDED, call="c"), Entry(kind=Kind.CHUNK, call="c", args=args, body=body))
    assert contents._small(given_, 4) is contents._all_small(given_, 4)
    assert contents._small((), 4) is True
