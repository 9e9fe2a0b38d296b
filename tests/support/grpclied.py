"""What a lying target answers, without sockets, into all that reads it: connection, stream, message, mask. In every answer there
is a value that is to be hidden; what comes out is read by protobuf's own library.
"""

import asyncio
import random
import struct
from collections import Counter
from pathlib import Path

from google.protobuf.message import DecodeError

from funcgate.catalog.proto import Method, ProtoSpec, load_proto
from funcgate.core.function import Limits
from funcgate.core.lease import Lease
from funcgate.core.refusal import Refused
from funcgate.masking import RuleSpec, compile_rules
from funcgate.protocols.grpc.answer import Answer
from funcgate.protocols.grpc.replying import framed as put_together
from funcgate.protocols.grpc.replying import streamed, whole
from funcgate.protocols.grpc.target import GrpcTarget
from funcgate.protocols.http.sweeper import Sweeper
from funcgate.protocols.http2.link import Http2Connection
from funcgate.protocols.http2.stream import Gone, Stream
from funcgate.protocols.http2.upstream import refusal
from funcgate.streamed import Streamed
from funcgate.wire.http2.codes import NoStream
from funcgate.wire.http2.limits import Http2Limits, Times
from support import h2frames as h2
from support.grpclies import CANARY, answer
from support.grpcnoise import muddled
from support.ledger import METHODS, PROTO, SERVICE, new

_STREAMS = 6  # at a time, on one connection
_HANGS_S = 20.0


class _Transport:
    """Takes all that is written, and keeps nothing."""

    def __init__(self) -> None:
        self.closed = False

    def write(self, data: bytes) -> None: ...

    def set_write_buffer_limits(self, high: int | None = None) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close


class _Owner:
    def opened(self, stream: Stream) -> None:
        raise TypeError("a target opened a stream")

    def settled(self, connection: Http2Connection) -> None: ...

    def freed(self, connection: Http2Connection) -> None: ...

    def lost(self, connection: Http2Connection, why: str) -> None: ...


class Lied:
    """One process's share. `trouble` is what must not be."""

    def __init__(self, seed: int, hide: bool) -> None:
        self.counts: Counter[str] = Counter()
        self.trouble: list[str] = []
        self._noise = random.Random(seed)
        catalog = load_proto("ledger", ProtoSpec(proto=[PROTO.name]), PROTO.parent, ())
        names = list(catalog.functions)
        fields = ["**.id", "**.note", "**.text"]
        rules = [RuleSpec(functions=["ledger.*"], fields=fields)] if hide else []
        self._maskers = compile_rules(rules, names, hash_key=b"k" * 32).masker
        self._strict = hide
        limits = Limits(max_response=64 << 10)
        self._target = GrpcTarget("ledger", "http://127.0.0.1:1", catalog, limits, None)  # type: ignore[arg-type]

    async def run(self, frames: int) -> tuple[int, int]:
        """So many frames. What the process held after a tenth of them, and at the end."""
        early = 0
        while self.counts["frames"] < frames:
            await self._connection()
            if not early and self.counts["frames"] > frames // 5:
                early = _resident()
        return early, _resident()

    async def _connection(self) -> None:
        noise, sweeper = self._noise, Sweeper()
        connection = Http2Connection(_Owner(), sweeper, Http2Limits(), Times(), client=True)
        connection.connection_made(_Transport())  # type: ignore[arg-type]
        connection.data_received(h2.settings() + h2.frame(h2.SETTINGS, h2.ACK))
        tasks, frames = [], []
        for _ in range(_STREAMS):
            name = noise.choice(list(METHODS))
            head = [
                (b":method", b"POST"),
                (b":scheme", b"http"),
                (b":path", f"/{SERVICE}/{name}".encode()),
                (b":authority", b"t"),
            ]
            try:
                stream = connection.open(head, end=True)
            except NoStream:
                break
            method = self._target.catalog.find(f"/{SERVICE}/{name}".encode())
            assert method is not None
            tasks.append(asyncio.create_task(self._read(stream, method, METHODS[name][1])))
            frames += answer(noise, name, stream.number)
        frames = muddled(noise, frames, noise.choice((0.0, 0.003, 0.02, 0.2)))
        self.counts["frames"] += len(frames)
        data = b"".join(h2.frame(*each) for each in frames)
        while data:
            at = noise.choice((1, 9, 100, 5000, 1 << 20))
            connection.data_received(data[:at])
            data = data[at:]
            await asyncio.sleep(0)
        for _ in range(20):  # what came is read before the end is told
            await asyncio.sleep(0)
        connection.connection_lost(None)
        sweeper.close()
        try:
            async with asyncio.timeout(_HANGS_S):
                await asyncio.gather(*tasks)
        except TimeoutError:
            self.trouble.append("an answer that never ends")

    async def _read(self, stream: Stream, method: Method, kind: str) -> None:
        """The way of an answer: exchange.send, the mask, exchange.deliver."""
        lease, masker = Lease(), self._maskers(method.function.full_name)
        out: list[bytes] = []
        try:
            await stream.answer()
            answer = Answer(stream, method, self._target, lease, strict=self._strict, accepts=b"")
            if method.streams[1]:
                masked = Streamed(masker, streamed(answer, refusal), lease)
                assert masked.reply.stream is not None
                async for lines in masked.reply.stream:
                    out.append(await put_together(answer, lines))
            else:
                reply = masker.mask_reply(await whole(answer), lease).reply
                out.append(await put_together(answer, (reply.body or b"") + b"\n") if reply.body else b"")
            answer.ending()
            self.counts["complete"] += 1
        except (Refused, Gone) as refused:
            self.counts["refused" if isinstance(refused, Refused) else "gone"] += 1
        except Exception as error:
            self.trouble.append(f"{type(error).__name__}: {error}")
        finally:
            stream.close()
        self._look(b"".join(out), kind)

    def _look(self, data: bytes, kind: str) -> None:
        """What the caller would get, with eyes that are not the gateway's."""
        if CANARY.encode() in data:
            self.trouble.append("a hidden value came out")
        while data:
            flag, size = struct.unpack_from("!BI", data)
            one, data = data[5 : 5 + size], data[5 + size :]
            if flag or len(one) != size:
                self.trouble.append("a frame that is none")
                return
            try:
                parsed = type(new(kind)).FromString(one)
            except DecodeError:
                self.trouble.append("a message that is none")
                return
            self.counts["delivered"] += 1
            if self._strict and parsed.ByteSize() != len(one):
                self.trouble.append("a message that is not in its one spelling")


def deceived(seed: int, frames: int, hide: bool = True) -> tuple[Counter[str], list[str], int, int]:
    """For a process of its own."""
    lied = Lied(seed, hide)
    early, late = asyncio.run(lied.run(frames))
    return lied.counts, lied.trouble[:20], early, late


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
