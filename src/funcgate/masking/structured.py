"""Masks JSON by its structure, and leaves every byte that need not change as it was.

What is found in the raw text is spliced into it when nothing in the text can hide a value; else the structure is walked. It
refuses what is not exactly JSON in UTF-8 (RFC 8259).
"""

from bisect import bisect_right
from collections.abc import Sequence

import msgspec

from funcgate.core.nesting import is_deeper

from .detector import Hit
from .rules import Rules
from .tokens import MAX_DEPTH, Hidden, Leaf, Unreadable, Walk, encoded

_CHECK = msgspec.json.Decoder(msgspec.Raw).decode
_NUMBER = b"+-.0123456789eE"
_QUOTE, _COLON = b'":'
_SPACE = b" \t\r\n"
_MAY_END_KEY = (b":", b" ", b"\t", b"\r", b"\n")


def check_json(raw: bytes) -> None:
    """Raises `Unreadable` unless the bytes are one JSON text in UTF-8, of at most `MAX_DEPTH` levels."""
    try:
        _CHECK(raw)
        if not raw.isascii():
            raw.decode()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable("not JSON") from error
    # Attack: nesting that this Python's C code can follow, and whoever reads the answer or the journal cannot.
    if is_deeper(raw, MAX_DEPTH):
        raise Unreadable("nested too deep")


def mask_json(raw: bytes, rules: Rules, counts: dict[str, int], opened: Sequence[int] | None = None) -> bytes:
    """JSON in, masked JSON out. Raises `Unreadable` or `ScanFailed`."""
    if opened is None:
        if rules.glance is not None and (masked := rules.glance(raw, counts)) is not None:
            return masked
        opened = rules.scanner.gate(raw)
    check_json(raw)
    scanner = rules.scanner
    if not (rules.walks and rules.fields.may_be_in(raw)):
        if len(opened) == 1:
            return raw
        if scanner.escapes not in opened and scanner.exponents not in opened:
            masked = rules.values.mask(raw, opened, counts)
            if masked is not None:
                return masked
            hits = scanner.spans(raw, opened)
            if not hits:
                return raw
            spliced = splice(raw, hits, rules, counts)
            if spliced is not None:
                return spliced
    return mask_by_walk(raw, rules, counts)


def splice(raw: bytes, hits: Sequence[Hit], rules: Rules, counts: dict[str, int]) -> bytes | None:
    """The raw text with its hits replaced; None when one is in a key.

    Only for text without a backslash: there every quote begins or ends a string, and as no detector matches a quote, or the
    other structural characters outside a string, each hit lies inside one string or one number.
    """
    pieces: list[bytes] = []
    at = counted = quotes = closed = 0
    taken: list[str] = []
    for start, end, index in hits:
        begin, stop = start, end
        quoted = True
        if rules.numeric[index]:
            quotes += raw.count(b'"', counted, start)
            counted = start
            quoted = quotes % 2 == 1
        new = rules.replaces[index](raw[start:end])
        if not quoted:
            begin, stop = number_around(raw, start, end)
            new = b'"' + new + b'"'
        elif end > closed and (raw[end] != _QUOTE or raw[end + 1 : end + 2] in _MAY_END_KEY):
            closed = raw.index(b'"', end)  # further hits in this string need not look again
            if is_key(raw, closed):
                return None
        if begin >= at:
            pieces += (raw[at:begin], new)
            at = stop
            taken.append(rules.names[index])
    for name in taken:
        counts[name] = counts.get(name, 0) + 1
    pieces.append(raw[at:])
    return b"".join(pieces)


def number_around(raw: bytes, start: int, end: int) -> tuple[int, int]:
    """The whole number token around a span."""
    while start and raw[start - 1] in _NUMBER:
        start -= 1
    while end < len(raw) and raw[end] in _NUMBER:
        end += 1
    return start, end


def is_key(raw: bytes, closed: int) -> bool:
    """Whether the string that ends with the quote at `closed` is a member's name."""
    after = closed + 1
    while after < len(raw) and raw[after] in _SPACE:
        after += 1
    return after < len(raw) and raw[after] == _COLON


Edit = tuple[int, int, bytes]


def mask_by_walk(raw: bytes, rules: Rules, counts: dict[str, int]) -> bytes:
    """JSON in, masked JSON out, value by value. The reference that `splice` is tested against."""
    walk = Walk(raw, rules.fields)
    walk.run()
    edits = [hide(raw, hidden, counts) for hidden in walk.hidden]
    edits += leaf_edits(walk.leaves, rules, counts)
    if not edits:
        return raw
    edits.sort()
    pieces: list[bytes] = []
    at = 0
    for start, end, new in edits:
        pieces += (raw[at:start], new)
        at = end
    pieces.append(raw[at:])
    return b"".join(pieces)


def hide(raw: bytes, hidden: Hidden, counts: dict[str, int]) -> Edit:
    counts["field"] = counts.get("field", 0) + 1
    return hidden.start, hidden.end, b'"' + hidden.replace(raw[hidden.start : hidden.end]) + b'"'


def leaf_edits(leaves: Sequence[Leaf], rules: Rules, counts: dict[str, int]) -> list[Edit]:
    """What to change in the leaves. They are scanned as one text with quotes between, which no detector matches."""
    joined = b'"'.join([leaf.content for leaf in leaves])
    hits = rules.find(joined)
    if not hits:
        return []
    starts, at = [], 0
    for leaf in leaves:
        starts.append(at)
        at += len(leaf.content) + 1
    by_leaf: dict[int, list[Hit]] = {}
    for start, end, index in hits:
        which = bisect_right(starts, start) - 1
        base = starts[which]
        by_leaf.setdefault(which, []).append((start - base, min(end - base, len(leaves[which].content)), index))
    edits: list[Edit] = []
    keys: dict[int, bytes] = {}
    for which, found in by_leaf.items():
        leaf = leaves[which]
        if leaf.number:
            found = found[:1]  # noqa: PLW2901
            new = rules.replaces[found[0][2]](leaf.content[found[0][0] : found[0][1]])
            rules.splice(leaf.content, found, counts)
        else:
            new = rules.splice(leaf.content, found, counts)
        if leaf.owner >= 0:
            keys[which] = new
        else:
            edits.append((leaf.start, leaf.end, encoded(new)))
    return edits + key_edits(leaves, keys)


def key_edits(leaves: Sequence[Leaf], keys: dict[int, bytes]) -> list[Edit]:
    """The masked keys, with ``#2``, ``#3`` … where an object would have two of the same name.

    Attack: two members that masking gives one name would be one member to the reader, and the other's value lost.
    """
    if not keys:
        return []
    owners = {leaves[which].owner for which in keys}
    names: dict[int, set[bytes]] = {owner: set() for owner in owners}
    for which, leaf in enumerate(leaves):
        if leaf.owner in owners and which not in keys:
            names[leaf.owner].add(leaf.content)
    edits: list[Edit] = []
    used: dict[tuple[int, bytes], int] = {}
    for which, new in keys.items():
        leaf, name = leaves[which], new
        count = used.get((leaf.owner, new), 1)
        while name in names[leaf.owner]:
            count += 1
            name = new + b"#%d" % count
        used[leaf.owner, new] = count
        names[leaf.owner].add(name)
        edits.append((leaf.start, leaf.end, encoded(name)))
    return edits
