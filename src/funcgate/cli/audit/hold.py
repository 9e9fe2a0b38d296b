"""`funcgate audit hold add|list|release`: legal holds. They are ordered through the inbox, and stand once they are recorded."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from funcgate.cli.say import DEFAULT_CONFIG, UNUSABLE, AsJson, ConfigFile, console, fail, plain, print_json

from .folder import DataDir, data_of, readable

hold = typer.Typer(help="Keep calls from expiring.", no_args_is_help=True)

Reason = Annotated[str, typer.Option("--reason", help="Why; it is recorded.")]


@hold.command("add")
def add_hold(
    reason: Reason,
    session: Annotated[str, typer.Option("--session", help="The session, or the name of its run.")] = "",
    principal: Annotated[str, typer.Option("--principal", help="SUBJECT, ISSUER/SUBJECT or group:NAME.")] = "",
    query: Annotated[
        str, typer.Option("--query", help='Filters as of audit list: "function=pay.* since=2026-01-01".')
    ] = "",
    config: ConfigFile = DEFAULT_CONFIG,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Hold the calls of a session, of a principal, or those that a query finds, past and future."""
    from funcgate.recording.retention.holds import Hold, order_to_hold

    data = data_of(config, data_dir, as_json)
    try:
        placed = Hold(id="", session=session, principal=principal, query=_query(query), reason=reason)
        change = order_to_hold(placed)
    except ValueError as error:
        raise fail(str(error), status=UNUSABLE, as_json=as_json) from None
    if session:
        _warn_if_unknown(data, session, as_json)
    leave_order(data, change, as_json)


@hold.command("release")
def release_hold(
    named: Annotated[str, typer.Argument(metavar="ID", help="The hold's id, as `hold list` prints it.")],
    reason: Reason,
    config: ConfigFile = DEFAULT_CONFIG,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """End a hold: what it covered expires when it is due."""
    from funcgate.recording.retention.holds import order_to_release

    data = data_of(config, data_dir, as_json)
    standing, waiting = _holds(data, as_json)
    if named not in [one["id"] for one in (*standing, *waiting)]:
        raise fail(f"there is no hold {plain(named)}; see funcgate audit hold list", as_json=as_json)
    try:
        change = order_to_release(named, reason)
    except ValueError as error:
        raise fail(str(error), status=UNUSABLE, as_json=as_json) from None
    leave_order(data, change, as_json)


@hold.command("list")
def list_holds(config: ConfigFile = DEFAULT_CONFIG, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the holds that stand, and those that wait for a gateway to record them."""
    from rich.table import Table

    standing, waiting = _holds(data_of(config, data_dir, as_json), as_json)
    if as_json:
        print_json({"holds": standing, "waiting": waiting})
        return
    table = Table("id", "since", "on", "by", "reason", box=None, pad_edge=False)
    for one in (*standing, *waiting):
        cells = (
            one["id"],
            one["at"][:19].replace("T", " ") or "not recorded yet",
            one["on"],
            one["who"],
            one["reason"],
        )
        table.add_row(*(plain(cell.replace("\n", " ")) for cell in cells))
    console().print(table)


def _holds(data: Path, as_json: bool) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Those that stand, oldest first, and those that wait in the inbox."""
    from funcgate.recording.folder import lines
    from funcgate.recording.reader import read_line
    from funcgate.recording.retention.holds import Holds, after

    standing: Holds = ()
    with readable(data / "journal", as_json) as damaged:
        for line in lines(data / "journal", damaged=damaged.append):
            # Reading every line of a large journal takes minutes; looking for these bytes takes seconds.
            if b'"kind":"admin"' in line.line and (entry := read_line(line)) is not None:
                standing = after(standing, entry)
    return [_row(one) for one in standing], [_row(one) for one in _waiting(data)]


def _waiting(data: Path) -> list[Any]:
    from funcgate.core.entry import Entry, Kind
    from funcgate.recording import inbox
    from funcgate.recording.retention.holds import HOLD, hold_of

    found = []
    folder = data / inbox.FOLDER
    for path in inbox.waiting(folder) if folder.is_dir() else ():
        try:
            order = inbox.read(path)
        except (inbox.BadOrder, OSError):
            continue  # the gateway says what is wrong with it
        if order.change["what"] == HOLD:
            change = {**order.change, "order": order.id, "by": {"user": order.owner}}
            found.append(hold_of(Entry(kind=Kind.ADMIN, call="", change=change)))
    return found


def _row(one: Any) -> dict[str, str]:
    return {"id": one.id, "at": one.at, "on": one.on, "who": one.who, "reason": one.reason}


def _query(text: str) -> dict[str, str]:
    """``name=value …`` as filters, times made absolute. Raises `ValueError`."""
    from funcgate.recording.reader import moment

    found: dict[str, str] = {}
    for part in shlex.split(text):
        name, equals, value = part.partition("=")
        if not equals or not value or name in found:
            raise ValueError(f"{part!r} is not NAME=VALUE, once for each name")
        found[name] = moment(value) if name in ("since", "until") else value
    return found


def _warn_if_unknown(data: Path, session: str, as_json: bool) -> None:
    from funcgate.recording.replay.finding import find

    with readable(data / "journal", as_json) as damaged:
        if not find(data / "journal", session, damaged=damaged.append):
            typer.echo(f"warning: the journal has no session {plain(session)} yet", err=True)


def leave_order(data: Path, change: Mapping[str, Any], as_json: bool) -> None:
    """Put it into the inbox, and say so."""
    from funcgate.recording import inbox

    try:
        order = inbox.order(data, change)
    except inbox.BadOrder as bad:
        raise fail(str(bad), as_json=as_json) from None
    except OSError as error:
        raise fail(f"{error.filename or data}: {error.strerror}", as_json=as_json) from None
    if as_json:
        print_json({"ordered": order, **change})
    else:
        typer.echo(f"ordered: {order} (it stands once the gateway has recorded it; see funcgate audit hold list)")
