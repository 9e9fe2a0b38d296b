"""How a stream ends before its time: one exception, and the reasons that matter for what may be done next."""

from enum import StrEnum

from funcgate.wire.http2.codes import ErrorCode


class Why(StrEnum):
    """Why a stream is gone, as far as what may be done next depends on it."""

    RESET = "the peer reset the stream"
    UNPROCESSED = "the peer did nothing with the stream"  # RFC 9113, 8.7: it may be sent again
    UNREADABLE = "the peer sent what cannot be read"
    CLOSED = "the connection ended"
    ANSWERED = "the peer has answered, and takes no more"
    LATE = "a time was over"


class Gone(Exception):
    """The stream cannot be read, or written, any more. `code` is RFC 9113's, `late` names the time that was over."""

    def __init__(self, why: Why, code: int = ErrorCode.NO_ERROR, late: str = "") -> None:
        super().__init__(f"{why.value} (code {code})")
        self.why = why
        self.code = code
        self.late = late
