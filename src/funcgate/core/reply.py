"""What a target answered. Protocol-free: a status, name-value pairs, and a body that is whole or comes in pieces."""

from collections.abc import AsyncIterator
from enum import StrEnum

from msgspec import Struct


class Outcome(StrEnum):
    """How a call ended. `unknown` is written at the next start for calls that a crash left open."""

    COMPLETE = "complete"
    CUT = "cut"
    FAILED = "failed"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


class Reply(Struct, kw_only=True):
    """One answer.

    `media` is the bare media type in lower case (``application/json``), `charset` its parameter or "". `body` is the
    whole body, or None when it comes piece by piece from `stream`. The stream raises `Refused` when the target fails
    or lies about its length. `headers` keep their order and spelling, hop-by-hop fields already gone; `trailers` are
    filled by the time the stream has ended. `encoding` is the Content-Encoding still on the body, "" when none. `lines`:
    each piece of the stream is whole lines of JSON, each a text of its own, to be passed on as it comes.
    """

    status: int
    headers: list[tuple[bytes, bytes]]
    media: str = ""
    charset: str = ""
    encoding: str = ""
    body: bytes | None = None
    stream: AsyncIterator[bytes] | None = None
    trailers: list[tuple[bytes, bytes]] = []
    outcome: Outcome = Outcome.COMPLETE
    lines: bool = False

    def __repr__(self) -> str:
        return f"Reply({self.status} {self.media})"
