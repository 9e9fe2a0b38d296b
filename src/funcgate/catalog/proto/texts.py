"""Bytes as text in JSON, and back: UTF-8 is itself; a byte that is not is U+F700 and the byte (U+F780 to U+F7FF).

Every bytes has one text and no two have the same, so what is judged is what is sent; what is text in them, detectors see.
"""

import re

_OURS = re.compile("[\uf780-\uf7ff]")
# Python shows such a byte as U+DC80 to U+DCFF, which JSON cannot hold. In UTF-8, ours differ from those in two bytes.
_PAIRS = ((b"\xed\xb2", b"\xef\x9e"), (b"\xed\xb3", b"\xef\x9f"))
_BYTEWISE = {code: "".join([chr(0xDC00 + byte) for byte in chr(code).encode()]) for code in range(0xF780, 0xF800)}

_TO_BYTES = {code: code - 0xF700 + 0xDC00 for code in range(0xF780, 0xF800)}


def shown(data: bytes) -> str:
    """The text of bytes."""
    if data.isascii():
        return data.decode()
    text = data.decode("utf-8", "surrogateescape")
    # Attack: ef 9e 80 would be shown as 80 is, so that one is judged and the other is sent. Its bytes are shown one by one.
    if _OURS.search(text) is not None:
        text = text.translate(_BYTEWISE)
    raw = text.encode("utf-8", "surrogatepass")
    for theirs, ours in _PAIRS:
        raw = raw.replace(theirs, ours)
    return raw.decode()


def bytes_of(text: str) -> bytes:
    """The bytes of a text that `shown` made, or that masking has changed since. Raises `ValueError` for lone surrogates."""
    raw = text.encode()
    if _OURS.search(text) is None:
        return raw
    return text.translate(_TO_BYTES).encode("utf-8", "surrogateescape")
