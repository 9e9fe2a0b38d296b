"""Which pages may call gRPC-Web from a browser (the Fetch standard, 3.2): preflights, and the fields on answers and refusals.

It lets nobody in: tokens do that. It knows no credentials of the browser's own, and no wildcard.
"""

import re
from collections.abc import Sequence

from msgspec import Struct

Fields = list[tuple[bytes, bytes]]

_METHOD = re.compile(rb"/[A-Za-z_][A-Za-z0-9_.]*/[A-Za-z_][A-Za-z0-9_]*")
_OWN = b"access-control-"
_ASKED = (
    "content-type", "x-grpc-web", "x-user-agent", "grpc-timeout", "authorization", "funcgate-token", "funcgate-target",
    "funcgate-session", "funcgate-reason", "funcgate-approval", "prefer", "traceparent",
)  # fmt: skip
_SHOWN = ("grpc-status", "grpc-message", "grpc-status-details-bin", "funcgate-call-id", "server-timing")


class Cors(Struct, frozen=True):
    """`asked` are the fields that pages may send, `shown` those that they may read, beside the usual ones."""

    origins: frozenset[bytes]
    asked: bytes
    shown: bytes
    max_age_s: int

    @classmethod
    def of(cls, origins: Sequence[str], asked: Sequence[str], shown: Sequence[str], max_age_s: int) -> "Cors":
        given, told = ", ".join([*_ASKED, *asked]), ", ".join([*_SHOWN, *shown])
        return cls(frozenset(origin.encode() for origin in origins), given.encode(), told.encode(), max_age_s)

    def preflight(self, fields: Fields) -> Fields | None:
        """The answer to a preflight of gRPC-Web from a page that may ask; None for any other request."""
        if (b":method", b"OPTIONS") not in fields:
            return None
        known = dict(fields)
        origin = known.get(b"origin", b"")
        wanted = known.get(b"access-control-request-headers", b"").lower().replace(b" ", b"").split(b",")
        ours = b"x-grpc-web" in wanted or b"content-type" in wanted
        posts = known.get(b"access-control-request-method") == b"POST"
        if not (posts and ours and _METHOD.fullmatch(known.get(b":path", b"")) and self._may(origin, fields)):
            return None
        return [
            (b":status", b"200"),
            (b"content-length", b"0"),
            (b"access-control-allow-origin", origin),
            (b"access-control-allow-methods", b"POST"),
            (b"access-control-allow-headers", self.asked),
            (b"access-control-max-age", b"%d" % self.max_age_s),
            (b"vary", b"origin, access-control-request-method, access-control-request-headers"),
        ]

    def beside(self, origin: bytes) -> Fields:
        """What goes with an answer, or a refusal, to a page of this origin."""
        if origin not in self.origins:
            return [(b"vary", b"origin")]
        allowed = [(b"access-control-allow-origin", origin), (b"access-control-expose-headers", self.shown)]
        return [*allowed, (b"vary", b"origin")]

    def _may(self, origin: bytes, fields: Fields) -> bool:
        # Attack: two origins in one request, one for each of two readers.
        return origin in self.origins and sum(name == b"origin" for name, _ in fields) == 1


def without_cors(fields: Fields) -> Fields:
    """Attack: a target that lets every page read its answers. Who may is the gateway's to say."""
    return [field for field in fields if not field[0].startswith(_OWN)]
