"""What the demo prints. It formats what it is given and explains nothing by itself."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from funcgate.core.entry import Entry, encode_line

from .record import Told
from .scenario import Tried

WIDE = 150
_COLOURS = {"allowed": "green", "held": "yellow", "denied": "red"}


def console() -> Console:
    """A console as wide as the terminal, or wide enough for the tables when the output goes elsewhere."""
    plain = Console()
    return plain if plain.is_terminal else Console(width=max(plain.width, WIDE))


def scenario_table(played: Sequence[tuple[Tried, Told]]) -> Table:
    """One row for each call: what was tried, what funcgate recorded about it, and what the caller got."""
    table = Table(
        title="What each caller tried, what funcgate decided and why (from its journal), what came back", expand=True
    )
    for name, ratio in (("step", 9), ("caller", 9), ("tried", 15), ("decided", 4), ("why", 14), ("came back", 15)):
        table.add_column(name, ratio=ratio, overflow="fold")
    for tried, told in played:
        step = tried.step
        body = "" if step.body is None else f" {_compact(step.body)}"
        table.add_row(
            step.name,
            told.who or "unknown",
            Text(f"{step.method} {step.path}{body}"),
            Text(told.decided, style=_COLOURS.get(told.decided, "")),
            Text("; ".join(part for part in (told.why, told.masked and f"masked: {told.masked}") if part)),
            Text(f"{tried.status} {_came_back(tried)}"),
        )
    return table


def _came_back(tried: Tried) -> str:
    if tried.code:
        return tried.code
    return _compact({name: tried.answer[name] for name in tried.step.show if name in tried.answer})


def _compact(value: Mapping[str, Any]) -> str:
    return json.dumps(value)


def side_by_side(sent: Any, delivered: Any) -> Table:
    """An answer as the target sent it, beside the same answer as the caller got it."""
    table = Table(title="The same answer, before and after", show_lines=True)
    table.add_column("what the payments service sent", ratio=1)
    table.add_column("what the caller got", ratio=1)
    table.add_row(
        *(Syntax(json.dumps(one, indent=1), "json", theme="ansi_dark", word_wrap=True) for one in (sent, delivered))
    )
    return table


def credentials_table(shown: str, seen: str, echoed: str) -> Table:
    """Whose credential went where, by fingerprints only."""
    table = Table(title="Two credentials that never meet (SHA-256 fingerprints)", show_header=False)
    table.add_row("the token that the caller showed to funcgate", shown)
    table.add_row("the API key that the payments service saw", seen)
    table.add_row("that key, echoed by the service, as the caller got it", echoed)
    return table


def terminal(title: str, said: Iterable[tuple[str, str]]) -> Panel:
    """What somebody typed and saw."""
    return Panel(Text("\n\n".join(f"$ {command}\n{shown}" for command, shown in said)), title=title)


def journal_table(entries: Iterable[Entry]) -> Table:
    """The journal's lines, one row each."""
    table = Table(title="The journal of it all")
    for name in ("seq", "at", "call", "kind", "who", "function", "what the line says"):
        table.add_column(name, no_wrap=name in ("seq", "kind", "call", "at"), overflow="fold")
    for entry in entries:
        who = "" if entry.principal is None else entry.principal.subject
        call = entry.call[-6:]
        table.add_row(str(entry.seq), entry.at[11:23], call, entry.kind, who, entry.function, Text(_says(entry)))
    return table


def _says(entry: Entry) -> str:
    parts: list[str] = []
    if entry.args is not None:
        parts.append(bytes(entry.args).decode())
    if entry.policy is not None and entry.policy.names:
        parts.append(", ".join(entry.policy.names))
    parts += [part for part in (entry.code, entry.detail, entry.outcome) if part]
    if entry.status:
        parts.append(str(entry.status))
    if entry.change:
        parts.append(json.dumps({name: _brief(value) for name, value in entry.change.items()}))
    if entry.masked:
        parts.append("masked " + _compact(entry.masked))
    return " · ".join(parts)


def _brief(value: Any) -> Any:
    """What is long is counted: a configuration's text stands in the record, and need not be in the table."""
    text = value if isinstance(value, str) else json.dumps(value)
    return value if len(text) <= 80 else f"({len(text)} characters)"


def one_line(entry: Entry) -> Syntax:
    """One line of the journal as it is in the file."""
    return Syntax(encode_line(entry).decode().rstrip(), "json", theme="ansi_dark", word_wrap=True)
