"""Callers that send mutated gRPC over real sockets, many frames in one write, and tell what became of them; and the same from a
target, without sockets. What is sent is sound in itself, then changed: bits, lengths, flags, streams, order.
"""

import gzip
import random
import socket
import struct
import threading
import time
from collections import Counter

from support import h2frames as h2
from support.ledger import METHODS, SERVICE, new

BURST = 100  # frames in one write
_HANGS_S = 60.0
_QUIET_S = 0.4  # then nothing more comes of what was asked
_SHARES = (0.0, 0.003, 0.02, 0.2)  # of the frames of one connection, that are changed
_TEXTS = ("", "hello", "x" * 300, "ü" * 40, "rude", "plain text", "a\0b", "\U0001f600")
_NUMBERS = (0, 1, -1, 7, 1 << 31, (1 << 63) - 1, -(1 << 63))
_FIELDS = {
    "TransferRequest": ("account", "amount", "note"), "LookupRequest": ("name",), "Event": ("number", "text"),
    "HistoryRequest": ("count",),
}  # fmt: skip
Frame = tuple[int, int, int, bytes]  # kind, flags, stream, payload


def message(noise: random.Random, kind: str) -> bytes:
    """One message, perhaps none any more."""
    given = {}
    for name in _FIELDS[kind]:
        if noise.random() < 0.7:
            number = noise.randrange(4) if name in ("count", "number") else noise.choice(_NUMBERS)
            given[name] = number if name in ("amount", "count", "number") else noise.choice(_TEXTS)
    data = bytes(new(kind, **given).SerializeToString())
    what = noise.random()
    if what < 0.10:
        data += data  # each field twice
    elif what < 0.20:
        data += noise.choice(
            (b"\xa2\x06\x03abc", b"\x0b\x0c", b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", b"\x12\xff\x01a", b"\0")
        )
    return changed(noise, data) if noise.random() < 0.25 else data


def framed(noise: random.Random, data: bytes) -> bytes:
    """The message behind its flag and its length; these are sometimes lies."""
    what, flag, length = noise.random(), 0, len(data)
    if what < 0.05:
        flag = noise.choice((1, 2, 128, 255))
    elif what < 0.12:
        data, flag = gzip.compress(data), 1
        length = len(data)
    elif what < 0.17:
        length = noise.choice((0, max(0, length - 1), length + 1, 1 << 20, (1 << 32) - 1))
    return struct.pack("!BI", flag, length) + data


def changed(noise: random.Random, data: bytes) -> bytes:
    """Some bytes of it are others, gone, or there twice."""
    found = bytearray(data)
    for _ in range(noise.choice((1, 1, 2, 5))):
        at = noise.randrange(len(found) + 1)
        what = noise.randrange(4)
        if what == 0 and found:
            found[at % len(found)] ^= 1 << noise.randrange(8)
        elif what == 1:
            del found[at : at + noise.randrange(1, 5)]
        elif what == 2:
            found[at:at] = bytes(noise.randrange(256) for _ in range(noise.randrange(1, 5)))
        else:
            found[at:at] = found[at : at + noise.randrange(1, 9)]
    return bytes(found)


def muddled(noise: random.Random, frames: list[Frame], share: float) -> list[Frame]:
    """Of all frames that share is changed in itself, in its place, or sent twice."""
    out: list[Frame] = []
    for kind, flags, stream, payload in frames:
        if noise.random() >= share:
            out.append((kind, flags, stream, payload))
            continue
        what = noise.randrange(8)
        if what == 0:
            out.append((kind, flags, stream, changed(noise, payload)))
        elif what == 1:
            out.append((kind, flags ^ 1 << noise.randrange(8), stream, payload))
        elif what == 2:
            out.append((kind, flags, noise.choice((0, 1, 2, stream + 2, stream - 2, 1 << 30)) & 0x7FFFFFFF, payload))
        elif what == 3:
            out.append((noise.randrange(12), flags, stream, payload))
        elif what == 4:
            out += [(kind, flags, stream, payload)] * 2
        elif what == 5 and out:
            out.insert(noise.randrange(len(out)), (kind, flags, stream, payload))
        elif what == 6 and payload:
            at = noise.randrange(len(payload))
            out += [(kind, flags & ~1, stream, payload[:at]), (kind, flags, stream, payload[at:])]
    return out


def between(noise: random.Random, stream: int) -> list[Frame]:
    """Frames that may come at any time."""
    if noise.random() >= 0.08:
        return []
    wrong = noise.random() < 0.03
    number = struct.pack("!I", 0 if wrong else noise.choice((1, 7, 4096)))
    setting = struct.pack(
        "!HI", noise.randrange(1, 8) if wrong else 4, noise.choice((0, 1, 1 << 31)) if wrong else 65535
    )
    found: list[Frame] = [
        (h2.PING, 0, 0, noise.randbytes(8)), (h2.WINDOW_UPDATE, 0, noise.choice((0, stream)), number),
        (h2.RST_STREAM, 0, stream, number), (h2.PRIORITY, 0, stream, noise.randbytes(5) if wrong else bytes(5)),
        (h2.SETTINGS, 0, 0, setting), (20, 0, stream, b"new"),
    ]  # fmt: skip
    return [noise.choice(found)]


def calls(noise: random.Random, token: str) -> list[Frame]:
    """The frames of some RPCs of a caller, one after the other."""
    found: list[Frame] = []
    stream = 1
    while len(found) < BURST:
        name = noise.choice([*METHODS, "Chat", "Chat", "Transfer"])
        kind, _, many, _ = METHODS[name]
        fields = [
            (b":method", b"POST"), (b":scheme", b"http"), (b":path", f"/{SERVICE}/{name}".encode()), (b":authority", b"gate"),
            (b"content-type", b"application/grpc"), (b"te", b"trailers"), (b"authorization", f"Bearer {token}".encode()),
            (b"funcgate-target", b"ledger"),
        ]  # fmt: skip
        if noise.random() < 0.15:
            fields.append(noise.choice([
                (b"grpc-encoding", b"gzip"), (b"grpc-timeout", b"1S"), (b"grpc-timeout", b"x"), (b"x-note-bin", b"AAA"),
                (b"te", b"trailers"), (b"authorization", b"Bearer x"), (b"X-Upper", b"1"), (b"grpc-encoding", b"br"),
            ]))  # fmt: skip
        found.append((h2.HEADERS, h2.END_HEADERS, stream, h2.block(fields)))
        body = b"".join(framed(noise, message(noise, kind)) for _ in range(noise.choice((0, 1, 3, 6)) if many else 1))
        cuts = sorted(noise.randrange(len(body) + 1) for _ in range(noise.choice((0, 0, 1, 4))))
        pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
        for piece in pieces:
            found += [*between(noise, stream), (h2.DATA, 0, stream, piece)]
        found.append((h2.DATA, h2.END_STREAM, stream, b""))
        stream += 2
    return found


def assault(port: int, token: str, seed: int, each: int, callers: int) -> tuple[Counter[str], list[str]]:
    """So many frames from each of some callers. What became of the connections, and what is wrong."""
    counts: Counter[str] = Counter()
    trouble: list[str] = []
    lock = threading.Lock()

    def one(number: int) -> None:
        noise = random.Random(f"{seed}-{number}")
        sent = 0  # frames
        while sent < each:
            frames = muddled(noise, calls(noise, token), noise.choice(_SHARES))
            what = _said(port, frames, noise)
            sent += len(frames)
            with lock:
                counts["frames"] += len(frames)
                counts[what] += 1
                if what == "hangs":
                    trouble.append(f"{seed}-{number} after {sent}: no answer")

    threads = [threading.Thread(target=one, args=(number,)) for number in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return counts, trouble


def _said(port: int, frames: list[Frame], noise: random.Random) -> str:
    """Send them, then ask for a sign of life: what became of the connection."""
    mark = noise.randbytes(8)
    data = h2.OPENING + b"".join(h2.frame(*each) for each in frames) + h2.frame(h2.PING, 0, 0, mark)
    end, seen, answered = time.monotonic() + _HANGS_S, b"", False
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=_HANGS_S) as raw:
            sender = threading.Thread(target=_send, args=(raw, data))
            sender.start()
            try:
                while time.monotonic() < end:
                    raw.settimeout(_QUIET_S if answered else max(0.1, end - time.monotonic()))
                    piece = raw.recv(1 << 16)
                    if not piece:
                        return "ended"
                    seen = seen[-32:] + piece
                    answered = answered or h2.frame(h2.PING, h2.ACK, 0, mark) in seen
            finally:
                raw.close()
                sender.join()
    except ConnectionError:
        return "reset"
    except TimeoutError:
        pass
    return "answered" if answered else "hangs"


def _send(raw: socket.socket, data: bytes) -> None:
    try:
        raw.sendall(data)
    except OSError:
        return
