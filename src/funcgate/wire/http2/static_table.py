"""The static table of header compression (RFC 7541, appendix A)."""

_FIRST = [
    (b":authority", b""), (b":method", b"GET"), (b":method", b"POST"), (b":path", b"/"), (b":path", b"/index.html"),
    (b":scheme", b"http"), (b":scheme", b"https"), (b":status", b"200"), (b":status", b"204"), (b":status", b"206"),
    (b":status", b"304"), (b":status", b"400"), (b":status", b"404"), (b":status", b"500"), (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
]  # fmt: skip
_NAMES = (
    b"accept-language accept-ranges accept access-control-allow-origin age allow authorization cache-control "
    b"content-disposition content-encoding content-language content-length content-location content-range content-type "
    b"cookie date etag expect expires from host if-match if-modified-since if-none-match if-range if-unmodified-since "
    b"last-modified link location max-forwards proxy-authenticate proxy-authorization range referer refresh retry-after "
    b"server set-cookie strict-transport-security transfer-encoding user-agent vary via www-authenticate"
)

# By index; 0 is none.
STATIC: list[tuple[bytes, bytes]] = [(b"", b""), *_FIRST, *[(name, b"") for name in _NAMES.split()]]
SIZE = len(STATIC) - 1

# Names whose values are kept in no table and no cache of ours, whether or not the peer asks for that (RFC 7541, 7.1.3).
SECRETS = frozenset(
    {b"authorization", b"cookie", b"set-cookie", b"proxy-authorization", b"funcgate-token", b"x-api-key"}
)
