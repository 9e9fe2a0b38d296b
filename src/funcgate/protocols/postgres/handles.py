"""The names that a session gave to statements in SQL: which cursor is which query, which EXECUTE is which statement.

It follows what the database answered, and refuses a name that it is not sure of: to forget one too many is safe. Cursors and
the protocol's portals have one space of names.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from msgspec import structs

from funcgate.catalog.sql import Handle, Statement, shakes, standing_for
from funcgate.core.refusal import Code, Refused

from .standing import Naming

_MOST = 1000  # cursors of one session
_WORDS = {"cursor": "cursor", "prepared": "prepared statement"}


class Named(Protocol):
    """The prepared statements of the session, however they were made; and the portals of the protocol."""

    def statement(self, name: str) -> Statement | None: ...

    def prepared(self, name: str, statement: Statement) -> None: ...

    def deallocated(self, name: str) -> None: ...

    def has_portal(self, name: str) -> bool: ...

    def portals_ended(self, name: str = "") -> None: ...

    def portals_shaken(self) -> None: ...


class Handles(Naming):
    def __init__(self, named: Named) -> None:
        self._named = named
        self._cursors: dict[str, tuple[Statement, Handle]] = {}

    def ahead(self) -> "Handles":
        """A copy, to judge the statements of one text as if those before them had run."""
        other = Handles(_Ahead(self._named))
        other._cursors = dict(self._cursors)
        return other

    def resolve(self, statement: Statement) -> Statement:
        """What the statement comes to: itself, unless it uses a name. Raises `Refused`."""
        handle = statement.handle
        if handle is None or handle.ends:
            return statement
        if handle.made is not None and not handle.makes:
            return statement  # looked up before, when it began to run
        found = self._found(handle)
        if handle.makes:
            # Attack: declare a harmless cursor under the name of one that is open; the server keeps the old one, we the new one.
            if found is not None or (handle.what == "cursor" and self._named.has_portal(handle.name)):
                sqlstate = "42P05" if handle.what == "prepared" else "42P03"
                raise _refused(f"there is a {_WORDS[handle.what]} {handle.name!r} already", sqlstate)
            if handle.what == "cursor" and len(self._cursors) >= _MOST:
                raise Refused(Code.REQUEST_TOO_LARGE, "The session holds too many cursors; close some.")
            return statement
        if found is None or found.handle is not None:
            sqlstate = "26000" if handle.what == "prepared" else "34000"
            raise _refused(f"there is no {_WORDS[handle.what]} {handle.name!r} in this session", sqlstate)
        return standing_for(self._with_values(statement, handle), found)

    def behind(self, statement: Statement | None) -> Statement | None:
        """What the name that the statement uses stands for: now, or when it began to run. None if it uses none, or there is
        nothing of that name."""
        handle = statement.handle if statement is not None else None
        if handle is None or handle.makes or handle.ends:
            return None
        return handle.made or self._found(handle)

    def took_effect(self, statement: Statement, *, values: Sequence[Any] = (), failed: bool = False) -> None:
        """After the statement ran, with these bound values. What ends names does so in any case."""
        handle = statement.handle
        if shakes(statement):
            self._cursors.clear()
            self._named.portals_shaken()
        if statement.control in ("commit", "rollback"):
            # Attack: COMMIT AND CHAIN, or COMMIT; BEGIN in one text: no moment without a transaction, and all names are free.
            self.transaction_ended()
        if statement.args.get("command") == "DISCARD":
            self.closed("")
            self._named.deallocated("")
        elif handle is None:
            return
        elif handle.ends and handle.what == "prepared":
            self._named.deallocated(handle.name)
        elif handle.ends:
            self.closed(handle.name)
        elif failed or not handle.makes or handle.made is None:
            return
        elif handle.what == "cursor":
            self._cursors[handle.name] = (handle.made, structs.replace(handle, values=tuple(values)))
        else:
            self._named.prepared(handle.name, handle.made)

    def transaction_ended(self) -> None:
        """Cursors and portals end with the transaction that they were made in, but for those WITH HOLD."""
        self._named.portals_ended()
        if self._cursors:
            self._cursors = {name: found for name, found in self._cursors.items() if found[1].hold}

    def cursor(self, name: str) -> Statement | None:
        """The query of the open cursor of that name."""
        found = self._cursors.get(name)
        return found[0] if found is not None else None

    def closed(self, name: str) -> None:
        """A cursor or portal was closed; all of them if `name` is ""."""
        self._named.portals_ended(name)
        if name:
            self._cursors.pop(name, None)
        else:
            self._cursors.clear()

    def _with_values(self, statement: Statement, handle: Handle) -> Statement:
        """A FETCH shows the values that its cursor was declared with."""
        if handle.what == "prepared":
            return statement
        return structs.replace(statement, handle=structs.replace(handle, values=self._cursors[handle.name][1].values))

    def _found(self, handle: Handle) -> Statement | None:
        if handle.what == "prepared":
            return self._named.statement(handle.name)
        return self.cursor(handle.name)


class _Ahead:
    """Prepared statements and portals as they would be, were the text's statements to run."""

    def __init__(self, named: Named) -> None:
        self._named = named
        self._changed: dict[str, Statement | None] = {}
        self._all_gone = self._no_portals = False
        self._closed: set[str] = set()

    def statement(self, name: str) -> Statement | None:
        if name in self._changed or self._all_gone:
            return self._changed.get(name)
        return self._named.statement(name)

    def prepared(self, name: str, statement: Statement) -> None:
        self._changed[name] = statement

    def deallocated(self, name: str) -> None:
        if name:
            self._changed[name] = None
        else:
            self._changed.clear()
            self._all_gone = True

    def has_portal(self, name: str) -> bool:
        return not self._no_portals and name not in self._closed and self._named.has_portal(name)

    def portals_ended(self, name: str = "") -> None:
        self._no_portals = self._no_portals or not name
        self._closed.add(name)

    def portals_shaken(self) -> None:
        """They keep their names."""


def _refused(detail: str, sqlstate: str) -> Refused:
    return Refused(Code.REQUEST_INVALID, f"SQL: {detail}", public={"sqlstate": sqlstate})
