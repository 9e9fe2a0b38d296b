"""The head that goes to a target: the caller's metadata, the target's credential, the time that is left."""

from functools import lru_cache

from funcgate.wire.grpc import CODINGS, write_timeout

from .opening import Opening
from .target import GrpcTarget, Injection

Fields = list[tuple[bytes, bytes]]


_POST = (b":method", b"POST")
_GRPC = ((b"te", b"trailers"), (b"content-type", b"application/grpc"))


@lru_cache(maxsize=64)
def _accepting(accepts: bytes) -> tuple[bytes, bytes]:
    codings = [coding.encode() for coding in CODINGS if accepts and coding.encode() in accepts]
    return b"grpc-accept-encoding", b",".join([b"identity", *codings])


def outbound(
    opening: Opening, target: GrpcTarget, injected: Injection, *, call_id: str, traceparent: bytes, left_s: float
) -> Fields:
    """`left_s` is how long the call may still take; the target is told."""
    fields = opening.fields
    if target.forward:
        known = opening.known
        # Attack: configured forwarding of authorization must not hand the caller's funcgate token to the target.
        withheld = {b"authorization"} if b"funcgate-token" not in known else set()
        fields = fields + [(name, known[name]) for name in target.forward - withheld if name in known]
    if injected.names:
        # Attack: send the credential's own field, in this spelling or with underscores.
        fields = [field for field in fields if field[0].replace(b"_", b"-") not in injected.names]
    found = [
        _POST,
        target.scheme_field,
        (b":path", opening.path),
        target.authority_field,
        *_GRPC,
        _accepting(opening.accepts),
        (b"grpc-timeout", write_timeout(left_s)),
        (b"funcgate-call-id", call_id.encode()),
    ]
    if traceparent:
        found.append((b"traceparent", traceparent))
    return [*found, *fields, *injected.fields]
