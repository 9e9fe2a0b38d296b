"""One connection to a target over HTTP/2, and the pool of them: its times, its turns, and peers that are slow, dead or mad.

In this process, over real sockets, with times short enough to be waited for.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec import structs

from funcgate.core.function import Limits
from funcgate.core.refusal import Refused
from funcgate.protocols.http.pool import Address
from funcgate.protocols.http.sweeper import Sweeper
from funcgate.protocols.http2.stream import Gone, Stream, Why
from funcgate.protocols.http2.upstream import Http2Pool
from funcgate.wire.http2.limits import Http2Limits, Times
from support.h2frames import DATA, GOAWAY, HEADERS, PING, PREFACE, SETTINGS, WINDOW_UPDATE, frame
from support.h2target import HELLO, until_asked

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter
Script = Callable[[Reader, Writer], Awaitable[None]]
OK = bytes([0x88])
HEAD = [(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"shop.test"), (b":path", b"/orders")]
NO_SECRET: frozenset[bytes] = frozenset()
WIDE = Http2Limits(stream_window=512 << 10, connection_window=50 << 20)
ONE = structs.replace(WIDE, max_streams=1)


class Place:
    """A target that runs `script` for each connection, and a pool in front of it."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.connections = 0
        self.port = 0

    async def serve(self, reader: Reader, writer: Writer) -> None:
        self.connections += 1
        try:
            await self.script(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def place(
    script: Script, limits: Limits | None = None, wire: Http2Limits = WIDE, **times: float
) -> AsyncIterator[tuple[Place, Http2Pool]]:
    target = Place(script)
    server = await asyncio.start_server(target.serve, "127.0.0.1", 0)
    target.port = server.sockets[0].getsockname()[1]
    sweeper = Sweeper(0.02)
    pool = Http2Pool(Address("127.0.0.1", target.port), limits or Limits(), wire, Times(**times), sweeper)
    try:
        async with asyncio.timeout(60):
            yield target, pool
    finally:
        pool.close()
        sweeper.close()
        server.close()


async def echo(reader: Reader, writer: Writer) -> None:
    """Greets, and answers each request, once it is whole, with its stream's number."""
    writer.write(HELLO)
    await reader.readexactly(len(PREFACE))
    while True:
        head = await reader.readexactly(9)
        await reader.readexactly(int.from_bytes(head[:3], "big"))
        if head[3] in (DATA, HEADERS) and head[4] & 1:
            stream = int.from_bytes(head[5:], "big")
            writer.write(frame(HEADERS, 4, stream, OK) + frame(DATA, 1, stream, b"%d" % stream))


async def ask(pool: Http2Pool, body: bytes = b"") -> bytes | None:
    stream = await pool.ask(HEAD, body, secret=NO_SECRET, idempotent=False)
    try:
        return await stream.gather(1 << 16)
    finally:
        stream.close()


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        await work()

    asyncio.run(whole())


def test_streams_share_a_connection_and_give_it_back() -> None:
    async def work() -> None:
        async with place(echo) as (target, pool):
            found = await asyncio.gather(*[ask(pool) for _ in range(80)])
            assert sorted(int(one or b"0") for one in found) == list(range(1, 161, 2))
            assert target.connections == 1
            assert [len(one.streams) for one in pool._connections] == [0]

    run(work)


def test_a_connection_with_nothing_to_do_is_closed() -> None:
    async def work() -> None:
        async with place(echo, idle_s=0.1) as (target, pool):
            assert await ask(pool) == b"1"
            await until(lambda: not pool._connections)
            assert await ask(pool) == b"1"
            assert target.connections == 2

    run(work)


def test_an_old_connection_begins_no_more_streams_and_ends_those_it_has() -> None:
    async def work() -> None:
        async with place(echo, age_s=0.1) as (target, pool):
            stream = await pool.open(HEAD, end=False)
            await until(lambda: pool._connections[0].leaving)
            assert await ask(pool) == b"1"
            assert target.connections == 2
            await stream.write(b"x", end=True)
            assert await stream.answer() == [(b":status", b"200")]
            stream.close()

    run(work)


def test_stream_numbers_that_are_used_up() -> None:
    async def work() -> None:
        async with place(echo) as (target, pool):
            assert await ask(pool) == b"1"
            pool._connections[0]._wire._next_id = 0x7FFFFFFF
            assert await ask(pool) == b"%d" % 0x7FFFFFFF
            assert await ask(pool) == b"1"
            assert target.connections == 2

    run(work)


async def mute(reader: Reader, writer: Writer) -> None:
    """Greets, reads, and never says anything again."""
    writer.write(HELLO)
    while await reader.read(1 << 16):
        pass


async def deaf(reader: Reader, writer: Writer) -> None:
    """Greets, gives room for everything, and reads nothing."""
    room = (1 << 30).to_bytes(4, "big")
    writer.write(HELLO + frame(SETTINGS, 0, 0, b"\x00\x04" + room) + frame(WINDOW_UPDATE, 0, 0, room))
    await asyncio.sleep(60)


async def half(reader: Reader, writer: Writer) -> None:
    """Begins a frame, and does not go on with it."""
    writer.write(HELLO)
    await until_asked(reader)
    writer.write(b"\x00\x00\x20\x01")
    await reader.read()
    await asyncio.sleep(60)


@pytest.mark.parametrize(
    ("script", "times"),
    [
        (mute, {"ping_after_s": 0.1, "ping_s": 0.2}),
        (deaf, {"write_s": 0.2}),
        (half, {"unfinished_s": 0.2, "ping_after_s": 60.0}),
    ],
    ids=["dead", "deaf", "half a frame"],
)
def test_a_peer_that_is_gone_without_a_word(script: Script, times: dict[str, float]) -> None:
    """Found out long before the times of the call itself are over."""

    async def work() -> None:
        async with place(script, **times) as (target, pool):
            with pytest.raises(Refused) as refused:
                await ask(pool, b"x" * (64 << 20) if script is deaf else b"x")
            assert refused.value.code == "target.unreachable"
            assert pool._connections == []
            assert target.connections == 1

    run(work)


def test_a_peer_that_answers_pings_is_waited_for() -> None:
    pings = 0

    async def slow(reader: Reader, writer: Writer) -> None:
        nonlocal pings
        writer.write(HELLO)
        stream = await until_asked(reader)
        while not pings:
            head = await reader.readexactly(9)
            payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
            if head[3] == PING:
                pings += 1
                writer.write(frame(PING, 1, 0, payload))
        await asyncio.sleep(1.2)  # longer than a second ping would be waited for
        writer.write(frame(HEADERS, 5, stream, OK))
        await reader.read()

    async def work() -> None:
        async with place(slow, ping_after_s=0.05, ping_s=1.0) as (_, pool):
            assert await ask(pool) == b""
            assert pings == 1  # silence alone is no reason for a second one so soon

    run(work)


def test_a_peer_that_gives_room_byte_by_byte() -> None:
    async def dripping(reader: Reader, writer: Writer) -> None:
        writer.write(frame(SETTINGS, 0, 0, b"\x00\x04" + bytes(4)) + frame(SETTINGS, 1, 0))
        stream = await until_asked(reader)
        while True:
            writer.write(frame(WINDOW_UPDATE, 0, stream, (1).to_bytes(4, "big")))
            await writer.drain()
            await asyncio.sleep(0.02)

    async def work() -> None:
        async with place(dripping, Limits(first_byte_timeout_s=0.5)) as (_, pool):
            with pytest.raises(Refused) as refused:
                await ask(pool, b"x" * 100_000)
            assert refused.value.code == "target.timeout"

    run(work)


def test_a_window_that_shrinks_below_zero() -> None:
    """RFC 9113, 6.9.2: nothing is sent until it is above zero again."""
    got = 0

    async def shrinking(reader: Reader, writer: Writer) -> None:
        nonlocal got
        writer.write(HELLO)
        stream = await until_asked(reader)
        size = 0
        while size < 65535:
            head = await reader.readexactly(9)
            size += len(await reader.readexactly(int.from_bytes(head[:3], "big")))
        writer.write(frame(SETTINGS, 0, 0, b"\x00\x04" + (10).to_bytes(4, "big")))
        writer.write(frame(WINDOW_UPDATE, 0, 0, (1 << 20).to_bytes(4, "big")))
        writer.write(frame(WINDOW_UPDATE, 0, stream, (65535 - 10 + 5).to_bytes(4, "big")))  # 5 bytes of room
        while size < 65540:
            head = await reader.readexactly(9)
            payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
            size += len(payload) if head[3] == DATA else 0
        got = size
        writer.write(frame(WINDOW_UPDATE, 0, stream, (1 << 20).to_bytes(4, "big")))
        writer.write(frame(HEADERS, 5, stream, OK))
        await reader.read()

    async def work() -> None:
        async with place(shrinking) as (_, pool):
            assert await ask(pool, b"x" * 100_000) == b""
            assert got == 65540

    run(work)


def test_who_waits_is_served_in_turn_also_after_others_gave_up() -> None:
    async def work() -> None:
        limits = Limits(max_connections=1, connect_timeout_s=30.0)
        async with place(echo, limits, ONE) as (target, pool):
            held = await pool.open(HEAD, end=False)
            order: list[int] = []

            async def wait(number: int) -> None:
                await ask(pool)
                order.append(number)

            tasks = []
            for number in range(6):
                tasks.append(asyncio.ensure_future(wait(number)))
                await asyncio.sleep(0)
            await until(lambda: len(pool._waiting) == 6)
            for number in (0, 3):
                tasks[number].cancel()
            held.close()
            pool._wake()  # as by any other news of the connection: one place is free, not two
            tasks[1].cancel()  # it is its turn at this very moment
            await asyncio.gather(*tasks, return_exceptions=True)
            assert order == [2, 4, 5]
            assert target.connections == 1

    run(work)


def test_a_turn_that_was_given_is_nobody_elses() -> None:
    """Between the news of a free place and whoever waits for it, others come, and more news."""

    async def work() -> None:
        async with place(echo, Limits(max_connections=1, connect_timeout_s=30.0), ONE) as (_, pool):
            held = await pool.open(HEAD, end=False)
            order: list[int] = []

            async def wait(number: int) -> None:
                stream = await pool.open(HEAD, end=False)
                order.append(number)
                await asyncio.sleep(0)
                stream.close()

            tasks = [asyncio.ensure_future(wait(number)) for number in range(4)]
            await until(lambda: len(pool._waiting) == 4)
            held.close()
            for _ in range(4):
                pool._wake()
            await asyncio.gather(*tasks)
            assert order == [0, 1, 2, 3]
            held = await pool.open(HEAD, end=False)
            tasks = [asyncio.ensure_future(wait(4))]
            await until(lambda: len(pool._waiting) == 1)
            held.close()  # its turn has come, and it has not run yet
            await wait(5)
            await asyncio.gather(*tasks)
            assert order == [0, 1, 2, 3, 4, 5]

    run(work)


async def slammed(reader: Reader, writer: Writer) -> None:
    writer.close()


async def greets_and_goes(reader: Reader, writer: Writer) -> None:
    writer.write(HELLO)
    await writer.drain()


async def takes_and_goes(reader: Reader, writer: Writer) -> None:
    writer.write(HELLO)
    await until_asked(reader)


async def takes_leave(reader: Reader, writer: Writer) -> None:
    writer.write(HELLO + frame(GOAWAY, 0, 0, bytes(8)))
    await reader.read()


@pytest.mark.parametrize("script", [slammed, greets_and_goes, takes_and_goes, takes_leave])
def test_a_target_that_cannot_be_had_is_held_back(script: Script) -> None:
    """However far it lets a connection come: three that end before an answer, and it is asked again in a second."""

    async def work() -> None:
        async with place(script) as (target, pool):
            for _ in range(10):
                with pytest.raises(Refused) as refused:
                    await ask(pool)
                assert refused.value.code == "target.unreachable"
            assert target.connections == 3
            assert not pool.healthy
            target.script = echo
            pool._held_until = 0.0  # the second is over
            assert await ask(pool) == b"1"
            assert pool.healthy

    run(work)


def test_a_closed_pool_ends_what_it_has_and_still_serves_who_holds_it() -> None:
    async def work() -> None:
        async with place(echo) as (_, pool):
            stream = await pool.open(HEAD, end=False)
            pool.close()
            assert await ask(pool) == b"3"
            await stream.write(b"", end=True)
            assert await stream.answer() == [(b":status", b"200")]
            stream.close()
            await until(lambda: not pool._connections)
            assert await ask(pool) == b"1"
            await until(lambda: not pool._connections)

    run(work)


def test_the_deadline_ends_a_stream_whatever_it_does() -> None:
    async def work() -> None:
        async with place(mute) as (_, pool):
            soon = asyncio.get_running_loop().time() + 0.5
            stream = await pool.open(HEAD, end=True, deadline=soon)
            gone: list[int] = []
            stream.on_gone = lambda: gone.append(stream.number)
            with pytest.raises(Gone) as caught:
                await stream.answer()
            assert (caught.value.why, gone, stream.number) == (Why.LATE, [1], 1)
            assert pool._connections[0].streams == {}
            soon = asyncio.get_running_loop().time() + 0.5
            forgotten = await pool.open(HEAD, end=True, deadline=soon)  # nobody waits on it, nobody closes it
            await until(lambda: not pool._connections[0].streams)
            assert forgotten.error is not None

    run(work)


def test_tiny_frames_do_not_become_so_many_objects() -> None:
    async def drops(reader: Reader, writer: Writer) -> None:
        writer.write(HELLO)
        stream = await until_asked(reader)
        writer.write(frame(HEADERS, 4, stream, OK) + frame(DATA, 0, stream, b"x") * 100_000)
        await reader.read()

    async def work() -> None:
        async with place(drops) as (_, pool):
            stream = await pool.open(HEAD, end=True)
            await until(lambda: stream.held == 100_000)
            assert len(stream._pieces) < 200
            assert await stream.read(7) == b"x" * 7
            assert len(await stream.read()) == 99_993
            stream.close()

    run(work)


def test_reading_and_writing_at_once() -> None:
    """Both directions of one stream, and neither waits for the other."""

    async def mirror(reader: Reader, writer: Writer) -> None:
        writer.write(HELLO)
        stream = await until_asked(reader)
        writer.write(frame(HEADERS, 4, stream, OK))
        while True:
            head = await reader.readexactly(9)
            payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
            if head[3] != DATA:
                continue
            more = len(payload).to_bytes(4, "big")
            writer.write(frame(DATA, head[4] & 1, stream, payload))
            if payload:
                writer.write(frame(WINDOW_UPDATE, 0, 0, more) + frame(WINDOW_UPDATE, 0, stream, more))

    async def work() -> None:
        async with place(mirror) as (_, pool):
            stream = await pool.open(HEAD, end=False)
            await stream.answer()
            sent = random.Random(1).randbytes(3_000_000)

            async def send() -> None:
                for at in range(0, len(sent), 70_001):
                    await stream.write(sent[at : at + 70_001])
                await stream.write(b"", end=True)

            sending = asyncio.ensure_future(send())
            got = b""
            while piece := await stream.read():
                got += piece
            await sending
            assert got == sent
            assert pool._connections[0].streams == {}

    run(work)


ANSWER = (
    HELLO
    + frame(HEADERS, 4, 1, OK + b"\x00\x01a\x01b\x0f\x0d\x0212")
    + frame(WINDOW_UPDATE, 0, 0, (9).to_bytes(4, "big"))
    + frame(DATA, 8, 1, b"\x03hello\0\0\0")
    + frame(PING, 0, 0, b"12345678")
    + frame(DATA, 0, 1, b" world!")
    + frame(HEADERS, 5, 1, b"\x00\x01c\x01d")
)


def _mutant(rng: random.Random) -> bytes:
    data = bytearray(ANSWER)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data))
        match rng.randrange(4):
            case 0:
                data[at] = rng.randrange(256)
            case 1:
                data[at] ^= 1 << rng.randrange(8)
            case 2:
                del data[at : at + rng.randint(1, 12)]
            case _:
                data[at:at] = rng.randbytes(rng.randint(1, 12))
    return bytes(data)


@pytest.mark.parametrize("count", [200, pytest.param(5_000, marks=pytest.mark.slow)])
def test_mutated_answers_end_in_an_answer_or_a_refusal(count: int) -> None:
    """P8: never a hang, another exception, or a stream that stays."""
    rng = random.Random(count)
    said, early, read = b"", False, 0

    async def script(reader: Reader, writer: Writer) -> None:
        at = len(said) if early else len(HELLO)
        writer.write(said[:at])
        await until_asked(reader)
        writer.write(said[at:])
        writer.write_eof()
        await reader.read()

    async def work() -> None:
        nonlocal said, early, read
        limits = Limits(connect_timeout_s=5.0, first_byte_timeout_s=0.3, idle_timeout_s=0.3)
        for number in range(count):
            said, early = _mutant(rng), number % 4 == 0  # now and then all of it before anything was asked
            async with place(script, limits, settle_s=0.3) as (_, pool):  # which bounds each of them
                try:
                    body = await ask(pool)
                except (Refused, Gone):
                    continue
                assert body is not None
                read += 1
                assert all(not connection.streams for connection in pool._connections)

    run(work)
    assert 0 < read < count


def test_the_unmutated_answer_is_read() -> None:
    async def script(reader: Reader, writer: Writer) -> None:
        writer.write(HELLO)
        await until_asked(reader)
        writer.write(ANSWER[len(HELLO) :])
        await reader.read()

    async def work() -> None:
        async with place(script) as (_, pool):
            stream: Stream = await pool.ask(HEAD, b"", secret=NO_SECRET, idempotent=False)
            assert await stream.gather(100) == b"hello world!"
            assert stream.trailers == [(b"c", b"d")]
            stream.close()

    run(work)


async def restless(reader: Reader, writer: Writer) -> None:
    """Makes us answer, and reads none of it."""
    writer.write(HELLO)
    await until_asked(reader)
    while True:
        writer.write(frame(PING, 0, 0, b"answer!!") * 1000)
        await writer.drain()


def test_a_peer_that_makes_us_answer_and_reads_nothing_is_cut_off() -> None:
    """At `max_unread`, long before it is given up for not reading."""

    async def work() -> None:
        wire = structs.replace(WIDE, pings=1 << 30, max_unread=512 << 10)
        async with place(restless, wire=wire, write_s=1000.0) as (_, pool):
            stream = await pool.open(HEAD, end=True)
            transport = pool._connections[0].transport
            assert transport is not None
            most = 0
            while stream.error is None:
                most = max(most, transport.get_write_buffer_size())
                await asyncio.sleep(0)
            assert stream.error.why is Why.CLOSED
            assert 256 << 10 < most <= 512 << 10

    run(work)


@pytest.mark.parametrize(("count", "served"), [(3, True), (4, False)])
def test_more_interim_answers_than_the_limit_are_refused(count: int, served: bool) -> None:
    async def hasty(reader: Reader, writer: Writer) -> None:
        writer.write(HELLO)
        stream = await until_asked(reader)
        writer.write(frame(HEADERS, 4, stream, b"\x08\x03103") * count + frame(HEADERS, 5, stream, OK))
        await reader.read()

    async def work() -> None:
        async with place(hasty, wire=structs.replace(WIDE, max_interim=3)) as (_, pool):
            if served:
                assert await ask(pool) == b""
                return
            with pytest.raises(Refused) as refused:
                await ask(pool)
            assert refused.value.code == "masking.refused"

    run(work)


async def flood(reader: Reader, writer: Writer) -> None:
    """Fills whatever room each stream has, and the connection."""
    writer.write(HELLO)
    while True:
        stream = await until_asked(reader)
        writer.write(frame(HEADERS, 4, stream, OK) + frame(DATA, 0, stream, b"x" * 16384) * 4)  # 64 KiB


def test_what_nobody_reads_is_bounded_by_the_windows() -> None:
    """docs/http2.md, Memory: the connection's window is all that one connection keeps, however many streams it has."""

    async def work() -> None:
        small = Http2Limits(max_streams=20, stream_window=64 << 10, connection_window=256 << 10)
        async with place(flood, wire=small) as (_, pool):
            streams = [await pool.open(HEAD, end=True) for _ in range(4)]
            await until(lambda: sum(stream.held for stream in streams) == 256 << 10)
            assert [stream.error for stream in streams] == [None] * 4
            fifth = await pool.open(HEAD, end=True)
            await until(lambda: fifth.error is not None)  # its target went on all the same: the end of the connection
            assert fifth.error is not None
            assert fifth.error.why is Why.UNREADABLE
            assert sum(stream.held for stream in [*streams, fifth]) == 0

    run(work)
