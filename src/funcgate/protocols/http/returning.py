"""What comes back from a target: an answer's head as a `Reply`, and what is refused of it. The same for HTTP/1.1 and HTTP/2."""

import re

from funcgate.core.refusal import Code, Refused
from funcgate.core.reply import Reply
from funcgate.wire.http1.fields import media_type
from funcgate.wire.http1.responses import Response

from .target import HttpTarget

_ABSOLUTE = re.compile(rb"(?i)https?://")


def reply_of(target: HttpTarget, response: Response, body: bytes | None) -> Reply:
    """The reply; with no body, its `stream` is still to be set. Raises `Refused` for a head that says too much."""
    limit = target.limits.max_response
    # Attack: a chunked answer that names no length, and is all there before it would be a stream that is counted.
    if (response.length if body is None else len(body)) > limit and not response.head_only:
        raise Refused(Code.MASKING_REFUSED, private_detail=f"the answer is larger than max_response ({limit} bytes)")
    if response.status == 206 and not target.unmaskable_pass:
        raise Refused(Code.MASKING_REFUSED, private_detail="the answer is a part that was not asked for (206)")
    known = response.known
    media, charset = media_type(known.get(b"content-type", b""))
    headers = response.fields if b"location" not in known else _returned(target, response, known[b"location"])
    reply = Reply(status=response.status, headers=headers, media=media, charset=charset, body=body)
    if b"content-encoding" in known:
        encoding = known[b"content-encoding"].decode("latin-1").lower()
        reply.encoding = "" if encoding == "identity" else encoding
    return reply


def too_large() -> Refused:
    return Refused(Code.MASKING_REFUSED, private_detail="the answer grew larger than max_response")


def _returned(target: HttpTarget, response: Response, location: bytes) -> list[tuple[bytes, bytes]]:
    """The answer's fields; an absolute Location on the target itself is turned to the gateway, others stay."""
    if not _ABSOLUTE.match(location):
        return response.fields
    prefix = target.url.encode()
    if not location.startswith(prefix) or location[len(prefix) : len(prefix) + 1] not in (b"", b"/", b"?"):
        return response.fields
    local = b"/%b%b" % (target.name.encode(), location[len(prefix) :])
    return [(name, local if name.lower() == b"location" else value) for name, value in response.fields]
