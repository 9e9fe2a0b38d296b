"""Writes messages as bytes: heads, chunks, and refusals as RFC 9457 problem details."""

from collections.abc import Iterable
from typing import Any

import msgspec

from funcgate.core.refusal import MEANINGS, Code, Refused
from funcgate.wire.compiled import native
from funcgate.wire.compiled import writing as _native

_REASONS = {
    200: "OK", 201: "Created", 202: "Accepted", 204: "No Content", 206: "Partial Content", 301: "Moved Permanently",
    302: "Found", 303: "See Other", 304: "Not Modified", 307: "Temporary Redirect", 308: "Permanent Redirect",
    400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    408: "Request Timeout", 409: "Conflict", 410: "Gone", 412: "Precondition Failed", 413: "Content Too Large",
    414: "URI Too Long", 415: "Unsupported Media Type", 417: "Expectation Failed", 422: "Unprocessable Content",
    429: "Too Many Requests", 431: "Request Header Fields Too Large", 500: "Internal Server Error",
    501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout",
    505: "HTTP Version Not Supported",
}  # fmt: skip

_STATUS_LINES = {status: f"HTTP/1.1 {status} {reason}\r\n".encode() for status, reason in _REASONS.items()}

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


def status_line(status: int) -> bytes:
    """The status line. The reason phrase is ours: a target's own could carry unmasked text."""
    return _STATUS_LINES.get(status) or f"HTTP/1.1 {status} \r\n".encode()


def fields_block(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Header lines, without the empty line that ends them."""
    return b"".join([b"%b: %b\r\n" % field for field in fields])


pure_fields_block = fields_block
if native is not None:
    fields_block = native.fields_block


def chunk(data: bytes) -> bytes:
    """One chunk of the chunked transfer coding (RFC 9112, 7.1). `data` must not be empty."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def last_chunk(trailers: list[tuple[bytes, bytes]]) -> bytes:
    return b"0\r\n" + fields_block(trailers) + b"\r\n" if trailers else LAST_CHUNK


def problem_body(refused: Refused, call_id: str, approval_url: str = "") -> bytes:
    """The body of a refusal: RFC 9457, 3.1, with members of its own (3.2). The same shape for every refusal; nothing in it
    comes from the configuration but who may approve."""
    title = MEANINGS[refused.code].title
    problem: dict[str, Any] = {
        "type": f"urn:funcgate:refusal:{refused.code.value}",
        "title": title,
        "status": refused.status,
        "code": refused.code.value,
        "call_id": call_id,
        "detail": refused.public_detail or f"{title}.",
    }
    if approval_url and refused.code is Code.APPROVAL_PENDING:
        problem["approval_url"] = approval_url
    return msgspec.json.encode({**problem, **refused.public})


# Values of WWW-Authenticate (RFC 6750, section 3).
CHALLENGES = {
    Code.IDENTITY_MISSING: b'Bearer realm="funcgate"',
    Code.IDENTITY_INVALID: b'Bearer realm="funcgate", error="invalid_token"',
    Code.IDENTITY_EXPIRED: b'Bearer realm="funcgate", error="invalid_token"',
    Code.IDENTITY_REVOKED: b'Bearer realm="funcgate", error="invalid_token"',
}


def refusal(
    refused: Refused, call_id: str, *, keep_alive: bool, head_only: bool, spent_s: float = 0.0, approval_url: str = ""
) -> bytes:
    """A whole answer that says no (RFC 9457; RFC 6750, section 3, for the challenge)."""
    body = problem_body(refused, call_id, approval_url)
    parts = [
        status_line(refused.status),
        b"Content-Type: application/%bjson\r\nCache-Control: no-store\r\nContent-Length: %d\r\n"
        % (b"problem+" if refused.status >= 400 else b"", len(body)),
        own_fields(call_id, spent_s),
    ]
    if refused.status == 401 and refused.code in CHALLENGES:
        parts.append(b"WWW-Authenticate: %b\r\n" % CHALLENGES[refused.code])
    if refused.retry_after_s:
        parts.append(b"Retry-After: %d\r\n" % refused.retry_after_s)
    if refused.status == 202:  # only ever when it was asked for
        parts.append(b"Preference-Applied: respond-async\r\n")
        if approval_url:
            parts.append(b"Location: %b\r\n" % approval_url.encode("ascii", "ignore"))
    parts.append(b"\r\n" if keep_alive else b"Connection: close\r\n\r\n")
    if not head_only:
        parts.append(body)
    return b"".join(parts)


def own_fields(call_id: str, spent_s: float) -> bytes:
    """What every reply carries: the call's name, and the time that it spent in the gateway, in milliseconds there."""
    ms, us = divmod(int(spent_s * 1e6), 1000)
    return b"Funcgate-Call-Id: %b\r\nServer-Timing: funcgate;dur=%d.%03d\r\n" % (call_id.encode(), ms, us)


def whole_answer(status: int, fields: list[tuple[bytes, bytes]], call_id: str, spent_s: float, body: bytes) -> bytes:
    """A whole answer, with a body, to a caller that speaks HTTP/1.1 and whose connection stays."""
    head = (status_line(status), fields_block(fields), own_fields(call_id, spent_s))
    return b"".join((*head, b"Content-Length: %d\r\n\r\n" % len(body), body))


def has_length(method: bytes, body: bytes) -> bool:
    """Whether the request says how long its body is (RFC 9110, 8.6)."""
    return bool(body) or method in (b"POST", b"PUT", b"PATCH")


def without(fields: list[tuple[bytes, bytes]], names: frozenset[bytes]) -> list[tuple[bytes, bytes]]:
    """The fields that are none of these, whose own names have to be there in both spellings."""
    if not names:
        return fields
    # Attack: send the credential's own field, in this spelling or with underscores.
    return [field for field in fields if field[0] not in names and field[0].replace(b"_", b"-") not in names]


def whole_request(
    method: bytes, path: str, query: str, host_line: bytes, fields: list[tuple[bytes, bytes]], names: frozenset[bytes],
    lines: bytes, call_id: str, traceparent: bytes, body: bytes,
) -> bytes:  # fmt: skip
    """A whole request: the `fields` that are none of `names`, then the `lines`, then the gateway's own."""
    parts = [
        b"%b %b HTTP/1.1\r\n" % (method, (f"{path}?{query}" if query else path).encode("ascii")),
        host_line,
        fields_block(without(fields, names)),
        lines,
        b"accept-encoding: identity\r\nfuncgate-call-id: %b\r\n" % call_id.encode(),
    ]
    if traceparent:
        parts.append(b"traceparent: %b\r\n" % traceparent)
    parts.append(b"content-length: %d\r\n\r\n" % len(body) if has_length(method, body) else b"\r\n")
    parts.append(body)
    return b"".join(parts)


pure_whole_answer, pure_whole_request = whole_answer, whole_request
if _native is not None:
    whole_answer = _native.Answers(_STATUS_LINES, pure_whole_answer).write
    whole_request = _native.write_request
