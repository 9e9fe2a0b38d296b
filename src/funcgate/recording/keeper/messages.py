"""What the gateway and the keeper say to each other: one JSON object a line, on the keeper's stdin and stdout.

Secrets are in `Begin` and `Reload` and nowhere else; no message is ever logged.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from funcgate.core.secret import Secret

from .settings import KeeperSettings

MAX_LINE_BYTES = 4 << 20


class Begin(Struct, frozen=True, kw_only=True, tag="begin"):
    """The first message. `durable` is the number of the last line that is on the disk. `lock_wait_s` is how long another
    keeper may take to go away."""

    settings: KeeperSettings
    durable: int
    lock_wait_s: float = 5.0


class Durable(Struct, frozen=True, tag="durable"):
    """Lines up to this number are on the disk."""

    seq: int


class Reload(Struct, frozen=True, kw_only=True, tag="reload"):
    settings: KeeperSettings


class Recorded(Struct, frozen=True, kw_only=True, tag="recorded"):
    """The answer to `Record`: durable, or `problem` says why not."""

    id: int
    problem: str = ""


class Stop(Struct, frozen=True, kw_only=True, tag="stop"):
    """The last message: take what is left up to `seq` and end, within `limit_s` seconds."""

    seq: int
    limit_s: float


class Status(Struct, frozen=True, kw_only=True, tag="status"):
    """How far a chore is. `trouble` says what goes wrong, "" if nothing does. `gone` when there is no such chore any more."""

    chore: str
    position: int = 0
    trouble: str = ""
    gone: bool = False


class Record(Struct, frozen=True, kw_only=True, tag="record"):
    """A chore asks for an `admin` entry, and waits until it is durable."""

    id: int
    chore: str
    change: Mapping[str, Any]


class Begun(Struct, frozen=True, tag="begun"):
    """The keeper has the folder to itself, and runs."""


class Refused(Struct, frozen=True, tag="refused"):
    """The keeper cannot begin; `text` is for the operator."""

    text: str


ToKeeper = Begin | Durable | Reload | Recorded | Stop
ToGateway = Begun | Status | Record | Refused


def _reveal(value: Any) -> str:
    if isinstance(value, Secret):
        return value.reveal()  # into the pipe, which nobody else holds
    raise NotImplementedError


def _hide(kind: type, value: Any) -> Any:
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise NotImplementedError


_ENCODER = msgspec.json.Encoder(enc_hook=_reveal)
_TO_KEEPER = msgspec.json.Decoder(ToKeeper, dec_hook=_hide)
_TO_GATEWAY = msgspec.json.Decoder(ToGateway)


def encode(message: ToKeeper | ToGateway) -> bytes:
    """One line."""
    return _ENCODER.encode(message) + b"\n"


def for_keeper(line: bytes) -> ToKeeper:
    """Raises `msgspec.MsgspecError`."""
    message: ToKeeper = _TO_KEEPER.decode(line)
    return message


def for_gateway(line: bytes) -> ToGateway:
    """Raises `msgspec.MsgspecError`."""
    message: ToGateway = _TO_GATEWAY.decode(line)
    return message
