"""A request's fields as the `Request` that HTTP/1.1 gives, by the same rules: what is judged does not depend on the version."""

from funcgate.wire.http1.fields import NEVER_FORWARDED, ONCE, ROLES, SINGLE, WITHHELD
from funcgate.wire.http1.limits import HeadLimits, Malformed
from funcgate.wire.http1.requests import Request

from .events import Fields


def request_of(fields: Fields, limits: HeadLimits) -> Request:
    """From fields that `Link` has passed. Raises `Malformed`."""
    request = Request(b"", b"")
    known, crossing = request.known, request.fields
    underscored: list[bytes] = []
    role_of = ROLES.get
    for field in fields:
        name, value = field
        role = role_of(name)
        if role is None:
            if name[0] == 0x3A:  # a colon
                _take_pseudo(request, name, value)
                continue
            if b"_" in name:
                underscored.append(name)
            crossing.append(field)
            continue
        if name not in known:
            known[name] = value
        elif name == b"host":  # the same as :authority, or Link would have refused it
            continue
        elif role & ONCE:
            raise Malformed("a header field that may come once came twice")
        else:
            known[name] += (b"; " if name == b"cookie" else b", ") + value  # RFC 9113, 8.2.3
        if not role & WITHHELD:
            crossing.append((name, value))
    if len(request.method) + len(request.target) > limits.max_line:
        raise Malformed("the request target is too long", 414)
    if underscored:
        _check_underscores(underscored, {name for name, _ in fields})
    return request


def _take_pseudo(request: Request, name: bytes, value: bytes) -> None:
    if name == b":method":
        request.method = value
    elif name == b":path":
        request.target = value
    elif name == b":authority":
        request.known[b"host"] = value


def _check_underscores(underscored: list[bytes], names: set[bytes]) -> None:
    # Attack: CGI, WSGI and PHP read X_User and X-User as one variable, so one may shadow the other.
    for name in underscored:
        dashed = name.replace(b"_", b"-")
        if dashed in NEVER_FORWARDED or dashed in SINGLE or dashed in names:
            raise Malformed("two header fields would be read as one")
