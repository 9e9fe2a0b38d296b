"""Which addresses keys may come from: HTTPS, or plain HTTP on this very machine. Pure text; resolves no name."""

import ipaddress
from urllib.parse import SplitResult, urlsplit


def fault_of_url(url: str, *, query: bool = True) -> str:
    """Why keys must not be fetched from `url`, or "". `query` allows a query part."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is not a URL"
    if not host or not url.isascii() or any(ord(char) <= 0x20 or ord(char) == 0x7F for char in url):
        return "is not a URL such as https://idp.example"
    # Attack: whoever sits on the way to a plain HTTP address hands out keys of their own.
    if parts.scheme != "https" and not is_plain_loopback(url):
        return "must begin with https:// (plain http:// only to a loopback address)"
    if "@" in parts.netloc:
        return "must not hold a user name or password"
    if parts.fragment or "#" in url or (not query and "?" in url):
        return "must have no query and no fragment" if not query else "must have no fragment"
    return ""


def is_plain_loopback(url: str) -> bool:
    """Whether `url` is ``http://`` on a loopback address or ``localhost``."""
    parts = urlsplit(url)
    return parts.scheme == "http" and _is_loopback(parts)


def _is_loopback(parts: SplitResult) -> bool:
    host = (parts.hostname or "").lower()
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
