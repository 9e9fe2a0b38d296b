"""What a connection's bytes meant: the vocabulary between `Link` and whoever serves its streams."""

from msgspec import Struct

Fields = list[tuple[bytes, bytes]]


class Head(Struct, gc=False):
    """A request's or an answer's head, 1xx too. `fields` begin with the pseudo-fields; names are in lower case and rules
    of RFC 9113, 8.2 and 8.3 kept. `never` are names that the peer wants never indexed (RFC 7541, 6.2.3)."""

    stream: int
    fields: Fields
    end: bool
    never: frozenset[bytes] = frozenset()


class Data(Struct, gc=False):
    """`counted` bytes of both windows are used until `Link.consumed` gives them back; padding counts."""

    stream: int
    data: bytes
    counted: int
    end: bool


class Trailers(Struct, gc=False):
    """The fields after the body; the peer's side of the stream is ended."""

    stream: int
    fields: Fields


class Malformed(Struct, gc=False):
    """A request that may be answered with `status`, but not served (RFC 9113, 8.1.1). Server side only.

    Its stream takes an answer; the reset that the RFC asks for follows the answer's end.
    """

    stream: int
    why: str
    status: int


class Reset(Struct, gc=False):
    """The stream is over: the peer reset it, or (`ours`) we did because of what the peer sent on it."""

    stream: int
    code: int
    ours: bool = False


class Roomier(Struct, gc=False):
    """More DATA may be sent on the stream; on every one, if 0."""

    stream: int


class Away(Struct, gc=False):
    """The peer takes no new streams; those above `last` were not processed."""

    last: int
    code: int


class Settled(Struct, gc=False):
    """The peer's SETTINGS are in force."""


class Pong(Struct, gc=False):
    """The answer to our PING."""


Event = Head | Data | Trailers | Malformed | Reset | Roomier | Away | Settled | Pong
