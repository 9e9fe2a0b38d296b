"""JSON lines: the journal's own entries, opened. A call's entries stand together when calls were chosen."""

from typing import ClassVar

from funcgate.core.entry import Entry, encode_line
from funcgate.recording.calls import CallRecord


class JsonLines:
    suffix: ClassVar[str] = "jsonl"
    admin: ClassVar[bool] = True
    content: ClassVar[bool] = True
    appends: ClassVar[bool] = True

    def header(self) -> bytes:
        return b""

    def row(self, what: CallRecord | Entry) -> bytes:
        entries = (what,) if isinstance(what, Entry) else what.entries
        return b"".join(map(encode_line, entries))

    def footer(self) -> bytes:
        return b""
