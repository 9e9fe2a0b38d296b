"""Which header fields mean something to the gateway, and which never cross it. Names are in lower case, as bytes."""

# RFC 9110, 7.6.1: these belong to one connection. Passing them on lets a caller steer the next hop.
HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
    }
)

# Attack: a field that a framework behind the gateway trusts over the request line or over the connection.
IMPERSONATING = frozenset(
    {
        b"forwarded",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-proto",
        b"x-forwarded-port",
        b"x-forwarded-prefix",
        b"x-forwarded-user",
        b"x-real-ip",
        b"x-original-url",
        b"x-original-uri",
        b"x-rewrite-url",
        b"x-http-method",
        b"x-http-method-override",
        b"x-method-override",
        b"x-remote-user",
        b"true-client-ip",
    }
)

# The caller's own credentials. Forwarded only where the target's configuration names them.
CREDENTIALS = frozenset({b"authorization", b"cookie", b"cookie2"})

# Written anew by the gateway for its own connection to the target, or answered by it. A part of an answer cannot be
# masked (attack: ask for the bytes from the middle of a card number on), so ranges are not asked for.
REWRITTEN = frozenset(
    {b"host", b"content-length", b"expect", b"accept-encoding", b"range", b"if-range", b"traceparent", b"prefer"}
)

FUNCGATE = frozenset(
    {b"funcgate-token", b"funcgate-session", b"funcgate-reason", b"funcgate-approval", b"funcgate-call-id"}
)

NEVER_FORWARDED = HOP_BY_HOP | IMPERSONATING | CREDENTIALS | REWRITTEN | FUNCGATE

# What clients write anew each time they send the same call, and no target's function depends on.
INCIDENTAL = frozenset(
    {
        b"accept",
        b"accept-language",
        b"baggage",
        b"cache-control",
        b"date",
        b"dnt",
        b"pragma",
        b"priority",
        b"tracestate",
    }
    | {b"user-agent", b"x-correlation-id", b"x-request-id"}
)

# Fields that the gateway reads itself. Attack: send one twice, so that two readers believe different ones.
SINGLE = FUNCGATE | {
    b"host",
    b"authorization",
    b"content-type",
    b"content-length",
    b"transfer-encoding",
    b"expect",
    b"traceparent",
    b"content-encoding",
}

# What to do with a field of a request: nothing special (not in the table), or these.
ONCE, WITHHELD = 1, 2
ROLES: dict[bytes, int] = {
    name: (ONCE if name in SINGLE else 0) | (WITHHELD if name in NEVER_FORWARDED else 0)
    for name in SINGLE | NEVER_FORWARDED
}

# Fields of an answer that stay on the target's side. Cookies are the target's credentials for a browser that it never sees.
NOT_RETURNED = HOP_BY_HOP | {b"content-length", b"set-cookie", b"set-cookie2", b"alt-svc", b"funcgate-call-id"}


_MOST = 512
_media_types: dict[bytes, tuple[str, str]] = {}


def media_type(value: bytes) -> tuple[str, str]:
    """The bare media type and the charset of a Content-Type, both in lower case (RFC 9110, 8.3)."""
    found = _media_types.get(value)
    if found is None:
        # Attack: a new one with each call, so that what is remembered grows without end.
        if len(_media_types) >= _MOST:
            _media_types.clear()
        found = _media_types[value] = _read_media_type(value)
    return found


def _read_media_type(value: bytes) -> tuple[str, str]:
    media, _, parameters = value.decode("latin-1").partition(";")
    charset = ""
    for parameter in parameters.split(";"):
        name, _, text = parameter.partition("=")
        if name.strip().lower() == "charset":
            charset = text.strip().strip('"').lower()
    return media.strip().lower(), charset
