"""Where secrets come from: the environment, read once, and files, read again when they change.

A source that fails says why in words that hold no secret; it never hands out an old value in place of a new one.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from funcgate.core.secret import Secret

MAX_BYTES = 64 * 1024


class Unreadable(Exception):
    """A secret that cannot be had. Its text is for the operator."""


def from_environment(name: str, environ: Mapping[str, str]) -> Secret | None:
    """The variable's value, None if it is not set."""
    return Secret(environ[name]) if name in environ else None


class SecretFile:
    """A file with one secret in it. One newline at its end is not part of the secret."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, ...] | None = None

    def changed(self) -> bool:
        """Whether the file is another one than was read last; also when it is gone."""
        try:
            return _mark(os.stat(self.path)) != self._seen
        except OSError:
            return True

    def read(self) -> Secret:
        """The secret as it is now. Raises `Unreadable`."""
        self._seen = None
        try:
            with open(os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
                found = os.fstat(file.fileno())
                secret = _text(file.read(MAX_BYTES + 1)) if stat.S_ISREG(found.st_mode) else None
        except OSError as error:
            raise Unreadable(f"{self.path} cannot be read ({error.strerror})") from None
        if secret is None:
            raise Unreadable(f"{self.path} is not a file of UTF-8 text of at most {MAX_BYTES} bytes")
        self._seen = _mark(found)
        return secret

    def exposure(self) -> str:
        """Who else on this machine may touch the file, or ""."""
        try:
            mode = os.stat(self.path).st_mode
        except OSError:
            return ""
        verbs = [verb for bit, verb in ((stat.S_IROTH, "read"), (stat.S_IWOTH, "written")) if mode & bit]
        return f"can be {' and '.join(verbs)} by every user of this machine" if verbs else ""


def _mark(found: os.stat_result) -> tuple[int, ...]:
    return (found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev, found.st_size)


def _text(data: bytes) -> Secret | None:
    """The file's text without its last line end; None if it is too long or no UTF-8."""
    if len(data) > MAX_BYTES:
        return None
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return Secret(text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text)
