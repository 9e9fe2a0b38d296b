"""Which fields make a message, and which make it malformed (RFC 9113, 8.2 and 8.3). As strict as the HTTP/1.1 side.

What passes can be written as HTTP/1.1 without meaning anything else there.
"""

from .compiled import unpacking
from .events import Fields

_NAME = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"  # RFC 9110, 5.6.2, without upper case
_VALUE = b"\t" + bytes(range(0x20, 0x7F)) + bytes(range(0x80, 0x100))
_PSEUDO = frozenset({b":method", b":scheme", b":path", b":authority"})
_SCHEMES = frozenset({b"http", b"https"})

# RFC 9113, 8.2.2. Attack: fields that steer the connection of the next hop, which speaks HTTP/1.1.
CONNECTION_FIELDS = frozenset(
    {b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade", b"http2-settings"}
)


class Wrong(Exception):
    """The fields are malformed. `status` is for the server's answer."""

    def __init__(self, why: str, status: int = 400) -> None:
        super().__init__(why)
        self.why = why
        self.status = status


def check_request(fields: Fields) -> int:
    """The declared Content-Length, -1 for none. Raises `Wrong`."""
    pseudo: dict[bytes, bytes] = {}
    for name, value in fields:
        if name[:1] != b":":
            break
        if name not in _PSEUDO or name in pseudo:
            raise Wrong("a pseudo-field that is unknown or twice")
        pseudo[name] = value
    length = _check_fields(fields, len(pseudo))
    method = pseudo.get(b":method", b"")
    if method == b"CONNECT":
        raise Wrong("CONNECT is not offered here", 501)
    path = pseudo.get(b":path", b"")
    if not method or method.lower().translate(None, _NAME) or pseudo.get(b":scheme") not in _SCHEMES:
        raise Wrong("the method or the scheme is missing or unknown")
    # Attack: a path with a space or a fragment in it is another request line once it is written as HTTP/1.1.
    if path[:1] != b"/" and not (path == b"*" and method == b"OPTIONS"):
        raise Wrong("the path is missing or no path")
    if b" " in path or b"\t" in path or not path.isascii():
        raise Wrong("the path is no path")
    _check_host(fields, pseudo.get(b":authority"))
    return length


def check_response(fields: Fields) -> tuple[int, int]:
    """The status, and the declared Content-Length or -1. Raises `Wrong`."""
    if not fields or fields[0][0] != b":status":
        raise Wrong("the status is missing")
    length = _check_fields(fields, 1)
    status = fields[0][1]
    if len(status) != 3 or not status.isdigit() or not b"100" <= status <= b"599" or status == b"101":
        raise Wrong("the status is none")
    return int(status), length


def check_trailers(fields: Fields) -> None:
    """Raises `Wrong`."""
    _check_fields(fields, 0)


def _check_fields(fields: Fields, pseudo: int) -> int:
    """Every name and value at once; then those with rules of their own. `pseudo` fields come first."""
    length = -1
    # Attack: a line end or a NUL in a value becomes a second field, or a second request, in HTTP/1.1.
    values = b"\n".join([value for _, value in fields])
    if values.translate(None, _VALUE) != b"\n" * (len(fields) - 1):
        raise Wrong("a character that no field value may have")
    if b" \n" in values or b"\n " in values or b"\t\n" in values or b"\n\t" in values or values.strip(b" \t") != values:
        raise Wrong("a field value with a space at its end")
    names = [name for name, _ in fields]
    if pseudo:
        del names[:pseudo]
    joined = b"\n".join(names)
    if joined.translate(None, _NAME).strip(b"\n") or joined.count(b"\n") != max(0, len(names) - 1) or b"" in names:
        raise Wrong("a character that no field name may have, or a pseudo-field in the wrong place")
    found = RULED.intersection(names)
    if not found:
        return length
    for name, value in fields[pseudo:]:
        if name not in found:
            continue
        if name in CONNECTION_FIELDS or (name == b"te" and value.lower() != b"trailers"):
            raise Wrong("a field that is for one connection only")
        if name == b"content-length":
            # Attack: two lengths, or one that another reader reads differently.
            if length >= 0 or not value.isdigit() or len(value) > 18:
                raise Wrong("the length is none, or twice")
            length = int(value)
    return length


RULED = CONNECTION_FIELDS | {b"te", b"content-length"}


def _check_host(fields: Fields, authority: bytes | None) -> None:
    # Attack: two names for the place; one is judged and the other believed (RFC 9113, 8.3.1).
    hosts = [value for name, value in fields if name == b"host"]
    if len(hosts) > 1 or (hosts and authority is not None and hosts[0] != authority):
        raise Wrong("the host is named twice")
    named = authority if authority is not None else (hosts[0] if hosts else b"")
    if not named or b"@" in named:
        raise Wrong("the host is missing, or has a user in it")


if unpacking is not None:
    unpacking.allow(_NAME, _VALUE)
