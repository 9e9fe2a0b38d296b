"""The request target and Host of an HTTP message: one path and one query, to judge and to send.

What two readers could read in two ways is refused; only what RFC 3986 calls equivalent is normalised, once. Knows no
catalogue, and refuses to guess. The choices, with their sections, are listed in docs/catalogue.md.
"""

import re
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

from funcgate.core.refusal import Code, Refused

from .compiled import native

MAX_TARGET_BYTES = 8192
MAX_PAIRS = 1000


class RequestTarget(NamedTuple):
    """One target, canonical.

    `path` is percent-encoded and is what is sent; `segments` are its parts after each slash, decoded, with a last empty
    one for a path that ends in a slash. `params` are the query's decoded pairs in order; `query` is their canonical
    encoding, without ``?``. `authority` is ``host`` or ``host:port`` in lower case, "" when Host is empty.
    """

    path: str
    segments: tuple[str, ...]
    params: tuple[tuple[str, str], ...]
    query: str
    authority: str


Parts = tuple[str, tuple[str, ...], tuple[tuple[str, str], ...], str, str]

# Needs no second look: no percent sign, and in the query nothing but plain names and values.
_COMMON = re.compile(rb"/[A-Za-z0-9/._~!$&'()*+,=:@-]*(?:\?[A-Za-z0-9._~!$'()*,:@/?&=-]*)?")
_PATH = re.compile(r"/(?:[A-Za-z0-9/._~!$&'()*+,=:@-]|%[0-9A-Fa-f]{2})*+")
# RFC 3986, section 3.4, and the marks that browsers leave as they are in a query.
_QUERY = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/?\[\]{}|^`-]|%[0-9A-Fa-f]{2})*+")
_ABSOLUTE = re.compile(rb"https?://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
_HOST = re.compile(rb"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{1,5}))?")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_SAFE_IN_VALUE = "~!$'()*,:@/?"


_new = tuple.__new__  # what the NamedTuple's own constructor calls, at half its cost


def parse_request_target(raw: bytes, host: bytes | None) -> RequestTarget:
    """The target of a request line (RFC 9112, section 3.2) and the one value of Host (RFC 9110, section 7.2).

    Raises `Refused(request.invalid)`, with status 414 for a target longer than `MAX_TARGET_BYTES`.
    """
    return _new(RequestTarget, split_request_target(raw, host))


def split_request_target(raw: bytes, host: bytes | None) -> Parts:
    """The same, as its five parts."""
    if len(raw) > MAX_TARGET_BYTES:
        raise Refused(Code.REQUEST_INVALID, "The request target is too long.", status=414)
    authority = None if host is None else _authorities.get(host)
    if authority is None:
        authority = _authority(host)
        # Attack: a new one with each call, so that what is remembered grows without end.
        if len(_authorities) >= _MOST_AUTHORITIES:
            _authorities.clear()
        _authorities[host or b""] = authority
    return _read_canonical(raw, authority, MAX_PAIRS) or _parse_carefully(raw, authority)


def pure_read_canonical(raw: bytes, authority: str, max_pairs: int) -> Parts | None:
    """The parts of a target that is canonical already; None for any other, and for one of too many pairs."""
    if _COMMON.fullmatch(raw) is None:
        return None
    path, mark, query = raw.decode("ascii").partition("?")
    params = _plain_pairs(query) if mark else ()
    if params is None or len(params) > max_pairs or "//" in path or "/." in path:
        return None
    return path, tuple(path[1:].split("/")), params, query, authority


_MOST_AUTHORITIES = 256
_authorities: dict[bytes, str] = {}
_read_canonical = pure_read_canonical
if native is not None:
    _read_canonical = native.read_target


def _plain_pairs(query: str) -> tuple[tuple[str, str], ...] | None:
    """The pairs of a query that is canonical already, else None."""
    pairs = []
    for piece in query.split("&"):
        name, equals, value = piece.partition("=")
        if not name or not equals or "=" in value:
            return None
        pairs.append((name, value))
    return tuple(pairs)


def _authority(host: bytes | None) -> str:
    """RFC 9110, section 7.2; RFC 9112, section 3.2."""
    if host is None:
        raise _refused("The request has no Host.")
    if not host:
        return ""
    # Attack: "a@b", "a, b", "a/b": one reader takes the first name, another the second.
    found = _HOST.fullmatch(host)
    if found is None or (found[1] and int(found[1]) > 65535):
        raise _refused("Host is not a host name or an address with an optional port.")
    return host.decode("ascii").lower()


def _parse_carefully(raw: bytes, authority: str) -> RequestTarget:
    if not raw.startswith(b"/"):
        raw = _origin_form(raw, authority)
    # Attack: raw octets beyond ASCII are read as UTF-8 here and as Latin-1 there (RFC 3986, section 2.1).
    if not raw.isascii():
        raise _refused("The request target holds octets that must be percent-encoded.")
    # Attack: a fragment is dropped by some servers and part of the path for others (RFC 9112, section 3.2).
    path, _, query = raw.decode("ascii").partition("?")
    if _PATH.fullmatch(path) is None:
        raise _refused("The path holds a character that is not allowed there, or a broken percent-encoding.")
    path = _ESCAPE.sub(_normal_escape, path)
    segments = tuple(_decode(segment, "path") for segment in path[1:].split("/"))
    _refuse_ambiguous(path, segments)
    params = _pairs(query) if query else ()
    return RequestTarget(path, segments, params, _encode(params), authority)


def _origin_form(raw: bytes, authority: str) -> bytes:
    """The origin-form of an absolute-form that names the very authority of Host (RFC 9112, section 3.2.2)."""
    found = _ABSOLUTE.fullmatch(raw)
    # Attack: an absolute-form for one host and a Host for another are judged by one and routed by the other.
    if found is None:
        raise _refused("The request target is neither a path nor an absolute http or https URL.")
    if not authority or found[1].lower() != authority.encode():
        raise _refused("The request target names another host than Host.")
    rest = found[2]
    return rest if rest.startswith(b"/") else b"/" + rest


def _normal_escape(found: re.Match[str]) -> str:
    """RFC 3986, sections 6.2.2.1 and 6.2.2.2: hexadecimal digits in upper case, unreserved characters bare."""
    character = chr(int(found[0][1:], 16))
    return character if character in _UNRESERVED else found[0].upper()


def _refuse_ambiguous(path: str, segments: tuple[str, ...]) -> None:
    # Attack: an encoded separator is a separator for some servers and data for others (RFC 3986, section 2.2);
    # and what follows ";" is a parameter that some servers cut off before they route (section 3.3).
    if "%2F" in path or "%5C" in path or "%3B" in path:
        raise _refused("The path holds an encoded slash, backslash or semicolon.")
    # Attack: "//admin" and "/./admin" are other paths once a server has cleaned them up (section 5.2.4).
    if "" in segments[:-1]:
        raise _refused("The path holds an empty segment.")
    for segment in segments:
        if segment in {".", ".."}:
            raise _refused("The path holds a dot segment.")
        # Attack: %252e%252e is "%2e%2e" here and ".." where the path is decoded a second time (section 2.4).
        if "%" in segment and _ESCAPE.search(segment):
            raise _refused("The path is percent-encoded twice.")


def _decode(text: str, where: str) -> str:
    if "%" not in text:
        return text
    decoded = ""
    with suppress(UnicodeDecodeError):
        decoded = unquote_to_bytes(text).decode()
    if not decoded:  # raised here, because an exception keeps the one that it was raised in, and with it the text
        raise _refused(f"The {where} holds a percent-encoding that is not UTF-8.")
    # Attack: a NUL ends the text for some readers; a line end starts a new line in whatever is written of it. A
    # value of the query may hold line ends and tabs, as a text that a person typed does.
    if where == "path" and _CONTROL.search(decoded):
        raise _refused("The path holds a control character.")
    if "\0" in decoded:
        raise _refused(f"The {where} holds a NUL.")
    return decoded


def _pairs(query: str) -> tuple[tuple[str, str], ...]:
    """``&`` separates, ``+`` is a space, empty pieces count for nothing, ``;`` is data."""
    if _QUERY.fullmatch(query) is None:
        raise _refused("The query holds a character that is not allowed there, or a broken percent-encoding.")
    pairs = []
    for piece in query.replace("+", " ").split("&"):
        if not piece:
            continue
        name, _, value = piece.partition("=")
        name = _decode(name, "query")
        if not name or _CONTROL.search(name):
            raise _refused("A parameter of the query has no name, or a control character in it.")
        pairs.append((name, _decode(value, "query")))
    # Attack: a server that stops reading after so many parameters does not see what was judged.
    if len(pairs) > MAX_PAIRS:
        raise _refused(f"The query has more than {MAX_PAIRS} parameters.")
    return tuple(pairs)


def _encode(params: tuple[tuple[str, str], ...]) -> str:
    """One spelling for one meaning: no ``+``, no bare ``;``, every pair with its ``=``."""
    return "&".join(
        [quote(name, safe=_SAFE_IN_VALUE) + "=" + quote(value, safe=_SAFE_IN_VALUE) for name, value in params]
    )


def _refused(detail: str) -> Refused:
    return Refused(Code.REQUEST_INVALID, detail)
