"""Names that a session gives to statements in SQL: cursors (DECLARE, FETCH) and prepared statements (PREPARE, EXECUTE).

What runs under such a name is judged as the statement that it stands for, each time. A value of EXECUTE that is no plain
constant is refused: an expression would run unseen. So is a name that a server may read as another one.
"""

import re
from typing import Any

from msgspec import structs

from .statement import Handle, Statement
from .tree import Node, node_of, refused

_ALL = 1 << 62  # FETCH ALL is written as a huge number
_BINARY, _HOLD = 0x01, 0x20  # of the options of DECLARE, as the parser has them
_MAX_NAME = 59  # a name of 60 bytes or more may be what the parser left of a longer one
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")
_PREPARED = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE"})


def declared(fields: Node) -> Handle:
    """The cursor of a DECLARE. Raises `Refused`."""
    options = fields.get("options", 0)
    if options & _BINARY:
        raise refused("a binary cursor: ask for the format of values in the protocol")
    return Handle(what="cursor", name=named(fields, "portalname"), hold=bool(options & _HOLD), makes=True)


def fetched(fields: Node) -> Handle:
    """What FETCH or MOVE asks for."""
    count = fields.get("howMany", 0)
    onward = fields.get("direction", "FETCH_FORWARD") == "FETCH_FORWARD"
    return Handle(
        what="cursor",
        name=named(fields, "portalname"),
        moves=bool(fields.get("ismove", False)),
        limit=count if onward and 0 <= count < _ALL else -1,
    )


def executed(fields: Node) -> Handle:
    """What EXECUTE asks for. Raises `Refused`."""
    values = tuple(_value(item) for item in fields.get("params", ()))
    return Handle(what="prepared", name=named(fields, "name"), values=values)


def ended(kind: str, fields: Node) -> Handle | None:
    """What CLOSE or DEALLOCATE ends; None for other statements."""
    if kind == "ClosePortalStmt":
        return Handle(what="cursor", name=named(fields, "portalname"), ends=True)
    if kind == "DeallocateStmt":
        return Handle(what="prepared", name=named(fields, "name"), ends=True)
    return None


def named(fields: Node, member: str) -> str:
    """The name, "" for none. Raises `Refused` for one that is not the same to every server."""
    name = str(fields.get(member, ""))
    # Attack: two long names that the server cuts to one; É, which a database in Latin 1 folds to é, and cuts elsewhere.
    if len(name) > _MAX_NAME or not name.isascii():
        raise refused(f"a name of a cursor or statement has at most {_MAX_NAME} characters, all of them ASCII")
    return name


def standing_for(use: Statement, made: Statement) -> Statement:
    """What a FETCH, MOVE or EXECUTE comes to. Raises `Refused`."""
    handle = use.handle
    if handle is None or (handle.what == "prepared" and made.args.get("command") not in _PREPARED):
        raise refused("a name that stands for something else")
    resolved = structs.replace(handle, made=made)
    args = {**made.args, "command": use.args["command"], "statements": use.args["statements"]}
    args["sql"] = f"{use.sql}\n/* {made.sql} */"
    if handle.what == "prepared":
        return structs.replace(made, sql=use.sql, args=args, handle=resolved, shared=None)
    args["limit"] = handle.limit if handle.limit >= 0 else made.args["limit"]
    outputs = () if handle.moves else made.outputs
    return structs.replace(made, sql=use.sql, args=args, handle=resolved, outputs=outputs, parameters=0, shared=None)


def shakes(statement: Statement) -> bool:
    """Whether cursors may be others after the statement, without a word of it."""
    # Attack: a function that closes the cursor of that name and opens another one, whose columns nobody knows.
    return statement.control in ("rollback", "rollback_to") or statement.function in ("call", "mixed", "do", "ddl")


def _value(item: Any) -> str | None:
    """A constant as text: what any parameter that it is given to would make of it, too. Raises `Refused`."""
    kind, fields = node_of(item)
    # Attack: EXECUTE p('secret, so not'::char(6)): what the policy compares is not what the statement gets.
    if kind != "A_Const":
        # Attack: EXECUTE p(pg_read_file('...')): a call that stands in no statement.
        raise refused("EXECUTE with anything but plain constants, without casts: bind values in the protocol")
    if fields.get("isnull"):
        return None
    if "sval" in fields:
        return str(fields["sval"].get("sval", ""))
    if "ival" in fields:
        return str(fields["ival"].get("ival", 0))
    if "boolval" in fields:
        return "true" if fields["boolval"].get("boolval", False) else "false"
    number = str(fields.get("fval", {}).get("fval", ""))
    # Attack: EXECUTE p(1e3), EXECUTE p(B'01'): a parameter of type text gets 1000, and 01.
    if not _NUMBER.fullmatch(number) or not number.strip("-0."):
        raise refused("EXECUTE with a number or a bit string in another form than it is shown in")
    return number
