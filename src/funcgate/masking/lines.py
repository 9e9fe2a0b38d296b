"""Masks lines of JSON, each by itself, and looks at many of them at once where nothing in them can hide anything.

What it finds does not depend on how the lines are put together: a batch in which something may be hidden is halved until one line
is left.
"""

from collections.abc import Callable, Sequence

import msgspec

from funcgate.core.nesting import is_deeper

from .rules import Rules
from .structured import mask_json, splice
from .tokens import MAX_DEPTH, Unreadable

_ALL = msgspec.json.Decoder(msgspec.Raw).decode_lines
_MARK = b"\x1e"  # RFC 7464: a record separator before each text
Unread = Callable[[Unreadable], None]


def mask_lines(
    text: bytes, rules: Rules, counts: dict[str, int], unread: Unread, opened: Sequence[int] | None = None
) -> bytes:
    """Lines in, masked lines out; the very object when nothing had to change. `unread` raises for a line that is no JSON, or lets
    it pass. `opened` is what the gates say of the text, if it is known. Raises `ScanFailed`."""
    if opened is None:
        opened = rules.scanner.gate(text)
    # No detector's gate needs the beginning or the end of a text: what a line opens, the batch that it is in opens too.
    if not (rules.fields and rules.fields.may_be_in(text)):
        if len(opened) == 1 and are_lines(text):
            return text
        scanner = rules.scanner
        if len(opened) > 1 and scanner.escapes not in opened and scanner.exponents not in opened and _are_apart(text):
            hits = scanner.spans(text, opened)
            masked = splice(text, hits, rules, counts) if hits else text
            if masked is not None:
                return masked
    size = len(text)
    cut = text.find(b"\n", size // 2)
    if cut < 0 or cut == size - 1:
        cut = text.rfind(b"\n", 0, size - 1)
    if cut < 0:
        return _line(text, rules, counts, unread)
    head, tail = text[: cut + 1], text[cut + 1 :]
    masked_head = mask_lines(head, rules, counts, unread)
    masked_tail = mask_lines(tail, rules, counts, unread)
    return text if masked_head is head and masked_tail is tail else masked_head + masked_tail


def are_lines(text: bytes) -> bool:
    """Whether every line is one JSON text in UTF-8, not too deep, with nothing around it."""
    whole = text[:-1] if text.endswith(b"\n") else text
    try:
        found = _ALL(whole)
        if not whole.isascii():
            whole.decode()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    # Attack: a text over two lines, or two on one: the reader of the lines would see others than were looked at.
    if len(found) != whole.count(b"\n") + 1 or b"\n".join(found) != whole:
        return False
    return len(whole) <= MAX_DEPTH or not any(is_deeper(line, MAX_DEPTH) for line in whole.split(b"\n"))


def _are_apart(text: bytes) -> bool:
    """Whether the lines are arrays and objects, so that a bracket stands between the values of any two of them: what lets
    `structured.splice` take them for one text."""
    # Attack: a number on each of two lines, which a detector takes for one.
    begun = text.count(b"\n[") + text.count(b"\n{") + (text[:1] in (b"[", b"{"))
    return begun == text.count(b"\n") + (not text.endswith(b"\n")) and are_lines(text)


def _line(text: bytes, rules: Rules, counts: dict[str, int], unread: Unread) -> bytes:
    line = text[:-1] if text.endswith(b"\n") else text
    bare = line[1:] if line.startswith(_MARK) else line
    if not bare.strip():
        return text
    try:
        masked = mask_json(bare, rules, counts)
    except Unreadable as error:
        unread(error)
        return text
    return text if masked is bare else text[: len(line) - len(bare)] + masked + text[len(line) :]
