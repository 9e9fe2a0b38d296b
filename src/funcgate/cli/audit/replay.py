"""`funcgate audit replay`: a session played back in the terminal, at the pace at which it happened; or two compared."""

import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from funcgate.cli.say import DEFAULT_CONFIG, UNUSABLE, AsJson, ConfigFile, console, fail, plain, print_json

from .content import opener_of
from .folder import DataDir, data_of, readable

if TYPE_CHECKING:
    from rich.text import Text

    from funcgate.core.entry import Entry
    from funcgate.recording.contents import Opener
    from funcgate.recording.replay.compare import Pair
    from funcgate.recording.replay.finding import Session
    from funcgate.recording.replay.score import Beat

SHORT = 400  # characters of one argument list or piece of an answer


def replay_session(
    session: Annotated[str, typer.Argument(help="The session, or the name of its run.")],
    speed: Annotated[float, typer.Option("--speed", min=0.001, help="How many times as fast as it happened.")] = 1.0,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not keep the pace: print all at once.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Show arguments and answers whole, however long.")] = False,
    diff: Annotated[str, typer.Option("--diff", metavar="OTHER", help="Compare with this session instead.")] = "",
    config: ConfigFile = DEFAULT_CONFIG,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Play a session back: its calls in their order, with decisions, answers and times. Nothing is called again."""
    data = data_of(config, data_dir, as_json)
    with readable(data / "journal", as_json) as damaged, suppress(KeyboardInterrupt):
        record = _Record(data, opener_of(data, config, as_json), damaged, as_json)
        if diff:
            _compare(record, record.session(session), record.session(diff), full)
            return
        found = record.session(session)
        if as_json:
            _print_calls(record, found)
        else:
            _play(record, found, 0.0 if no_wait else speed, full)


class _Record:
    """Where the entries come from."""

    def __init__(self, data: Path, opener: "Opener", damaged: list[str], as_json: bool) -> None:
        self._journal = data / "journal"
        self._opener = opener
        self._damaged = damaged
        self.as_json = as_json

    def session(self, wanted: str) -> "Session":
        """The one session of that name; ends the command if there is none, or if several principals have one."""
        from funcgate.recording.replay.finding import find

        found = find(self._journal, wanted, damaged=self._damaged.append, opened=self._opener.open)
        if not found:
            raise fail(f"the journal has no session {plain(wanted)}", as_json=self.as_json)
        if len(found) > 1:
            names = ", ".join(f"{one.id} ({_who(one)}, {one.calls} calls)" for one in found)
            text = f"{len(found)} sessions are called {wanted}; say which: {names}"
            raise fail(plain(text), status=UNUSABLE, as_json=self.as_json)
        return found[0]

    def entries(self, session: "Session") -> "Iterator[Entry]":
        from funcgate.recording.replay.finding import entries_of

        return entries_of(self._journal, session, damaged=self._damaged.append, opened=self._opener.open)


def _play(record: _Record, session: "Session", speed: float, full: bool) -> None:
    from funcgate.recording.replay.score import beats

    from .beats import lines_of

    out = console()
    out.print(_heading(session), soft_wrap=True)
    for beat in _paced(beats(record.entries(session)), speed):
        for line in lines_of(beat, SHORT if not full else 0):
            out.print(line, soft_wrap=True)


def _paced(played: "Iterable[Beat]", speed: float) -> "Iterator[Beat]":
    """The beats, each when it is its turn; a late one does not make the next ones late. 0 waits for nothing."""
    began = time.monotonic()
    for beat in played:
        if speed:
            time.sleep(max(0.0, began + beat.offset_s / speed - time.monotonic()))
        yield beat


def _heading(session: "Session") -> "Text":
    from rich.text import Text

    said = f"session {session.id} · {_who(session)} · {session.calls} calls · {session.began_at} – {session.last_at}"
    return Text(plain(said), style="bold")


def _who(session: "Session") -> str:
    who = session.principal
    return f"{who.issuer}/{who.subject}" if who is not None else "unknown"


def _print_calls(record: _Record, session: "Session") -> None:
    from funcgate.recording.replay.score import played

    print_json({"session": session, "calls": played(record.entries(session))})


def _compare(record: _Record, first: "Session", second: "Session", full: bool) -> None:
    from funcgate.recording.replay.compare import compare
    from funcgate.recording.replay.score import played

    pairs = compare(played(record.entries(first)), played(record.entries(second)))
    same = all(pair.same for pair in pairs)
    if record.as_json:
        print_json({"first": first, "second": second, "same": same, "calls": pairs})
        return
    out = console()
    for session in (first, second):
        out.print(_heading(session), soft_wrap=True)
    for pair in pairs:
        for line in _pair_lines(pair, SHORT if not full else 0):
            out.print(line, soft_wrap=True)
    if same:
        typer.echo("the same calls, decisions and answers")


def _pair_lines(pair: "Pair", limit: int) -> "Iterator[Text]":
    from rich.text import Text

    from .beats import short

    function = short(pair.function or "-", limit)
    if not pair.second:
        yield Text(f"- {pair.first:>3}     {function}", style="red")
    elif not pair.first:
        yield Text(f"+     {pair.second:>3} {function}", style="green")
    else:
        yield Text(
            f"{' ' if pair.same else '~'} {pair.first:>3} {pair.second:>3} {function}",
            style="dim" if pair.same else "yellow",
        )
    for one in pair.differences:
        yield Text(f"          {short(one.what, limit)}: {short(one.first, limit)} → {short(one.second, limit)}")
