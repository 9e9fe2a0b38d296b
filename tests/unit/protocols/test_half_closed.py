"""A caller that closes its side: before its answer it is asked for a sign of life, in the middle of it it is not."""

import asyncio
from math import inf

import pytest

from funcgate.protocols.http.caller_end import CallerEnd
from funcgate.protocols.http.limits import ListenerLimits
from funcgate.wire.http1.requests import Request


class Wire:
    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data


@pytest.mark.parametrize("began", [False, True])
def test_no_interim_answer_within_an_answer(began: bool) -> None:
    async def main() -> None:
        end, wire = CallerEnd(ListenerLimits(write_timeout_s=5.0)), Wire()
        end._transport, end._request = wire, Request(b"GET", b"/")  # type: ignore[assignment]
        if began:
            end.answer_began()
        end._probe()
        assert bool(wire.written) is not began
        assert end.deadline < inf

    asyncio.run(main())
