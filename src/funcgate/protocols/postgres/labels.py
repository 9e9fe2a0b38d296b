"""Who calls, as the database's own log and pg_stat_activity show it: `application_name` begins with the caller's name.

Drivers set that name when they begin (JDBC does). What they ask for goes behind the caller's name, and is judged as it is sent.
"""

import re

from msgspec import structs

from funcgate.catalog.sql import Statement

_MAX = 63  # the server cuts longer names
_UNPRINTABLE = re.compile(r"[^ -~]")
_SETTING = "application_name"
_DANGER = f"setting {_SETTING}"
_LOCAL = re.compile(r"\s*SET\s+LOCAL\b", re.IGNORECASE)


def label(subject: str, own: str) -> str:
    """The name of a connection: whose it is, and what the caller calls itself."""
    name = f"funcgate {subject}" + (f" {own}" if own else "")
    return _UNPRINTABLE.sub("?", name)[:_MAX]


def labelled(statement: Statement, subject: str) -> Statement:
    """A SET of the name as it will be sent; RESET goes back to the name that the connection began with. Others as they are."""
    args = statement.args
    if args.get("setting") != _SETTING or statement.function != "set":
        return statement
    harmless = [danger for danger in args["dangerous"] if danger != _DANGER]
    if args["command"] == "RESET":
        return structs.replace(statement, args={**args, "dangerous": harmless}, shared=None)
    # Attack: take another caller's name in the database's log.
    name = label(subject, args["value"])
    local = bool(_LOCAL.match(statement.sql))  # it stays what the guarded preset denies
    sql = f"SET {'LOCAL ' if local else ''}{_SETTING} = '{name.replace(chr(39), chr(39) * 2)}'"
    named = {**args, "sql": sql, "value": name, "dangerous": args["dangerous"] if local else harmless}
    return structs.replace(statement, sql=sql, args=named, shared=None)
