"""What is said of connections between the gateway's own process and a worker: at which address each came, how many are closed."""

from collections.abc import Mapping
from struct import Struct as Layout

from funcgate.app.listening import HTTP, POSTGRES

KINDS = (HTTP, POSTGRES)
_CLOSED = Layout(f"<{len(KINDS)}Q")


def write_closed(closed: Mapping[bytes, int]) -> bytes:
    """The payload of `link.Kind.CLOSED`: of all that came so far, by kind."""
    return _CLOSED.pack(*(closed[what] for what in KINDS))


def read_closed(payload: bytes) -> dict[bytes, int]:
    """Raises `struct.error`."""
    return dict(zip(KINDS, _CLOSED.unpack(payload), strict=True))
