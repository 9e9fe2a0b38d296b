"""What the process that keeps the journal tells one that writes into it from afar: MessagePack, small."""

import msgspec
from msgspec import Struct


class No(Struct, frozen=True, array_like=True):
    """A group of a parcel that was refused: its place, and the refusal's code and private detail."""

    group: int
    code: str
    detail: str


class Written(Struct, frozen=True, array_like=True):
    """All of a parcel is on the disk, or kept for it, but for what was refused."""

    parcel: int
    refused: tuple[No, ...] = ()


class Told(Struct, frozen=True, array_like=True):
    """The state that the journal is in. `mark` is what the names of the worker's calls have to have in their middle."""

    state: str
    reason: str
    mark: str


encode = msgspec.msgpack.Encoder().encode
written_of = msgspec.msgpack.Decoder(tuple[Written, ...]).decode
told_of = msgspec.msgpack.Decoder(Told).decode
