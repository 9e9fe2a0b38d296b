"""Messages that wait for their masked lines, rows many at once."""

Said = tuple[bytes | None, bytes, bytes]  # the line, or None if it was changed; the type; the message


class Batch:
    """Rows that were taken together: their lines in one text, and which of them hide something."""

    __slots__ = ("changed", "raw", "text")

    def __init__(self, text: bytes, raw: bytes, changed: frozenset[int]) -> None:
        self.text = text
        self.raw = raw
        self.changed = changed

    def apart(self) -> list[Said]:
        """Row by row."""
        found: list[Said] = []
        at = 0
        for number, line in enumerate(self.text.split(b"\n")[:-1]):
            end = at + 1 + int.from_bytes(self.raw[at + 1 : at + 5], "big")
            found.append((None if number in self.changed else line, self.raw[at : at + 1], self.raw[at:end]))
            at = end
        return found
