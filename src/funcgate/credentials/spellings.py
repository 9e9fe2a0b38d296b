"""Every spelling under which a target may echo a secret: the needles that are scrubbed from its answers.

Pure. Stops echoes, not a target that disguises what it was given on purpose.
"""

import base64
import html
import json
import string
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

from funcgate.core.secret import Secret

MIN_CHARS = 8

_PLAIN = frozenset(string.ascii_letters + string.digits)
_URI_SAFE = ";,/?:@&=+$-_.!~*'()#"
_COMPONENT_SAFE = "-_.!~*'()"
_SCRIPT_UNSAFE = "<>&\u2028\u2029"
_MARKUP_UNSAFE = "<>&'\"+`"


def spellings(*secrets: Secret) -> tuple[Secret, ...]:
    """The spellings of all `secrets`, the longest first, none twice. Those shorter than `MIN_CHARS` are left out."""
    found: set[str] = set()
    for secret in secrets:
        found.update(_spellings(secret.reveal()))
    return tuple(Secret(text) for text in sorted(found, key=lambda text: (-len(text), text)) if len(text) >= MIN_CHARS)


def _spellings(text: str) -> Iterator[str]:
    yield text
    yield from _base64(text.encode())
    yield text.encode().hex()
    yield text.encode().hex().upper()
    yield from _percent(text)
    yield from _json(text)
    yield from _html(text)


def _base64(data: bytes) -> Iterator[str]:
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        padded = encode(data).decode()
        yield padded
        yield padded.rstrip("=")
        yield padded.replace("=", "%3D")
        # In the middle of something longer that was encoded whole: what does not depend on the neighbours.
        for lead in range(3):
            inner = data[(3 - lead) % 3 :]
            yield encode(inner[: len(inner) // 3 * 3]).decode()


def _percent(text: str) -> Iterator[str]:
    every = "".join(f"%{byte:02X}" for byte in text.encode())
    signs = "".join(chr(byte) if chr(byte) in _PLAIN else f"%{byte:02X}" for byte in text.encode())
    for encoded in (
        quote(text, safe=""),
        quote(text),
        quote(text, safe=_COMPONENT_SAFE),
        quote(text, safe=_URI_SAFE),
        quote_plus(text),
        quote_plus(text, safe="*"),
        signs,
        every,
    ):
        yield encoded
        yield _lower_hex(encoded)


def _lower_hex(encoded: str) -> str:
    first, *rest = encoded.split("%")
    return "%".join([first, *(part[:2].lower() + part[2:] for part in rest)])


def _json(text: str) -> Iterator[str]:
    signs = "".join(char for char in text if not char.isalnum() or not char.isascii())
    for some in ("", _SCRIPT_UNSAFE, _MARKUP_UNSAFE, signs, text):
        for ascii_only in (True, False):
            escaped = _escaped(text, some, ascii_only)
            for spelled in (escaped, escaped.replace("/", "\\/")):
                yield spelled
                yield _upper_hex(spelled)


def _escaped(text: str, some: str, ascii_only: bool) -> str:
    r"""`text` inside JSON quotes, with each character of `some` as ``\u00xx``; all beyond ASCII too if `ascii_only`."""
    return "".join(_unit(char) if char in some else json.dumps(char, ensure_ascii=ascii_only)[1:-1] for char in text)


def _unit(char: str) -> str:
    units = char.encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def _upper_hex(escaped: str) -> str:
    r"""The same with ``\u00AB`` for ``\u00ab``; a doubled backslash is no escape."""
    out, at = [], 0
    while at < len(escaped):
        width = 6 if escaped.startswith("\\u", at) else 2 if escaped[at] == "\\" else 1
        part = escaped[at : at + width]
        out.append(part[:2] + part[2:].upper())
        at += width
    return "".join(out)


def _html(text: str) -> Iterator[str]:
    quoted = html.escape(text, quote=True)
    yield html.escape(text, quote=False)
    for apostrophe in ("&#x27;", "&#39;", "&#039;", "&apos;"):
        for quotation in ("&quot;", "&#34;"):
            for plus in ("+", "&#43;"):
                spelled = quoted.replace("&#x27;", apostrophe).replace("&quot;", quotation).replace("+", plus)
                yield spelled
                yield spelled.replace("/", "&#x2F;")
                yield spelled.replace("=", "&#x3D;").replace("/", "&#x2F;")
