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


class Silent:
    """Lines that are recorded, and no message: so many of them."""

    __slots__ = ("left",)

    def __init__(self, left: int) -> None:
        self.left = left

    def behind(self, lines: bytes, at: int) -> int:
        """Where what is behind them begins, as far as they are there."""
        if self.left == lines.count(b"\n", at):
            self.left = 0
            return len(lines)
        while self.left and at < len(lines):
            at = lines.index(b"\n", at) + 1
            self.left -= 1
        return at
