"""What a caller is told of bytes that are no request, or too many. It names nothing that came."""

from funcgate.core.refusal import Code, Refused
from funcgate.wire.http1.limits import Malformed


def broken(malformed: Malformed) -> Refused:
    code = {408: Code.REQUEST_TIMEOUT, 414: Code.REQUEST_TOO_LARGE, 431: Code.REQUEST_TOO_LARGE}
    return Refused(
        code.get(malformed.status, Code.REQUEST_INVALID), malformed.reason.capitalize() + ".", status=malformed.status
    )


def too_large() -> Refused:
    return Refused(Code.REQUEST_TOO_LARGE, "The body is larger than this function takes.")
