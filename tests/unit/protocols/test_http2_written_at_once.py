"""What is alone under way is written at once; where others could add something, it waits for the end of the loop's turn."""

import asyncio
from collections.abc import Iterator

import pytest

from funcgate.protocols.http.sweeper import Sweeper
from funcgate.protocols.http2.link import Http2Connection
from funcgate.protocols.http2.stream import Gone, Stream
from funcgate.wire.http2.limits import Http2Limits, Times
from support import h2frames as h2

ASKED = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/a"), (b":authority", b"t")]
HEAD, TAIL = [(b":status", b"200")], [(b"grpc-status", b"0")]


class Wire:
    """A transport that keeps each write."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def set_write_buffer_limits(self, high: int | None = None) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False

    def close(self) -> None: ...

    abort = close


class Owner:
    def __init__(self, alone: bool) -> None:
        self.alone = alone
        self.streams: list[Stream] = []

    def opened(self, stream: Stream) -> None:
        self.streams.append(stream)

    def settled(self, connection: Http2Connection) -> None: ...

    def freed(self, connection: Http2Connection) -> None: ...

    def lost(self, connection: Http2Connection, why: str) -> None: ...


def connected(owner: Owner, *, client: bool) -> tuple[Http2Connection, Wire]:
    wire = Wire()
    connection = Http2Connection(owner, Sweeper(), Http2Limits(), Times(), client=client)
    connection.connection_made(wire)  # type: ignore[arg-type]
    connection.data_received((b"" if client else h2.PREFACE) + h2.settings() + h2.frame(h2.SETTINGS, h2.ACK))
    connection.flush()
    wire.writes.clear()
    return connection, wire


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    with asyncio.Runner() as runner:
        yield runner.get_loop()


def kinds(write: bytes) -> list[tuple[int, int]]:
    return [(one.kind, one.stream) for one in h2.frames(write)]


def test_a_request_that_is_alone_is_one_write_now(loop: asyncio.AbstractEventLoop) -> None:
    async def work() -> None:
        connection, wire = connected(Owner(False), client=True)
        stream = connection.open(ASKED, end=False, body=b"abc")
        assert stream.sent_end
        assert list(map(kinds, wire.writes)) == [[(h2.HEADERS, 1), (h2.DATA, 1)]]
        await asyncio.sleep(0)
        assert len(wire.writes) == 1
        more = [connection.open(ASKED, end=False, body=b"abc") for _ in range(2)]
        assert len(wire.writes) == 1  # the first one is still under way: together, at the end of the turn
        await asyncio.sleep(0)
        assert list(map(kinds, wire.writes[1:])) == [
            [(kind, one.number) for one in more for kind in (h2.HEADERS, h2.DATA)]
        ]
        connection.abort()

    loop.run_until_complete(work())


def test_a_body_without_room_is_left_to_who_waits(loop: asyncio.AbstractEventLoop) -> None:
    async def work() -> None:
        connection, wire = connected(Owner(False), client=True)
        stream = connection.open(ASKED, end=False, body=bytes(70_000))
        assert not stream.sent_end
        assert not wire.writes
        await asyncio.sleep(0)
        assert list(map(kinds, wire.writes)) == [[(h2.HEADERS, 1)]]
        connection.abort()
        with pytest.raises(Gone):
            await stream.answer()

    loop.run_until_complete(work())


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("other", [True, False])
def test_an_answer_that_is_alone_is_one_write_now(loop: asyncio.AbstractEventLoop, alone: bool, other: bool) -> None:
    async def work() -> None:
        owner = Owner(alone)
        connection, wire = connected(owner, client=False)
        connection.data_received(h2.headers(1, ASKED) + (h2.headers(3, ASKED) if other else b""))
        assert owner.streams[0].answer_now(HEAD, b"abc", TAIL)
        at_once = list(map(kinds, wire.writes))
        await asyncio.sleep(0)
        whole = [(h2.HEADERS, 1), (h2.DATA, 1), (h2.HEADERS, 1)]
        assert at_once == ([whole] if alone and not other else [])
        assert list(map(kinds, wire.writes)) == [whole]
        connection.abort()

    loop.run_until_complete(work())
