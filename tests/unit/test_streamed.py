"""Streams of lines, masked line by line: what comes out at once, what is refused, what is known at the end."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from funcgate.core.lease import NO_LEASE, Lease
from funcgate.core.refusal import Code, Refused
from funcgate.core.reply import Outcome, Reply
from funcgate.core.secret import Secret
from funcgate.masking import RuleSpec, compile_rules
from funcgate.streamed import Streamed

MEDIA = "application/x-ndjson"
CARD = b"4111 1111 1111 1111"


def masker(detect: Any = "all", fields: list[str] | None = None) -> Any:
    """Of a function with one rule, or without any."""
    rules = [RuleSpec(functions=["t.f"], detect=detect or [], fields=fields or [])] if detect or fields else []
    plan = compile_rules(rules, ["t.f"], where=(), hash_key=b"k" * 32, decoded_limit=1 << 20, rows=set())
    return plan.masker("t.f")


def reply_of(pieces: list[bytes], closed: list[bool] | None = None, **fields: Any) -> Reply:
    reply = Reply(status=200, headers=[], media=MEDIA, lines=True, **fields)

    async def stream() -> AsyncIterator[bytes]:
        try:
            for piece in pieces:
                yield piece
            reply.status, reply.trailers = 404, [(b"x-card", CARD)]
        finally:
            if closed is not None:
                closed.append(True)

    reply.stream = stream()
    return reply


def out_of(streamed: Streamed) -> list[bytes]:
    async def run() -> list[bytes]:
        assert streamed.reply.stream is not None
        return [piece async for piece in streamed.reply.stream]

    return asyncio.run(run())


def test_each_piece_is_masked_as_it_comes() -> None:
    streamed = Streamed(masker(), reply_of([b'{"a":"%b"}\n' % CARD, b'{"a":1}\n{"b":"%b"}\n' % CARD]), NO_LEASE)
    redacted = b"[REDACTED:credit_card]"
    assert out_of(streamed) == [b'{"a":"%b"}\n' % redacted, b'{"a":1}\n{"b":"%b"}\n' % redacted]
    assert streamed.counts["credit_card"] == 3  # with the trailer
    assert (streamed.reply.status, streamed.reply.trailers) == (404, [(b"x-card", redacted)])
    assert streamed.reply.outcome is Outcome.COMPLETE


def test_fields_and_the_credential() -> None:
    lease = Lease(needles=(Secret("hush-hush-4711"),))
    streamed = Streamed(masker(None, ["secret"]), reply_of([b'{"secret":"x","b":"hush-hush-4711"}\n']), lease)
    (line,) = out_of(streamed)
    assert b'"secret":"[REDACTED:field]"' in line
    assert b"hush-hush" not in line


def test_the_credential_without_any_rule() -> None:
    streamed = Streamed(
        masker(None), reply_of([b'{"b":"hush-hush-4711"}\n']), Lease(needles=(Secret("hush-hush-4711"),))
    )
    assert b"hush-hush" not in out_of(streamed)[0]


def test_the_head() -> None:
    source = Reply(status=200, headers=[(b"x-card", CARD)], media=MEDIA, lines=True)
    assert Streamed(masker(), source, NO_LEASE).reply.headers == [(b"x-card", b"[REDACTED:credit_card]")]


@pytest.mark.parametrize("piece", [b'{"a":1}', b'{"a":1}\n{"b"'])
def test_half_a_line_is_refused(piece: bytes) -> None:
    """Attack: a value cut in two, that no detector sees whole."""
    closed: list[bool] = []
    with pytest.raises(Refused) as caught:
        out_of(Streamed(masker(), reply_of([piece], closed), NO_LEASE))
    assert caught.value.code is Code.MASKING_REFUSED
    assert closed == [True]


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(Refused):
        out_of(Streamed(masker(), reply_of([b"no json\n"]), NO_LEASE))


def test_a_large_piece() -> None:
    line = b'{"a":"%b %b"}\n' % (b"x" * 100_000, CARD)
    (out,) = out_of(Streamed(masker(), reply_of([line]), NO_LEASE))
    assert CARD not in out
    assert len(out) > 100_000
