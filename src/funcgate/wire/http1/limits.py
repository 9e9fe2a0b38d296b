"""How much of a message a reader takes before it refuses."""

from msgspec import Struct


class HeadLimits(Struct, frozen=True, kw_only=True):
    """Limits of a message's head and trailers: sizes in bytes, `max_fields` a count."""

    max_line: int = 8 << 10
    max_fields: int = 100
    max_bytes: int = 32 << 10


class Malformed(Exception):
    """The bytes are no message that may be read further: answer `status` and close. `reason` holds no content."""

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
