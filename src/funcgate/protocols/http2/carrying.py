"""What a stream asks of the connection that carries it, and of the connection's state machine."""

from typing import TYPE_CHECKING, Protocol

from funcgate.wire.http2.events import Fields

if TYPE_CHECKING:
    from .incoming import Incoming
    from .stream import Stream


class Wire(Protocol):
    """What a stream asks of the connection's state machine (wire/http2/link.py)."""

    def head(self, stream: int, fields: Fields, end: bool, secret: frozenset[bytes] = ...) -> None: ...

    def trailers(self, stream: int, fields: Fields) -> None: ...

    def whole(self, stream: int, head: Fields, data: bytes, trailers: Fields) -> bool: ...

    def room(self, stream: int) -> int: ...

    def data(self, stream: int, data: bytes, end: bool) -> None: ...

    def consumed(self, stream: int, n: int) -> bool: ...

    def reset(self, stream: int, code: int) -> None: ...


class Carrier(Protocol):
    """What a stream asks of its connection (link.py)."""

    client: bool
    full: bool  # the transport has taken what it may; nothing is to be written
    flushing: bool  # at the end of this turn of the loop
    unsent: int
    used: int  # streams that were opened on it so far
    window: int  # bytes that a peer may send on one stream before something of it is read
    writers: set["Stream"]

    @property
    def alone(self) -> bool: ...  # nothing else is under way that could have something to write at the end of this turn

    def flush(self) -> None: ...

    def flush_soon(self) -> None: ...

    def forget(self, stream: "Incoming") -> None: ...
