"""The words of what was said: masked arguments and answers as they are searched, the same by a scan and by the index.

Letters and digits of any script count, case and accents do not; everything else is between words. It knows no database.
"""

import re
import unicodedata
from collections.abc import Iterable

import msgspec

from funcgate.core.entry import Entry

MAX_BYTES = 64 << 10  # of one call
MAX_WORDS = 16
MIN_PREFIX = 3
_PLAIN = bytes(
    ord(chr(byte).lower()) if chr(byte).isalnum() else 32 for byte in range(128)
) + bytes(range(128, 256))  # fmt: skip
_BETWEEN = re.compile(r"[\W_]+")
_ACCENTS = re.compile("[\u0300-\u036f]+")
_ESCAPED = re.compile(rb"(?:\\u[0-9a-fA-F]{4})+|\\.", re.DOTALL)
_TERM = re.compile(r'"([^"]*)"?|(\S+)')


def words_of(entries: Iterable[Entry]) -> bytes:
    """The words of a call's entries, in order, up to the limit. UTF-8 (the last character may be cut), blanks between."""
    text = b""
    for entry in entries:
        text = add_part(text, b"" if entry.args is None else from_json(bytes(entry.args)))
        body = entry.body
        if body is None:
            continue
        said = from_text(body, entry.media) if isinstance(body, str) else from_json(bytes(body))
        text = add_part(text, said, joined=entry.piece > 1)
    return text


def add_part(text: bytes, part: bytes, *, joined: bool = False) -> bytes:
    """`text` with a part more. `joined`: a piece of a stream, which may begin within a word."""
    if not part or len(text) >= MAX_BYTES:
        return text
    return (text + part if joined or not text else b"%b %b" % (text, part))[:MAX_BYTES]


def from_json(raw: bytes) -> bytes:
    """The words of a JSON text: names, strings, numbers. Strings are read first, so that an escape parts no word."""
    raw = raw[:MAX_BYTES]
    return _normal(_ESCAPED.sub(_unescaped, raw) if b"\\" in raw else raw)


def from_text(text: str, media: str = "") -> bytes:
    """The words of a text; of bytes that are no text (a ``data:`` URL) none."""
    if text.startswith("data:") and ";base64," in text[:200]:
        return b""
    raw = text[:MAX_BYTES].encode("utf-8", "replace")
    return from_json(raw) if "json" in media or "event-stream" in media else _normal(raw)


def _normal(raw: bytes) -> bytes:
    if raw.isascii():
        return raw.translate(_PLAIN)
    text = unicodedata.normalize("NFKD", raw.decode("utf-8", "replace")).casefold()
    return _BETWEEN.sub(" ", _ACCENTS.sub("", text)).encode()


def _unescaped(found: re.Match[bytes]) -> bytes:
    if found[0][1:2] != b"u":
        return b" "
    try:
        return msgspec.json.decode(b'"%b"' % found[0], type=str).encode()
    except (msgspec.MsgspecError, UnicodeError):
        return b" "


class Term:
    """Words that have to follow each other. `prefix`: the last one is only the beginning of a word."""

    __slots__ = ("prefix", "words")

    def __init__(self, words: tuple[str, ...], prefix: bool) -> None:
        self.words = words
        self.prefix = prefix

    def within(self, spaced: str) -> bool:
        """Whether it is in a text of words with one blank before, between and behind them."""
        return f" {' '.join(self.words)}{'' if self.prefix else ' '}" in spaced


def terms(query: str) -> list[Term]:
    """What a query asks for: each word, or each ``"several words"``, has to be there; ``begin*`` is a beginning.

    Raises `ValueError` for a query without a word, or with more than is sensible.
    """
    # Attack: a query in the database's own language, or one that takes it minutes. There is no language, and a limit.
    found: list[Term] = []
    for quoted, bare in _TERM.findall(query[: MAX_BYTES + 1]):
        words = tuple(_normal((quoted or bare).encode("utf-8", "replace")).decode().split())
        prefix = bare.endswith("*") or quoted.endswith("*")
        if words and prefix and len(words[-1]) < MIN_PREFIX:
            raise ValueError(f"{bare or quoted!r}: give at least {MIN_PREFIX} letters before the *")
        if words:
            found.append(Term(words, prefix))
    if not found:
        raise ValueError(f"{query!r} holds no word to search for")
    if sum(len(term.words) for term in found) > MAX_WORDS:
        raise ValueError(f"at most {MAX_WORDS} words can be searched for at once")
    return found


def spaced(text: bytes) -> str:
    """The text as `Term.within` looks at it."""
    return f" {' '.join(text.decode('utf-8', 'ignore').split())} "
