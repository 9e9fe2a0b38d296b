"""How a caller's RPC begins: its head, read once. It refuses what two readers could read in two ways."""

from functools import lru_cache
from time import perf_counter

from msgspec import Struct

from funcgate.core.principal import RawToken, Tokens
from funcgate.core.refusal import Code, Refused
from funcgate.protocols.calling import token_of
from funcgate.wire.grpc import CODINGS, Malformed, WebKind, check, read_timeout
from funcgate.wire.grpc.sorting import TWICE, UNDERSCORED, roles_of, sort_head
from funcgate.wire.http1.fields import NEVER_FORWARDED, SINGLE

Fields = list[tuple[bytes, bytes]]

_ONCE = SINGLE | {b"grpc-timeout", b"grpc-encoding", b"funcgate-target", b"te"}
# What frames the call on this side; the gateway writes its own to the target.
_OF_THIS_SIDE = frozenset({b"accept", b"content-type", b"content-encoding", b"origin", b"referer", b"x-grpc-web"})
_WITHHELD = NEVER_FORWARDED | _OF_THIS_SIDE
_ROLES = roles_of(_ONCE, _WITHHELD)
_TYPES = (b"application/grpc", b"application/grpc+proto")
_OF_THE_PROTOCOL = (b"grpc-", b"funcgate-")
_MOST_KEPT, _LONGEST_KEPT = 512, 256
_OF_NOBODY = frozenset({b"user-agent", b"grpc-accept-encoding", b"accept-encoding", b"te"})
_good: set[tuple[bytes, bytes]] = set()


class Opening(Struct):
    """`fields` are those that may cross; `known` all of them, by name. `timeout_s` is 0 when the caller set no deadline.
    `coding` is that of the caller's messages, `accepts` those that it reads. `began` is on `perf_counter`'s clock."""

    path: bytes
    authority: bytes
    known: dict[bytes, bytes]
    fields: Fields
    web: WebKind | None
    tokens: Tokens
    began: float
    timeout_s: float = 0.0
    coding: str = ""
    accepts: bytes = b""
    wrong: Refused | None = None

    @property
    def token(self) -> RawToken | None:
        """See `core.ports.Exchange`."""
        if self.wrong is not None:
            raise self.wrong
        return token_of(self.known, self.tokens)


def read_opening(fields: Fields, tokens: Tokens) -> Opening:
    """Never raises: what is wrong is said when the call is identified, so that it is recorded."""
    known: dict[bytes, bytes] = {}
    crossing: Fields = []
    wrong: Refused | None = None
    odd = sort_head(fields, known, crossing, _ROLES)
    if odd & TWICE:
        # Attack: send a field twice, so that two readers believe different ones.
        wrong = Refused(Code.REQUEST_INVALID, "A field that may come once came twice.")
    # Attack: CGI, WSGI and PHP read x_user and x-user as one variable, so one may shadow the other.
    if odd & UNDERSCORED and any(_passes_for(name.replace(b"_", b"-"), known) for name, _ in crossing if b"_" in name):
        wrong = Refused(Code.REQUEST_INVALID, "Two fields would be read as one.")
    opening = Opening(
        path=known.get(b":path", b""), authority=known.get(b":authority") or known.get(b"host", b""), known=known,
        fields=crossing, web=None, tokens=tokens, began=perf_counter(), wrong=wrong,
    )  # fmt: skip
    try:
        _read_rest(opening)
    except Malformed as malformed:
        opening.wrong = Refused(Code.REQUEST_INVALID, f"{str(malformed).capitalize()}.")
    except Refused as refused:
        opening.wrong = refused
    return opening


def _passes_for(dashed: bytes, known: dict[bytes, bytes]) -> bool:
    return dashed in _WITHHELD or dashed in known or dashed.startswith(_OF_THE_PROTOCOL)


def _read_rest(opening: Opening) -> None:
    known = opening.known
    if known.get(b":method") != b"POST":
        raise Refused(Code.REQUEST_INVALID, "gRPC is POST.", status=405)
    opening.web, protobuf = _kind(known.get(b"content-type", b""))
    if not protobuf:
        raise Refused(Code.REQUEST_INVALID, "Messages are read as protobuf only.", status=415)
    for field in opening.fields:
        if field not in _good:
            _check(field)
    timeout = known.get(b"grpc-timeout")
    if timeout is not None:
        opening.timeout_s = max(read_timeout(timeout), 1e-6)
    coding = known.get(b"grpc-encoding", b"identity").decode("latin-1")
    if coding != "identity":
        if coding not in CODINGS:
            raise Refused(Code.REQUEST_INVALID, "Messages in this coding cannot be read.", status=501)
        opening.coding = coding
    opening.accepts = known.get(b"grpc-accept-encoding", b"")


@lru_cache(maxsize=64)
def _kind(content_type: bytes) -> tuple[WebKind | None, bool]:
    """Which gRPC-Web it is, if it is; and whether its messages are protobuf."""
    web = WebKind.of(content_type)
    if web is not None:
        return web, web.subtype in (b"", b"+proto")
    return None, content_type.partition(b";")[0].strip().lower() in _TYPES


def _check(field: tuple[bytes, bytes]) -> None:
    """Raises `Malformed`. Clients send the same fields with every call: a few that were good are remembered."""
    check((field,))
    # Attack: a key of the caller's in metadata of its own, which would be kept when its connection is long gone.
    if field[0] in _OF_NOBODY and len(field[1]) <= _LONGEST_KEPT:
        if len(_good) >= _MOST_KEPT:
            _good.clear()
        _good.add(field)
