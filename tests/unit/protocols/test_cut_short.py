"""Answers that are cut when all of them came and some of it was not read yet: what went out must not look like the whole."""

import asyncio

import pytest

from funcgate.core.refusal import Code, Refused
from funcgate.protocols.http.sweeper import Sweeper
from funcgate.protocols.http.upstream import UpstreamConnection
from funcgate.protocols.http2.gone import Gone
from funcgate.protocols.http2.link import Http2Connection
from funcgate.protocols.http2.stream import Stream
from funcgate.wire.http1.limits import HeadLimits
from funcgate.wire.http2.limits import Http2Limits, Times
from support import h2frames as h2

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
ASKED = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/a"), (b":authority", b"t")]


class Wire:
    """A transport that writes to nobody."""

    def write(self, data: bytes) -> None: ...

    def set_write_buffer_limits(self, high: int | None = None) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False

    def close(self) -> None: ...

    abort = close


class Owner:
    alone = False

    def opened(self, stream: Stream) -> None: ...

    def settled(self, connection: Http2Connection) -> None: ...

    def freed(self, connection: Http2Connection) -> None: ...

    def lost(self, connection: Http2Connection, why: str) -> None: ...


def test_over_http1() -> None:
    """Attack: a revoked token whose holder reads slowly: what is dropped of the answer would end it as if it were whole."""

    async def main() -> None:
        connection = UpstreamConnection(Sweeper(), HeadLimits(), 10.0, 10.0)
        connection.connection_made(Wire())  # type: ignore[arg-type]
        asked = connection.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", False, 10.0, 0)
        connection.data_received(HEAD + b"3\r\none\r\n")
        stream = (await asked).connection.stream()
        assert await anext(stream) == b"one"
        connection.data_received(b"3\r\ntwo\r\n0\r\n\r\n")
        connection.cut(Refused(Code.IDENTITY_REVOKED))
        with pytest.raises(Refused):
            await anext(stream)
        assert not connection.is_usable()

    asyncio.run(main())


def test_over_http1_with_bytes_behind_the_end() -> None:
    async def main() -> None:
        connection = UpstreamConnection(Sweeper(), HeadLimits(), 10.0, 10.0)
        connection.connection_made(Wire())  # type: ignore[arg-type]
        asked = connection.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", False, 10.0, 0)
        connection.data_received(HEAD + b"3\r\none\r\n")
        stream = (await asked).connection.stream()
        assert await anext(stream) == b"one"
        connection.data_received(b"3\r\ntwo\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n")
        with pytest.raises(Refused):
            await anext(stream)

    asyncio.run(main())


@pytest.mark.parametrize("how", ["reset", "its time is over"])
def test_over_http2(how: str) -> None:
    async def main() -> None:
        connection = Http2Connection(Owner(), Sweeper(), Http2Limits(), Times(), client=True)
        connection.connection_made(Wire())  # type: ignore[arg-type]
        connection.data_received(h2.settings() + h2.frame(h2.SETTINGS, h2.ACK))
        stream = connection.open(ASKED, end=True)
        stream.fields = [(b":status", b"200")]
        stream.came(b"one", False)
        assert await stream.read() == b"one"
        stream.came(b"two", True)
        if how == "reset":
            stream.reset()
        else:
            stream.deadline = 0.0
            stream.expire(1.0)
        with pytest.raises(Gone):
            await stream.read()

    asyncio.run(main())
