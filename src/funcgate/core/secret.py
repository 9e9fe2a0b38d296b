"""Values that must never be shown: a wrapper that refuses to print, pickle or compare slowly.

It is no vault: it only stops a secret from slipping into a log line, a `repr` or a traceback.
"""

import hmac
from typing import NoReturn


class Secret:
    """A secret value. `reveal()` is the one way to read it, and easy to find in a review."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself. Call it only where the value is written to a target or scrubbed from a reply."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "Secret(…)"

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        # Attack: timing of an ordinary comparison tells how many leading characters were right.
        return isinstance(other, Secret) and hmac.compare_digest(self._value.encode(), other._value.encode())

    __hash__ = None  # type: ignore[assignment]  # a hash of a secret would end up as a key in some dump

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled")
