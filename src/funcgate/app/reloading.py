"""A new configuration in place of the old one: whole or not at all, and recorded before it takes effect.

A file that is refused changes nothing: the old version serves on, and says so until the file is mended.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from funcgate.config.grpc import FOLDER
from funcgate.config.load import load
from funcgate.config.parts import Parts
from funcgate.config.problems import Faulty, Located
from funcgate.core.entry import Entry, Kind
from funcgate.core.ports import Journal
from funcgate.core.refusal import Refused
from funcgate.logs import logger

from .building import Built, read_parts
from .changes import by_file, by_signal, configuration, remember, version_of
from .watching import Watch

if TYPE_CHECKING:
    from funcgate.console import Gauges  # workers import this module, and need nothing of a console's libraries

LOOK_EVERY_S = 1.0

# What is decided once, at the start: (what the file says, how to read it off the parts).
_FIXED: tuple[tuple[tuple[str, ...], Callable[[Parts], Any]], ...] = (
    (("listen", "calls"), lambda parts: parts.calls),
    (("listen", "console"), lambda parts: parts.console),
    (("listen", "postgres"), lambda parts: parts.postgres),
    (("listen", "workers"), lambda parts: parts.workers),
    (("listen", "limits"), lambda parts: parts.limits),
    (("listen", "tls"), lambda parts: parts.loaded.config.listen.tls),
    (("data_dir",), lambda parts: parts.loaded.data_dir),
    (("state",), lambda parts: parts.loaded.config.state),
    (("journal",), lambda parts: parts.journal),
    (("proof", "origin"), lambda parts: parts.keeper.proof.origin),
    (("proof", "key"), lambda parts: parts.keeper.proof.key),
    (("channels",), lambda parts: parts.loaded.config.channels),
    (("console",), lambda parts: (parts.loaded.config.console, parts.approval_url)),
    (("logs", "calls"), lambda parts: parts.loaded.config.logs.calls),
)


class NotPrepared(Exception):
    """A new version that cannot be put in place everywhere. The text is for the operator, and says where and why."""


class Steps(NamedTuple):
    """How a new version gets in place; serving.py has them."""

    prepare: Callable[[Parts], Awaitable[Built]]
    swap: Callable[[Built], Awaitable[None]]
    drop: Callable[[Built], Awaitable[None]]


class Reloader:
    """Reads the file again when told to (`ask`) or when it has changed.

    `prepare` makes the new version ready beside the old one, and may fail (`OSError`, `NotPrepared`), leaving nothing; `swap`
    puts it in place and cannot fail; `drop` undoes `prepare`.
    """

    def __init__(self, path: Path, parts: Parts, journal: Journal, gauges: "Gauges", steps: Steps) -> None:
        self._path = path
        self._parts = parts
        self._journal = journal
        self._gauges = gauges
        self._steps = steps
        self._asked = asyncio.Event()
        self._by: dict[str, Any] = {}
        self._watch = Watch(watched(parts))
        self._log = logger()
        gauges.version = parts.version

    def ask(self) -> None:
        """Reload now, whether the files changed or not (SIGHUP)."""
        self._by = by_signal()
        self._asked.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await asyncio.wait_for(self._asked.wait(), LOOK_EVERY_S)
            except TimeoutError:
                if not await asyncio.to_thread(self._watch.changed):
                    continue
                self._by = by_file(self._path)
            self._asked.clear()
            await self._reload()

    async def _reload(self) -> None:
        await asyncio.to_thread(self._watch.read)
        try:
            parts = await asyncio.to_thread(read_parts, self._path, previous=self._parts, serving=True)
            _refuse_fixed(self._parts, parts)
            built = await self._steps.prepare(parts)
            try:
                await self._record(parts)
            except BaseException:
                await self._steps.drop(built)
                raise
            await self._steps.swap(built)
        except Faulty as faulty:
            await self._refused(faulty.problems)
        except (OSError, Refused, NotPrepared) as error:
            text = f"the new configuration cannot be put in place: {_plain(error)}"
            await self._refused([Located(file=str(self._path), text=text)])
        except Exception as error:
            # P3: whatever breaks on the way, the version that serves is the one that was whole.
            self._log.error("reload broke", exc_info=error)
            await self._refused([Located(file=str(self._path), text=f"reading it failed: {type(error).__name__}")])
        else:
            self._took(parts)

    def _took(self, parts: Parts) -> None:
        for warning in parts.warnings:
            self._log.warning("configuration", problem=str(warning))
        self._watch.follow(watched(parts))
        self._log.info("configuration reloaded", old=self._parts.version, new=parts.version)
        self._parts = parts
        self._gauges.version = parts.version
        self._gauges.reloads += 1
        self._gauges.last_reload_failed = False

    async def _refused(self, problems: Iterable[Located]) -> None:
        texts = [str(problem) for problem in problems]
        named = await asyncio.to_thread(_files_of, self._path)  # mending one of these is a reason to try again
        self._watch.follow(dict.fromkeys((*watched(self._parts), *named)))
        self._gauges.reloads_failed += 1
        self._gauges.last_reload_failed = True
        self._log.error("configuration refused; the old one serves on", version=self._parts.version, problems=texts)
        change = {"what": "configuration", "old": self._parts.version, "problems": texts[:100], "by": self._by}
        self._journal.note(Entry(kind=Kind.ADMIN, call="", outcome="refused", change=change))

    async def _record(self, parts: Parts) -> None:
        """Durable before it takes effect: whichever version an entry names, the journal tells when it came, and its text."""
        new = version_of(parts.loaded)
        change = {**configuration(new, version_of(self._parts.loaded)), "by": self._by}
        await self._journal.append(Entry(kind=Kind.ADMIN, call="", outcome="complete", change=change))
        await asyncio.to_thread(remember, parts.loaded.data_dir, new)


def watched(parts: Parts) -> tuple[Path, ...]:
    """The files that decide, and the listener's certificate, which is renewed by a reload."""
    tls = parts.loaded.config.listen.tls
    base, kept = parts.loaded.base, parts.loaded.data_dir / FOLDER  # what targets said is written by the reload itself
    files = tuple(path for path in parts.loaded.files if path.parent != kept)
    return files if tls is None else (*files, base / tls.cert, base / tls.key)


def _files_of(path: Path) -> tuple[Path, ...]:
    """The files that a configuration names, even one that cannot be used."""
    try:
        return load(path).files
    except Faulty:
        return ()


def _refuse_fixed(old: Parts, new: Parts) -> None:
    """Raises `Faulty` when something changed that only a restart can change: half of a configuration is none."""
    changed = [where for where, value in _FIXED if value(old) != value(new)]
    if changed:
        source = new.loaded.source
        raise Faulty(
            source.problem(source.locate(where), f"a change of {'.'.join(where)} needs a restart") for where in changed
        )


def _plain(error: Exception) -> str:
    if isinstance(error, Refused):
        return f"the journal refuses to record it ({error.code})"
    if isinstance(error, NotPrepared):
        return str(error)
    return (error.strerror if isinstance(error, OSError) else "") or type(error).__name__
