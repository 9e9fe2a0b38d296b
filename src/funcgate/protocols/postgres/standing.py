"""What of a session is looked at for each statement, where the compiled half can read it as it is (`_standing.pxi`).

It holds values, and follows nothing: who changes them is the session, its exchanges and origins.py.
"""

from typing import TYPE_CHECKING

from funcgate.core.native import half

_native = half("funcgate.protocols.postgres._drive")


class Standing:
    """A session's connections, its target and token, how far its statement is, and what is held for its caller."""


class Knowledge:
    """`version` is another one whenever tables may be others, `until` the monotonic clock when what is known is too old."""

    version: int
    until: float


class Linked:
    """A session's connection to its database: `channel`, and `state`, which is what the last ReadyForQuery said."""


class Gathering:
    """Whether messages of the extended protocol have `_failed`, and those that are `_waiting`."""


class Naming:
    """The `_cursors` that a session has open."""


if not TYPE_CHECKING and _native is not None:
    Standing, Knowledge = _native.Standing, _native.Knowledge
    Linked, Gathering, Naming = _native.Linked, _native.Gathering, _native.Naming
