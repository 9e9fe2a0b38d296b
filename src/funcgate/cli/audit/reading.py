"""`funcgate audit list|show`: what the journal tells of calls. Only reads; the gateway may run or not."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from funcgate.cli.say import DEFAULT_CONFIG, AsJson, ConfigFile, console, plain, print_json

from .finding import Finder, Scan, filters_of, found_call
from .folder import DataDir, data_of, readable

if TYPE_CHECKING:
    from funcgate.core.entry import Entry
    from funcgate.recording.calls import CallRecord


def list_calls(
    principal: Annotated[str, typer.Option("--principal", help="SUBJECT, user:SUBJECT or group:NAME.")] = "",
    group: Annotated[str, typer.Option("--group", help="A group that the caller was in.")] = "",
    function: Annotated[str, typer.Option("--function", help="TARGET.FUNCTION, with * as a wildcard.")] = "",
    target: Annotated[str, typer.Option("--target")] = "",
    decision: Annotated[str, typer.Option("--decision", help="allow, deny, ask or none.")] = "",
    code: Annotated[str, typer.Option("--code", help="Why it was refused, such as policy.denied or identity.*.")] = "",
    policy: Annotated[str, typer.Option("--policy", help="A policy that decided.")] = "",
    session: Annotated[str, typer.Option("--session")] = "",
    client: Annotated[str, typer.Option("--client", help="An address, or a network: 10.1.0.0/16.")] = "",
    approver: Annotated[str, typer.Option("--approver", help="Somebody who answered for the call.")] = "",
    text: Annotated[
        str, typer.Option("--text", help='Words of arguments and answers: all, "in order", or begin*.')
    ] = "",
    since: Annotated[str, typer.Option("--since", help="A time (RFC 3339), a date, or how long ago: 15m.")] = "",
    until: Annotated[str, typer.Option("--until", help="As --since; calls before it.")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many.")] = 50,
    cursor: Annotated[str, typer.Option("--cursor", help="Where the page before this one ended.")] = "",
    admin: Annotated[bool, typer.Option("--admin", help="List changes of the gateway instead of calls.")] = False,
    scan: Scan = False,
    config: ConfigFile = DEFAULT_CONFIG,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List calls, newest first."""
    filters = filters_of(
        as_json, principal=principal, group=group, function=function, target=target, decision=decision, code=code,
        policy=policy, session=session, client=client, approver=approver, text=text, since=since, until=until,
    )  # fmt: skip
    data = data_of(config, data_dir, as_json)
    with readable(data / "journal", as_json) as damaged:
        finder = Finder(data, config, damaged, scan=scan, as_json=as_json)
        if admin:
            _print_changes(finder.changes(filters, limit), as_json)
            return
        page = finder.page(filters, limit, cursor)
    if as_json:
        print_json(page.calls)
    else:
        _print_list(page.calls)
    if page.cursor:
        typer.echo(f"more: --cursor {page.cursor}", err=True)


def show_call(
    call: Annotated[str, typer.Argument(help="The call's id: Funcgate-Call-Id, or as `audit list` prints it.")],
    scan: Scan = False,
    config: ConfigFile = DEFAULT_CONFIG,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show everything that the journal holds of one call."""
    data = data_of(config, data_dir, as_json)
    record = found_call(data, call, config, scan=scan, as_json=as_json)
    if as_json:
        print_json(record)
    else:
        _print_call(record)


def _print_changes(found: "list[Entry]", as_json: bool) -> None:
    from rich.table import Table

    if as_json:
        print_json(found)
        return
    table = Table("seq", "at", "outcome", "change", box=None, pad_edge=False)
    for entry in found:
        change = plain(_change(entry.change))
        table.add_row(str(entry.seq), plain(entry.at[:23].replace("T", " ")), plain(entry.outcome or "-"), change)
    console().print(table)


def _change(change: Mapping[str, Any]) -> str:
    """``what=configuration old=3f2a… new=77c1…``: one line, digests shortened; problems below each other."""
    said = [f"{name}={_brief(value)}" for name, value in change.items() if name != "problems"]
    return "\n".join([" ".join(said), *map(str, change.get("problems", ()))])


def _brief(value: Any) -> str:
    if isinstance(value, list) and len(value) > 3:
        return f"({len(value)} of them)"
    text = str(value)
    return f"{text[:12]}…" if len(text) == 64 else text


def _print_list(found: "list[CallRecord]") -> None:
    from rich.table import Table

    table = Table(
        "call", "at", "who", "function", "decision", "outcome", "status", "policies", box=None, pad_edge=False
    )
    for record in found:
        decided = f"{record.decision} {record.code}".strip()
        if record.count:
            decided += f" ×{record.count}"
        policies = ", ".join(record.policy.names) if record.policy is not None else ""
        cells = (
            record.id, record.at[:23].replace("T", " "), record.principal.subject if record.principal else "-",
            record.function or record.target or "-", decided, record.outcome or "-", str(record.status or "-"), policies,
        )  # fmt: skip
        table.add_row(*map(plain, cells))
    console().print(table)


def _print_call(record: "CallRecord") -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    for name, value in _facts(record):
        if value:
            table.add_row(name, plain(value))
    out = console()
    out.print(table)
    out.print()
    entries = Table("seq", "at", "kind", "", box=None, pad_edge=False)
    for entry in record.entries:
        entries.add_row(str(entry.seq), plain(entry.at), entry.kind, plain(entry.code or entry.outcome))
    out.print(entries)


def _facts(record: "CallRecord") -> Iterator[tuple[str, str]]:
    who = record.principal
    yield "call", record.id
    yield "at", f"{record.at} – {record.ended_at}" if record.ended_at else record.at
    if who is not None:
        acting = f", acts for {who.acts_for}" if who.acts_for else ""
        yield "who", f"{who.issuer}/{who.subject} ({', '.join(who.groups) or 'no groups'}){acting}, token {who.token}"
    yield "from", record.client
    yield "session", record.session
    yield "trace", record.trace
    yield "function", record.function or record.target
    yield "arguments", _text(record.args)
    yield "digest", record.digest
    yield "reason given", record.reason
    yield "decision", f"{record.decision} {record.code}".strip()
    if record.policy is not None:
        yield "policies", f"{', '.join(record.policy.names) or 'none'} (version {record.policy.version[:12]})"
    yield "detail", record.detail
    yield "outcome", f"{record.outcome} {record.status or ''}".strip()
    yield "masked", ", ".join(f"{name} {count}" for name, count in sorted(record.masked.items()))
    yield "time", ", ".join(f"{step} {us} µs" for step, us in record.timing_us.items())
    yield "fields", "\n".join(f"{name}: {value}" for name, value in record.fields)
    yield "answer", f"{record.body_bytes} bytes{', cut here' if record.body_cut else ''}" if record.body_bytes else ""
    yield "", _text(record.body)


def _text(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else bytes(value).decode()
