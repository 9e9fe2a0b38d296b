"""What callers of every protocol over HTTP may say beside their call: the run that it belongs to, the trace, the reason, and the
fields that go along."""

import hashlib
import re
from collections.abc import Iterable, Mapping

from funcgate.core.principal import Principal, RawToken, Tokens
from funcgate.core.refusal import Code, Refused
from funcgate.core.session import session_of, session_of_token
from funcgate.wire.http1.fields import INCIDENTAL

_MAX_TOKEN = 16 << 10
_SESSION = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")
# W3C Trace Context, 3.2: no version ff; version 00 ends after the flags, a later one may go on after a dash.
_IDS = rb"-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
_TRACEPARENT = re.compile(rb"00%b|(?!00|ff)[0-9a-f]{2}%b(?:-[!-~]*)?" % (_IDS, _IDS))
_SECRET = re.compile(
    rb"auth|cookie|credential|key|passw|secret|signature|token"
)  # in the name of a field: its value is one


def token_of(known: Mapping[bytes, bytes], tokens: Tokens) -> RawToken | None:
    """The caller's token, as it was sent: `Funcgate-Token`, else `Authorization: Bearer` (RFC 6750, 2.1). Raises `Refused`."""
    value = known.get(b"funcgate-token")
    if value is None:
        authorization = known.get(b"authorization", b"")
        if authorization[:7].lower() != b"bearer ":
            return None
        value = authorization[7:].lstrip(b" ")
    if len(value) > _MAX_TOKEN:
        raise Refused(Code.IDENTITY_INVALID, private_detail="the token is longer than any token may be")
    return tokens.of(value) if value else None


def traceparent_of(known: Mapping[bytes, bytes]) -> bytes:
    """What goes to the target; b"" when there is none that can be read."""
    parent = known.get(b"traceparent", b"")
    if not parent or not _TRACEPARENT.fullmatch(parent):
        return b""
    return parent if parent[:2] == b"00" else b"00" + parent[2:55]  # what is known of a later version


def session(known: Mapping[bytes, bytes], traceparent: bytes, principal: Principal, target: str) -> str:
    """The name that the caller gave its run, else its trace, else token and target. Raises `Refused`."""
    named = known.get(b"funcgate-session")
    if named is not None:
        if not _SESSION.fullmatch(named):
            raise Refused(Code.REQUEST_INVALID, "The Funcgate-Session field is not a session name.")
        return session_of(principal, named.decode())
    trace = traceparent[3:35].decode()
    return session_of(principal, trace) if trace else session_of_token(principal, target)


def reason_of(known: Mapping[bytes, bytes]) -> str:
    return known.get(b"funcgate-reason", b"")[:1000].decode("utf-8", "replace")


def beside(path: bytes, fields: Iterable[tuple[bytes, bytes]]) -> tuple[str, tuple[str, ...], str]:
    """SHA-256 over the path and the fields (names in lower case) that the target gets, but for those in which the same call
    differs when it is sent again; these fields, for approvers; SHA-256 over them alone."""
    # Attack: have a call approved, and send it again with a field more that changes what the target does.
    kept = [field for field in fields if field[0] not in INCIDENTAL]
    lines = b"".join([b"%b: %b\n" % field for field in kept])
    whole = hashlib.sha256(b"%b\n%b" % (path, lines)).hexdigest()
    return whole, tuple([_told(*field) for field in kept]), hashlib.sha256(lines).hexdigest()


def _told(name: bytes, value: bytes) -> str:
    """A field that goes along, as approvers are told it."""
    return f"{name.decode('latin-1')}: {'(not shown)' if _SECRET.search(name) else value.decode('latin-1')}"
