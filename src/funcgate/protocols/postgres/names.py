"""A session's prepared statements and portals by their names, and what SQL does with these (see handles.py).

Values only: nothing is sent from here.
"""

from msgspec import structs

from funcgate.catalog.sql import Output, Statement, own_text

from .statement import Portal, Prepared

_ANYTHING = (Output("", None, star=True),)


class Names:
    def __init__(self) -> None:
        self.statements: dict[str, Prepared] = {}
        self.portals: dict[str, Portal] = {}

    def statement(self, name: str) -> Statement | None:
        """What EXECUTE of that name runs."""
        found = self.statements.get(name)
        statement = found.statement if found is not None else None
        if found is None or statement is None or not statement.template:
            return statement
        text = own_text(found.sql)  # a template's is another caller's
        return structs.replace(statement, sql=text, args={**statement.args, "sql": text}, template=False, shared=None)

    def prepared(self, name: str, statement: Statement) -> None:
        """After PREPARE."""
        self.statements[name] = Prepared(statement.sql, statement, ())

    def deallocated(self, name: str) -> None:
        """After DEALLOCATE, of all if `name` is "": names may be given anew."""
        if name:
            self.statements.pop(name, None)
        else:
            self.statements.clear()

    def has_portal(self, name: str) -> bool:
        return name in self.portals

    def portals_ended(self, name: str = "") -> None:
        """That one, or all."""
        if name:
            self.portals.pop(name, None)
        else:
            self.portals.clear()

    def portals_shaken(self) -> None:
        """Nobody can tell any more which columns they bring, nor of what."""
        # Attack: a function that closes a portal, and opens a cursor on something hidden under its name.
        for portal in self.portals.values():
            statement = portal.prepared.statement
            if statement is not None:
                unknown = structs.replace(statement, outputs=_ANYTHING)
                portal.prepared, portal.columns = (
                    structs.replace(portal.prepared, statement=unknown, columns=None),
                    None,
                )
