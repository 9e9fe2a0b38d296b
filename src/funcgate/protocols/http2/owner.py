"""What a connection tells whoever has it: the caller's side serves the streams, the target's side opens them."""

from typing import TYPE_CHECKING, Protocol

from .stream import Stream

if TYPE_CHECKING:
    from .link import Http2Connection


class Owner(Protocol):
    """Who has the connection. None of these may raise, or wait."""

    @property
    def alone(self) -> bool:
        """Whether nothing but the stream that asks is under way, on any connection (server role)."""
        ...

    def opened(self, stream: Stream) -> None:
        """The peer began a stream (server role). Its head is there, or `malformed` says why it is not to be served."""
        ...

    def settled(self, connection: "Http2Connection") -> None:
        """The peer's first SETTINGS came: it does speak HTTP/2."""
        ...

    def freed(self, connection: "Http2Connection") -> None:
        """The peer takes more streams, or none: `free` changed; also with the end of a stream (client role)."""
        ...

    def lost(self, connection: "Http2Connection", why: str) -> None:
        """The connection is over. Called once. `why` says what the peer did wrong, or ""."""
        ...
