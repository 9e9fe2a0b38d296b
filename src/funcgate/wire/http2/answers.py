"""Heads of answers as fields (RFC 9113, 8.3.2), and refusals as RFC 9457 problem details."""

from collections.abc import Iterable

from funcgate.core.refusal import Refused
from funcgate.wire.http1.writing import CHALLENGES, problem_body

from .events import Fields
from .fields import CONNECTION_FIELDS

_STATUSES = {status: (b":status", b"%d" % status) for status in range(100, 600)}
CONTINUE: Fields = [_STATUSES[100]]


def head(status: int, fields: Iterable[tuple[bytes, bytes]], call_id: str, spent_ms: float) -> Fields:
    """A head: what came from the target without what is for one connection only, and what every reply carries."""
    made = [_STATUSES[status]]
    for name, value in fields:
        lower = name.lower()
        if lower not in CONNECTION_FIELDS:
            made.append((lower, value))
    made += _own_fields(call_id, spent_ms)
    return made


def trailers(fields: Iterable[tuple[bytes, bytes]]) -> Fields:
    return [(name.lower(), value) for name, value in fields if name.lower() not in CONNECTION_FIELDS]


def refusal(refused: Refused, call_id: str, spent_ms: float, approval_url: str) -> tuple[Fields, bytes]:
    """Head and body of an answer that says no; the same as HTTP/1.1 gives."""
    body = problem_body(refused, call_id, approval_url)
    kind = b"application/problem+json" if refused.status >= 400 else b"application/json"
    fields = [
        _STATUSES[refused.status],
        (b"content-type", kind),
        (b"cache-control", b"no-store"),
        (b"content-length", b"%d" % len(body)),
        *_own_fields(call_id, spent_ms),
    ]
    if refused.status == 401 and refused.code in CHALLENGES:
        fields.append((b"www-authenticate", CHALLENGES[refused.code]))
    if refused.retry_after_s:
        fields.append((b"retry-after", b"%d" % refused.retry_after_s))
    if refused.status == 202:  # only ever when it was asked for
        fields.append((b"preference-applied", b"respond-async"))
        if approval_url:
            fields.append((b"location", approval_url.encode("ascii", "ignore")))
    return fields, body


def _own_fields(call_id: str, spent_ms: float) -> Fields:
    return [(b"funcgate-call-id", call_id.encode()), (b"server-timing", b"funcgate;dur=%.3f" % spent_ms)]
