"""A target that lies over real sockets, frame by frame, and callers with a client of their own who look at all they are told."""

import asyncio
import random
import threading
import time
from collections import Counter
from typing import Any

import grpc
import hpack
from google.protobuf.message import DecodeError

from support import h2frames as h2
from support.grpclies import CANARY, answer
from support.grpcnoise import Frame, muddled
from support.h2target import HELLO, _Threaded
from support.ledger import METHODS, SERVICE, new

_LISTENS_S = 0.1  # then a connection that says nothing more is broken off: what is open on it ends
_HANGS_S = 60.0
_GREETING = len(h2.PREFACE)


class LyingTarget(_Threaded):
    """Answers every RPC with the frames of a lie, mutated. `honest`: with those of the truth, of one method."""

    def __init__(self, seed: int, echo: str) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()
        self.honest = False
        self._echo = echo
        self._noise = random.Random(seed)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        noise, decoder, waiting = self._noise, hpack.Decoder(), b""
        decoder.max_allowed_table_size = 1 << 16
        share, most = noise.choice((0.0, 0.003, 0.02, 0.2)), noise.choice((1, 5, 20, 100))
        writer.write(HELLO)
        await reader.readexactly(_GREETING)
        answered = 0
        while answered < most or self.honest:
            try:
                async with asyncio.timeout(None if self.honest or not answered else _LISTENS_S):
                    came = await reader.read(1 << 16)
            except TimeoutError:
                break
            if not came:
                break
            waiting += came
            frames: list[Frame] = []
            for one in h2.frames(waiting):
                waiting = waiting[9 + len(one.payload) :]
                if one.kind == h2.HEADERS:
                    fields = dict(decoder.decode(one.payload))
                    frames += self._said(fields[":path"].rpartition("/")[2], one.stream)
                    answered += 1
            frames = frames if self.honest else muddled(noise, frames, share)
            self.counts["frames"] += len(frames)
            self._write(writer, b"".join(h2.frame(*each) for each in frames))
            await writer.drain()
        self.counts["broken off"] += 1
        await asyncio.sleep(0)
        writer.close()

    def _said(self, name: str, stream: int) -> list[Frame]:
        if not self.honest:
            self.counts["answers"] += 1
            return answer(self._noise, name, stream, echo=self._echo)
        head = [(b":status", b"200"), (b"content-type", b"application/grpc")]
        return [
            (h2.HEADERS, h2.END_HEADERS, stream, h2.block(head)), (h2.DATA, 0, stream, bytes(5)),
            (h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, stream, h2.block([(b"grpc-status", b"0")])),
        ]  # fmt: skip

    def _write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        """Cut anywhere."""
        while data:
            at = self._noise.choice((1, 9, 100, 5000, 1 << 20))
            writer.write(data[:at])
            data = data[at:]


def told(port: int, token: str, seed: int, calls: int, callers: int, echo: str) -> tuple[Counter[str], list[str]]:
    """So many calls, by some callers at a time: how they ended, and what is wrong. For a process of its own."""
    counts: Counter[str] = Counter()
    trouble: list[str] = []
    metadata = (("authorization", f"Bearer {token}"), ("funcgate-target", "ledger"))

    def one(number: int) -> None:
        noise = random.Random(f"{seed}-{number}")
        for _ in range(calls // callers):
            name = noise.choice(list(METHODS))
            began = time.monotonic()
            ended, said = _call(channel, name, metadata, noise)
            if time.monotonic() - began > _HANGS_S - 10:
                trouble.append(f"{name}: no answer")
            counts[ended] += 1
            for wrong in _wrong(name, said, echo):
                trouble.append(f"{name}: {wrong}")
            if ended != "OK" and not any(key == "funcgate-call-id" for key, _ in said[1]):
                trouble.append(f"{name}: {ended}, and not by the gateway: {said[1:]}"[:300])
            counts["messages"] += len(said[0])

    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        threads = [threading.Thread(target=one, args=(number,)) for number in range(callers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return counts, trouble[:20]


Said = tuple[list[bytes], list[tuple[str, str | bytes]], str]


def _call(channel: grpc.Channel, name: str, metadata: Any, noise: random.Random) -> tuple[str, Said]:
    """How it ended; the messages, the metadata before and behind them, the text of the failure."""
    takes, _, sends, gets = METHODS[name]
    make = getattr(channel, f"{'stream' if sends else 'unary'}_{'stream' if gets else 'unary'}")(f"/{SERVICE}/{name}")
    request = bytes(new(takes).SerializeToString())
    messages: list[bytes] = []
    call: Any = None
    try:
        requests = iter([request] * noise.choice((1, 1, 3))) if sends else request
        if gets:
            call = make(requests, metadata=metadata, timeout=_HANGS_S)
            messages.extend(call)
        else:
            call = make.future(requests, metadata=metadata, timeout=_HANGS_S)
            messages.append(call.result())
    except grpc.RpcError:
        pass
    around = [*(call.initial_metadata() or ()), *(call.trailing_metadata() or ())]
    return call.code().name, (messages, [(str(key), value) for key, value in around], call.details() or "")


def _wrong(name: str, said: Said, echo: str) -> list[str]:
    """With eyes that are not the gateway's."""
    messages, around, details = said
    everything = [*messages, details.encode("utf-8", "replace")]
    for key, value in around:
        everything += [key.encode(), value if isinstance(value, bytes) else value.encode("utf-8", "replace")]
    found = [f"{needle} came out" for needle in (CANARY, echo) if any(needle.encode() in one for one in everything)]
    for one in messages:
        try:
            if type(parsed := type(new(METHODS[name][1])).FromString(one)) and parsed.ByteSize() != len(one):
                found.append("a message that is not in its one spelling")
        except DecodeError:
            found.append("a message that is none")
    return found
