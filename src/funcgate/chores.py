"""Which chores the keeper runs, as an explicit list: proof, index, archive and retention, one for each destination.

Each is imported when it is made: a chore that is not configured costs nothing.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from funcgate.recording.chore import Chore, ChoreFailed
from funcgate.recording.keeper.process import Ask
from funcgate.recording.keeper.settings import ForwardSettings, KeeperSettings
from funcgate.recording.keeper.worker import Planned

if TYPE_CHECKING:
    from funcgate.recording.contents import Opener


def plan(settings: KeeperSettings, asker: Callable[[str], Ask]) -> Sequence[Planned]:
    """`recording.keeper.process.Plan`."""
    key = settings.encryption
    planned = [
        Planned("proof", settings.proof, partial(_proof, settings)),
        Planned("archive", settings.keep_free_bytes, partial(_archive, settings), follows=False),
    ]
    if settings.index.enabled:
        part_of_index = (settings.index, key, settings.keep_free_bytes)
        planned.append(Planned("index", part_of_index, partial(_index, settings)))
    if settings.retention:  # without a rule all is kept for ever
        part = (settings.retention, key, settings.proof.key)
        planned.append(Planned("retention", part, partial(_retention, settings, asker("retention"))))
    for to in settings.forward:
        name = f"forward-{to.name}"
        planned.append(Planned(name, (to, key), partial(_forwarder, settings, to, asker(name))))
    return planned


def _proof(settings: KeeperSettings) -> Chore:
    from funcgate.recording.proof.chore import ProofChore

    proof = settings.proof
    return ProofChore(
        Path(settings.data_dir),
        origin=proof.origin,
        key=Path(proof.key) if proof.key else None,
        every_s=proof.every_s,
        sync=settings.sync,
        copies=proof.copies,
    )


def _index(settings: KeeperSettings) -> Chore:
    from funcgate.recording.index.chore import IndexChore
    from funcgate.recording.index.keys import secret_of

    secret, opened = secret_of(_key(settings)), _opener(settings).open
    return IndexChore(
        Path(settings.data_dir),
        secret=secret,
        text=settings.index.text,
        opened=opened,
        min_free_bytes=settings.keep_free_bytes,
    )


def _archive(settings: KeeperSettings) -> Chore:
    from funcgate.recording.archive.archivist import Archivist
    from funcgate.recording.archive.chore import ArchiveChore

    return ArchiveChore(Path(settings.data_dir) / "journal", Archivist(min_free_bytes=settings.keep_free_bytes))


def _retention(settings: KeeperSettings, ask: Ask) -> Chore:
    from funcgate.recording.retention.chore import RetentionChore

    proof_key = Path(settings.proof.key) if settings.proof.key else None
    return RetentionChore(Path(settings.data_dir), settings.retention, ask, key=_key(settings), proof_key=proof_key)


def _forwarder(settings: KeeperSettings, to: ForwardSettings, ask: Ask) -> Chore:
    from funcgate.recording.forward.build import forwarder

    return forwarder(settings, to, ask)


def _opener(settings: KeeperSettings) -> "Opener":
    from funcgate.recording.contents import ContentError, Opener

    try:
        return Opener(Path(settings.data_dir), _key(settings))
    except ContentError as error:
        raise ChoreFailed(str(error)) from None


def _key(settings: KeeperSettings) -> bytes | None:
    return bytes.fromhex(settings.encryption.reveal()) if settings.encryption is not None else None
