"""What administrators did, as the index holds it: when, what, who, and whether it announces that something expires."""

from typing import Any

import msgspec

from funcgate.core.entry import decode_line
from funcgate.recording.folder import Line
from funcgate.recording.retention.orders import EXPIRED, WITHHELD, by_the_keeper

from .fold import microseconds

_MAX_NAME = 200
_pack = msgspec.msgpack.Encoder().encode


def admin_rows(line: Line) -> list[tuple[Any, ...]]:
    """The row of one line, none if it cannot be read: seq, at, what, who, change, place, and whether it is of retention."""
    try:
        entry = decode_line(line.line)
    except (msgspec.MsgspecError, RecursionError):
        return []
    change = entry.change
    what = str(change.get("what", ""))
    who = entry.principal
    name = _spelled(change.get("by", "")) if who is None else f"{who.issuer}/{who.subject}"
    place = _pack([int(line.segment[:8]), line.offset])
    # Attack: an order left in the inbox that looks like the retention's, to have calls forgotten.
    due = what in (EXPIRED, WITHHELD) and by_the_keeper(change)
    return [
        (line.seq, microseconds(entry.at), what[:_MAX_NAME], name[:_MAX_NAME], msgspec.json.encode(change), place, due)
    ]


def _spelled(by: object) -> str:
    return by if isinstance(by, str) else msgspec.json.encode(by).decode()
