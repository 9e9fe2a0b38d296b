"""How deep JSON text is nested, told without going down into it.

The interpreter is no measure of it: C code stops at 1,000 levels in Python 3.11, at 10,000 in 3.13, and in 3.14 where the
stack ends.
"""

import re
from itertools import accumulate

# What a reader of answers and of the journal has to follow. All Pythons read as much, deep in a stack of their own too.
MAX_LEVELS = 512
_PIECE = 64 << 10  # bytes
_STRINGS = re.compile(rb'"[^"]*"')
_NO_MARKS = bytes(set(range(256)) - set(b'[]{}"'))
_AS_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # as signed octets: 1 down, 1 up


def is_deeper(text: bytes, levels: int) -> bool:
    """Whether JSON text opens an array or object within `levels` others. Takes any bytes: what is no JSON has some depth too."""
    if len(text) <= levels or text.count(b"[") + text.count(b"{") <= levels:
        return False
    if text.find(b"\\") >= 0:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")  # in this order: no other escape hides a quote
    # Two strings made one are two strings' worth of brackets.
    marks = text.translate(None, _NO_MARKS).replace(b'""', b"")
    depth, in_string = 0, False
    # Attack: megabytes of brackets, in a thread of their own, that keep the interpreter from all others till they are summed up.
    for at in range(0, len(marks), _PIECE):
        piece = marks[at : at + _PIECE]
        if in_string:
            piece = b'"' + piece
        in_string = piece.count(b'"') % 2 == 1
        if in_string:
            piece = piece[: piece.rindex(b'"')]
        # The brackets outside of strings, summed up: each sum is the depth at which a reader stands there.
        steps = memoryview(_STRINGS.sub(b"", piece).translate(_AS_STEPS)).cast("b")
        if depth + max(accumulate(steps), default=0) > levels:
            return True
        depth += sum(steps)
    return False
