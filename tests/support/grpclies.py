"""What a lying target answers to one RPC, as frames: sound in themselves but for what it says. In every message there is a value
that is to be hidden."""

import random

from support import h2frames as h2
from support.grpcnoise import Frame, between, changed, framed
from support.ledger import METHODS, new

CANARY = "canary-31b5"
_FIELDS = {"TransferReply": ("id", "note"), "Event": ("text",), "Imported": ("text",), "Person": ()}
_HEADS = [
    (b"grpc-encoding", b"gzip"), (b"x-bin", b"%%"), (b"grpc-status", b"0"), (b"x-a", b"b"), (b"A", b""),
]  # fmt: skip
_TAILS = [
    (b"grpc-message", b"%zz"), (b"grpc-status", b"0"), (b"grpc-status-details-bin", b"CAUSAXg"), (b"x-bin", b"AAA"),
]  # fmt: skip


def answer(noise: random.Random, name: str, stream: int, *, echo: str = "") -> list[Frame]:
    """The frames of one answer. `echo` is what the target may say back where it should not: the credential it was given."""
    _, kind, _, many = METHODS[name]
    said = [(b"x-echo", echo.encode()), (b"grpc-message", f"not with {echo}".encode())] if echo else []
    head = [(b":status", noise.choice((b"200",) * 12 + (b"503", b"100"))), (b"content-type", b"application/grpc")]
    if noise.random() < 0.2:
        head.append(noise.choice([*_HEADS, *said]))
    found: list[Frame] = [(h2.HEADERS, h2.END_HEADERS, stream, h2.block(head))]
    for _ in range(noise.choice((0, 1, 3, 8)) if many else 1):
        text = f"it is {echo if echo and noise.random() < 0.2 else CANARY}"
        data = bytes(new(kind, **dict.fromkeys(_FIELDS[kind], text)).SerializeToString())
        if noise.random() < 0.2:
            data = changed(noise, data)
        body = framed(noise, data)
        at = noise.randrange(len(body) + 1)
        found += [(h2.DATA, 0, stream, body[:at]), *between(noise, stream), (h2.DATA, 0, stream, body[at:])]
    status = noise.choice((b"0",) * 8 + (b"5", b"16", b"99", b"x", b"-1"))
    tail = [(b"grpc-status", status)]
    if noise.random() < 0.2:
        tail.append(noise.choice([*_TAILS, *said]))
    found.append((h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, stream, h2.block(tail)))
    return found
