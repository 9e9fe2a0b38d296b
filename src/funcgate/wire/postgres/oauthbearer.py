"""OAUTHBEARER from the server's side (RFC 7628), as PostgreSQL 18 and its clients speak it. It finds the token and believes
nothing of it. What names somebody else (an authzid) or could be read in two ways is refused.
"""

import re

import msgspec

from .frames import Malformed

MECHANISM = "OAUTHBEARER"
ABORTED = b"\x01"  # the client's answer to a failure (RFC 7628, 3.2.3)
_HEADERS = (b"n,,\x01", b"y,,\x01")
_PAIR = re.compile(rb"([A-Za-z]+)=([\x21-\x7e \t\r\n]*)")
_BEARER = re.compile(rb"(?i:bearer) +([A-Za-z0-9._~+/-]+=*) *")
_encode = msgspec.json.Encoder().encode


def read_token(data: bytes) -> bytes:
    """The token of a client's first message; b"" when it asks where tokens are to be had. Raises `Malformed`."""
    header, rest = data[:4], data[4:]
    if header not in _HEADERS or not rest.endswith(b"\x01"):
        raise Malformed("a message of OAUTHBEARER that cannot be read")
    found: dict[bytes, bytes] = {}
    for pair in rest.split(b"\x01")[:-2]:
        read = _PAIR.fullmatch(pair)
        # Attack: two tokens in one message, for two readers.
        if read is None or read[1] in found:
            raise Malformed("a message of OAUTHBEARER with a field that cannot be read, or comes twice")
        found[read[1]] = read[2]
    if not rest.endswith(b"\x01\x01") or b"auth" not in found:
        raise Malformed("a message of OAUTHBEARER without its end, or without a token")
    if not found[b"auth"]:
        return b""
    bearer = _BEARER.fullmatch(found[b"auth"])
    if bearer is None:
        raise Malformed("what came is no bearer token")
    return bearer[1]


def failure(openid_configuration: str, scope: str) -> bytes:
    """What a client is told that has no token yet: where one is to be had (RFC 7628, 3.2.2)."""
    told = {"status": "invalid_token", "openid-configuration": openid_configuration}
    return _encode(told | ({"scope": scope} if scope else {}))
