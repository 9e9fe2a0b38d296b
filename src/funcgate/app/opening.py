"""The first lines of a gateway's record, and the last one: the folder opened and mended, who began what, and who ended it."""

import asyncio
import contextlib

from msgspec import structs

from funcgate.config.load import Loaded
from funcgate.config.parts import Parts
from funcgate.core.entry import Entry, Kind
from funcgate.core.ports import Journal
from funcgate.core.problem import Unusable
from funcgate.core.refusal import Refused
from funcgate.logs import logger
from funcgate.recording.contents import Contents, WrongKey
from funcgate.stores.journal_files import FileJournal

from .building import StartFailed
from .changes import by_process, configuration, remember, remembered, version_of
from .keeping import proven


def journal_of(parts: Parts) -> FileJournal:
    """As it is configured, not open yet."""
    settings, data_dir = parts.journal, parts.loaded.data_dir
    return FileJournal(
        data_dir / "journal",
        sync=settings.sync,
        every_s=settings.every_s,
        max_queue=settings.queue,
        segment_bytes=settings.segment_bytes,
        min_free_bytes=settings.keep_free_bytes,
        reserve_bytes=settings.reserve_bytes,
        at_least=proven(data_dir),
    )


async def open_journal(journal: FileJournal, contents: Contents) -> None:
    """Raises `StartFailed`."""
    try:
        contents.check()
        repaired = await journal.start()
    except Unusable as unusable:
        # The file is sound; the folder is in use, full or not ours. The next try may well succeed.
        raise StartFailed("; ".join(problem.text for problem in unusable.problems)) from None
    except WrongKey as wrong:
        raise StartFailed(str(wrong)) from None
    logger().info("journal", last_seq=repaired.last_seq, calls_closed_as_unknown=len(repaired.closed))
    if repaired.cut_bytes or repaired.damaged or repaired.foreign:
        told = {name: value for name, value in structs.asdict(repaired).items() if name != "closed" and value}
        logger().warning("the journal was mended", **told)


async def record_start(journal: Journal, loaded: Loaded) -> None:
    """The version in force opens the record: without it, the first entries would name an unknown one. Raises `StartFailed`."""
    version, by = version_of(loaded), by_process()
    start = {"what": "start", "new": version.version, "by": by}
    before = await asyncio.to_thread(remembered, loaded.data_dir)
    text = {**configuration(version, before), "by": by}
    entries = [Entry(kind=Kind.ADMIN, call="", outcome="complete", change=change) for change in (start, text)]
    try:
        await journal.append(*entries)
    except Refused as refused:
        raise StartFailed(f"the journal cannot be written: {refused.private_detail or refused.code}") from None
    await asyncio.to_thread(remember, loaded.data_dir, version)


async def record_stop(journal: Journal, version: str) -> None:
    """The last line, if the disk takes it."""
    change = {"what": "stop", "old": version, "by": by_process()}
    with contextlib.suppress(Refused):
        await journal.append(Entry(kind=Kind.ADMIN, call="", outcome="complete", change=change))
