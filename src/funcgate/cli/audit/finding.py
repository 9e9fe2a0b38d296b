"""How the verbs find calls: by the index, brought up to date first; by reading the journal where there is none.

The index finds and the journal tells: whichever way, what is shown are the journal's own lines.
"""

import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from funcgate.cli.say import UNUSABLE, fail, plain

from .content import key_of, opener_of
from .folder import readable

if TYPE_CHECKING:
    from funcgate.core.entry import Entry
    from funcgate.recording.calls import CallRecord
    from funcgate.recording.contents import Opener
    from funcgate.recording.index.asking import Answers, Page
    from funcgate.recording.index.people import Caller
    from funcgate.recording.reader import Filters

Scan = Annotated[bool, typer.Option("--scan", help="Read the journal itself, without the index.")]
_Answer = TypeVar("_Answer")
_MANY = 50_000  # lines; indexing so many takes seconds, and is shown


def filters_of(as_json: bool, *, since: str = "", until: str = "", **given: str) -> "Filters":
    """The filters; ends the command for a time that is none."""
    from funcgate.recording.reader import Filters, moment

    try:
        return Filters(since=moment(since) if since else "", until=moment(until) if until else "", **given)
    except ValueError as error:
        raise fail(str(error), status=UNUSABLE, as_json=as_json) from None


def found_call(data: Path, call: str, config: Path, *, scan: bool, as_json: bool) -> "CallRecord":
    """The call of that name; ends the command if there is none."""
    with readable(data / "journal", as_json) as damaged:
        finder = Finder(data, config, damaged, scan=scan, as_json=as_json)
        record = finder.call(call)
    if record is None:
        raise fail(f"the journal has no call {call}", as_json=as_json)
    for lost in dict.fromkeys(lost for entry in record.entries for lost in finder.opener.lacking(entry)):
        typer.echo(plain(f"warning: {lost.cls} is not shown, {lost.why}: {lost.text}"), err=True)
    return record


class Finder:
    """Asks the record in one data folder. `damaged` collects the segments of lines that cannot be read."""

    def __init__(self, data: Path, config: Path, damaged: list[str], *, scan: bool, as_json: bool) -> None:
        from funcgate.recording.index.database import NAME
        from funcgate.recording.index.keys import secret_of

        self._data, self._damaged, self._as_json = data, damaged, as_json
        self._journal = data / "journal"
        self._by_index = not scan and (data / NAME).exists()
        self.opener: Opener = opener_of(data, config, as_json)
        key = key_of(config, as_json) if self._by_index and config.exists() else None
        self._secret = secret_of(None if key is None else bytes.fromhex(key.reveal()))

    def page(self, filters: "Filters", limit: int, cursor: str = "") -> "Page":
        """Calls, newest first. Raises `OSError`, and `ValueError` for a filter or cursor that means nothing."""
        from funcgate.recording.index.asking import Page
        from funcgate.recording.reader import read_calls

        found = self._asked(lambda answers: answers.page(filters, limit, cursor))
        if found is not None:
            self._tell_away()
            return found
        if cursor:
            raise fail("a cursor needs the index", status=UNUSABLE, as_json=self._as_json)
        scanned = read_calls(self._journal, filters, damaged=self._damaged.append, opened=self.opener.open)
        page = Page(list(islice(scanned, limit)))
        self._tell_away()
        return page

    def _tell_away(self) -> None:
        """Attack: unmount the folder, and nothing is found in it. What was not looked at is not passed over in silence."""
        for why, count in self.opener.away.items():
            typer.echo(plain(f"warning: content of {count} entries could not be looked at: {why}"), err=True)
        self.opener.away.clear()

    def call(self, call: str) -> "CallRecord | None":
        """The call of that name, None if there is none. Raises `OSError`."""
        from funcgate.recording.reader import read_call

        # One that the index does not hold may be newer than it, or in lines that it could not read.
        found = self._asked(lambda answers: answers.record(call))
        return found or read_call(self._journal, call, damaged=self._damaged.append, opened=self.opener.open)

    def callers(self, filters: "Filters") -> "list[Caller]":
        """Who made the calls, most calls first. Raises like `page`."""
        from funcgate.recording.index.people import callers_in
        from funcgate.recording.reader import read_calls

        found = self._asked(lambda answers: answers.callers(filters))
        if found is None:
            opened = self.opener.open
            found = callers_in(read_calls(self._journal, filters, damaged=self._damaged.append, opened=opened))
        self._tell_away()
        return found

    def changes(self, filters: "Filters", limit: int) -> "list[Entry]":
        """What administrators changed, newest first. Raises like `page`."""
        from funcgate.core.entry import Kind
        from funcgate.recording.reader import read_entries

        since, until = filters.since, filters.until
        found = self._asked(lambda answers: list(islice(answers.changes(since, until), limit)))
        if found is not None:
            return found
        entries = (
            entry
            for entry in read_entries(self._journal, newest_first=True, damaged=self._damaged.append)
            if entry.kind is Kind.ADMIN and (not since or entry.at >= since) and (not until or entry.at < until)
        )
        return list(islice(entries, limit))

    def _asked(self, question: "Callable[[Answers], _Answer]") -> "_Answer | None":
        """The answer of the index; None if there is none, or none that can answer this."""
        from funcgate.recording.index.asking import Answers, Unsearchable, bring_up_to_date
        from funcgate.recording.index.database import Unfit

        if not self._by_index:
            return None
        opened = self.opener.open
        try:
            try:
                with _progress(self._data) as progress:
                    missing = bring_up_to_date(self._data, secret=self._secret, opened=opened, progress=progress)
            except (OSError, sqlite3.Error) as error:  # a folder that may only be read
                missing = -1
                typer.echo(f"warning: the index is not up to date: {error}", err=True)
            if missing > 0:
                typer.echo(f"warning: the index is {missing} line(s) behind the journal", err=True)
            with Answers(self._data, secret=self._secret, opened=opened, damaged=self._damaged.append) as answers:
                return question(answers)
        except (Unsearchable, Unfit, FileNotFoundError, sqlite3.Error) as error:
            typer.echo(f"note: {error}; reading the journal instead", err=True)
            return None


def _progress(data: Path) -> "AbstractContextManager[Any]":
    """A bar, if there is so much to index that somebody would wonder."""
    from funcgate.recording.index.asking import last_seq, position
    from funcgate.recording.index.database import Unfit

    try:
        behind = last_seq(data / "journal") - position(data)
    except (OSError, Unfit):
        return nullcontext()
    if behind < _MANY:
        return nullcontext()
    from .reindex import bar

    return bar(behind)
