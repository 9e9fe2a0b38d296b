"""The link: frames in whatever pieces, limits, questions with every kind of answer, and what ends it."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from functools import wraps
from struct import pack
from typing import Any, NamedTuple, ParamSpec

import pytest
import uvloop

from funcgate.app.workers.link import Kind, Link, Lost
from funcgate.core.refusal import Code, Refused

LIMIT_S = 10.0
P = ParamSpec("P")


def in_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """A test that runs in the gateway's event loop."""

    @wraps(test)
    def run(*arguments: P.args, **named: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(test(*arguments, **named))

    return run


class End(NamedTuple):
    """One end: what it was told, and whether it was lost."""

    link: Link
    told: list[tuple[Kind, bytes]]
    lost: asyncio.Event


async def echo(question: bytes) -> bytes:
    return b"said " + question


async def connected(side: socket.socket, answer: Callable[[bytes], Awaitable[bytes]], **limits: int) -> End:
    told: list[tuple[Kind, bytes]] = []
    lost = asyncio.Event()

    def hear(kind: Kind) -> Callable[[bytes], None]:
        def take(payload: bytes) -> None:
            if payload == b"broken":
                raise ValueError("what no honest worker says")
            told.append((kind, payload))

        return take

    link = Link({kind: hear(kind) for kind in (Kind.LINES, Kind.COUNTED)}, answer, lost.set, **limits)
    await asyncio.get_running_loop().create_unix_connection(lambda: link, sock=side)
    return End(link, told, lost)


@asynccontextmanager
async def pair(answer: Callable[[bytes], Awaitable[bytes]] = echo, **limits: int) -> AsyncIterator[tuple[End, End]]:
    one, other = socket.socketpair()
    ends = await connected(one, echo), await connected(other, answer, **limits)
    async with asyncio.timeout(LIMIT_S):
        yield ends
    for end in ends:
        end.link.close()


@asynccontextmanager
async def raw(**limits: int) -> AsyncIterator[tuple[socket.socket, End]]:
    """A link, and the bare socket at its other end."""
    one, other = socket.socketpair()
    one.setblocking(False)
    end = await connected(other, echo, **limits)
    async with asyncio.timeout(LIMIT_S):
        yield one, end
    end.link.close()
    one.close()


async def until(true: Callable[[], Any]) -> None:
    while not true():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


def frame(kind: int, payload: bytes) -> bytes:
    return pack("<IB", len(payload), kind) + payload


@in_loop
async def test_frames_wherever_they_are_cut() -> None:
    said = [(Kind.LINES, b""), (Kind.LINES, b"a"), (Kind.COUNTED, b"b" * 300), (Kind.LINES, b"c" * 3)]
    stream = b"".join(frame(kind, payload) for kind, payload in said)
    told: list[tuple[Kind, bytes]] = []
    on = {
        Kind.LINES: lambda data: told.append((Kind.LINES, data)),
        Kind.COUNTED: lambda data: told.append((Kind.COUNTED, data)),
    }
    for cut in range(len(stream) + 1):
        end = Link(on, echo, lambda: None)
        told.clear()
        end.data_received(stream[:cut])
        end.data_received(stream[cut:])
        assert told == said, cut
        for at in range(len(stream)):
            end.data_received(stream[at : at + 1])
        assert told == said * 2, cut


@in_loop
async def test_many_frames_and_a_large_one() -> None:
    async with pair() as (one, other):
        for number in range(1000):
            one.link.send(Kind.LINES, str(number).encode())
        one.link.send(Kind.COUNTED, bytes(8 << 20))
        await until(lambda: len(other.told) == 1001)
        assert [payload for _, payload in other.told[:-1]] == [str(number).encode() for number in range(1000)]
        assert other.told[-1] == (Kind.COUNTED, bytes(8 << 20))


@in_loop
async def test_a_question_and_its_answer() -> None:
    async with pair() as (one, other):
        assert await asyncio.gather(*(one.link.ask(str(n).encode()) for n in range(50))) == [
            b"said " + str(n).encode() for n in range(50)
        ]
        assert await other.link.ask(b"back") == b"said back"


@in_loop
async def test_a_refusal_crosses_whole() -> None:
    refused = Refused(
        Code.APPROVAL_PENDING, "wait", private_detail="why", status=403, retry_after_s=7, public={"approval_url": "/a"}
    )

    async def answer(question: bytes) -> bytes:
        raise refused

    async with pair(answer) as (one, _):
        with pytest.raises(Refused) as raised:
            await one.link.ask(b"may I")
        for name in ("code", "public_detail", "private_detail", "status", "retry_after_s"):
            assert getattr(raised.value, name) == getattr(refused, name)
        assert dict(raised.value.public) == {"approval_url": "/a"}


@in_loop
async def test_what_breaks_there_is_named_by_its_type_alone() -> None:
    async def answer(question: bytes) -> bytes:
        raise KeyError("a secret")

    async with pair(answer) as (one, _):
        with pytest.raises(Lost, match=r"^KeyError$"):
            await one.link.ask(b"?")


@in_loop
async def test_what_broke_is_a_name_or_nothing() -> None:
    async with raw() as (far, end):
        asked = asyncio.create_task(end.link.ask(b"?"))
        loop = asyncio.get_running_loop()
        await loop.sock_recv(far, 100)
        await loop.sock_sendall(far, frame(Kind.BROKE, pack("<Q", 1) + b'no\n{"level": "forged"}'))
        with pytest.raises(Lost, match=r"^it broke$"):
            await asked


@in_loop
async def test_cancelling_a_question_cancels_what_is_done_for_it() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def answer(question: bytes) -> bytes:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return b""

    async with pair(answer) as (one, _):
        asked = asyncio.create_task(one.link.ask(b"?"))
        await began.wait()
        asked.cancel()
        await ended.wait()
        with pytest.raises(asyncio.CancelledError):
            await asked


@in_loop
async def test_when_it_ends_questions_are_lost_and_answers_cancelled() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def answer(question: bytes) -> bytes:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return b""

    async with pair(answer) as (one, other):
        asked = asyncio.create_task(one.link.ask(b"?"))
        await began.wait()
        one.link.give_up("enough")
        await asyncio.gather(one.lost.wait(), other.lost.wait(), ended.wait())
        with pytest.raises(Lost):
            await asked
        with pytest.raises(Lost):
            await one.link.ask(b"again")
        one.link.send(Kind.LINES, b"nobody hears it")
        assert (one.link.trouble, other.link.trouble) == ("enough", "")


@pytest.mark.parametrize(
    "bad",
    [
        pack("<IB", 1001, Kind.LINES),
        frame(Kind.LINES, b"broken"),
        frame(77, b""),
        frame(Kind.JOURNAL, b"nobody listens to this kind"),
        frame(Kind.ASK, b"short"),
        frame(Kind.REFUSED, b"\xc1"),
        frame(Kind.ASK, pack("<Q", 1)) * 2,
    ],
    ids=["too large", "broken", "no kind", "not expected", "no number", "no number either", "one number twice"],
)
@in_loop
async def test_what_cannot_be_read_ends_the_link(bad: bytes) -> None:
    async with raw(max_frame_bytes=1000) as (far, end):
        await asyncio.get_running_loop().sock_sendall(far, bad + frame(Kind.LINES, b"and what follows"))
        await end.lost.wait()
        assert end.link.trouble
        assert end.told == []


@in_loop
async def test_a_refusal_that_cannot_be_read_ends_the_link() -> None:
    async with raw() as (far, end):
        asked = asyncio.create_task(end.link.ask(b"?"))
        loop = asyncio.get_running_loop()
        await loop.sock_recv(far, 100)
        await loop.sock_sendall(far, frame(Kind.REFUSED, pack("<Q", 1) + b"\xc1"))
        await end.lost.wait()
        with pytest.raises(Lost):
            await asked


@in_loop
async def test_too_many_questions_end_the_link() -> None:
    async def answer(question: bytes) -> bytes:
        await asyncio.Event().wait()
        return b""

    async with pair(answer, max_answering=10) as (one, other):
        asked = [asyncio.create_task(one.link.ask(b"?")) for _ in range(11)]
        await asyncio.gather(one.lost.wait(), other.lost.wait())
        assert all(isinstance(each, Lost) for each in await asyncio.gather(*asked, return_exceptions=True))


@in_loop
async def test_an_end_that_reads_nothing_is_given_up() -> None:
    async with raw(max_unread_bytes=1 << 20) as (_, end):
        for _ in range(40):
            end.link.send(Kind.LINES, bytes(100_000))
        await end.lost.wait()
        assert end.link.trouble == "the other end reads nothing"


@in_loop
async def test_an_answer_to_nothing_is_nothing() -> None:
    async with raw() as (far, end):
        await asyncio.get_running_loop().sock_sendall(far, frame(Kind.ANSWER, pack("<Q", 5) + b"?"))
        await asyncio.get_running_loop().sock_sendall(far, frame(Kind.CANCEL, pack("<Q", 5)))
        await asyncio.get_running_loop().sock_sendall(far, frame(Kind.LINES, b"on"))
        await until(lambda: end.told)
        assert not end.lost.is_set()


@pytest.mark.parametrize("how", ["it died", "it is killed", "it forged"])
@in_loop
async def test_what_it_said_before_its_end_is_taken(how: str) -> None:
    """Also when this end finds out by a write, which is when a loop reads no more. What comes after a forged frame is not."""
    async with raw() as (far, end):
        assert end.link._transport is not None
        end.link.rest = end.link._transport.get_extra_info("socket").dup()
        loop = asyncio.get_running_loop()
        end.link.send(Kind.WRITTEN, b"never read")
        await loop.sock_sendall(far, frame(Kind.LINES, b"first"))
        await until(lambda: end.told)
        for number in range(100):
            far.send(frame(Kind.LINES, b"%d" % number))
        far.send(frame(Kind.ASK, pack("<Q", 1) + b"nobody is there for the answer"))
        if how == "it is killed":
            end.link.give_up("too slow", forged=False)
        elif how == "it forged":
            end.link.give_up("forged")
        far.close()
        for _ in range(3):
            end.link.send(Kind.WRITTEN, b"to nobody")
        await end.lost.wait()
        assert len(end.told) == (1 if how == "it forged" else 101)
        assert end.link.rest.fileno() == -1


@in_loop
async def test_an_end_that_goes_on_writing_when_it_reads_no_more_is_left() -> None:
    async with raw() as (far, end):
        assert end.link._transport is not None
        end.link.rest = end.link._transport.get_extra_info("socket").dup()
        far.setblocking(True)
        far.shutdown(socket.SHUT_RD)
        over = threading.Event()
        many = frame(Kind.ANSWER, pack("<Q", 5)) * 10_000

        def write() -> None:
            with suppress(OSError):
                while not over.is_set():
                    far.sendall(many)

        writing = threading.Thread(target=write)
        writing.start()
        giving_up = threading.Timer(LIMIT_S, over.set)
        giving_up.start()
        try:
            while not end.lost.is_set():
                end.link.send(Kind.WRITTEN, b"to nobody")
                await asyncio.sleep(0)
            assert not over.is_set(), "the loop stood still until the other end had enough"
        finally:
            over.set()
            giving_up.cancel()
            far.shutdown(socket.SHUT_RDWR)
            writing.join()
        assert end.link.rest.fileno() == -1
