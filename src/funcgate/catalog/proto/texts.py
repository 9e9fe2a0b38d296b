"""Bytes as text in JSON, and back: UTF-8 is itself; a byte that is not is U+F700 and the byte (U+F780 to U+F7FF).

Every bytes has one text and no two have the same, so what is judged is what is sent; what is text in them, detectors see.
"""

import re

_FIRST = 0xF780
_OURS = re.compile("[\uf780-\uf7ff]")
_OURS_RAW = (b"\xef\x9e", b"\xef\x9f")
_TO_SHOW = {0xDC80 + at: _FIRST + at for at in range(128)}
_TO_BYTES = {_FIRST + at: 0xDC80 + at for at in range(128)}


def shown(data: bytes) -> str:
    """The text of bytes."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = data.decode("utf-8", "surrogateescape").translate(_TO_SHOW)
        if data.find(_OURS_RAW[0]) < 0 and data.find(_OURS_RAW[1]) < 0:
            return text
    else:
        if _OURS.search(text) is None:
            return text
    return _apart(data)


def _apart(data: bytes) -> str:
    """For bytes that hold one of our own characters in UTF-8.

    Attack: ef 9e 80 would be shown as 80 is, so that one is judged and the other is sent. Its three bytes are shown one by one.
    """
    text = data.decode("utf-8", "surrogateescape")
    return _OURS.sub(_bytewise, text).translate(_TO_SHOW)


def _bytewise(found: re.Match[str]) -> str:
    return "".join([chr(0xDC00 + byte) for byte in found[0].encode()])


def bytes_of(text: str) -> bytes:
    """The bytes of a text that `shown` made, or that masking has changed since. Raises `ValueError` for lone surrogates."""
    if not text.isascii() and _OURS.search(text) is not None:
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise ValueError("a lone surrogate")
        return text.translate(_TO_BYTES).encode("utf-8", "surrogateescape")
    return text.encode()
