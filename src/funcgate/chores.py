"""Which chores the keeper runs, as an explicit list: proof, index, archive and retention, one for each destination.

Each is imported when it is made: a chore that is not configured costs nothing.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from funcgate.recording.chore import Chore
from funcgate.recording.keeper.process import Ask
from funcgate.recording.keeper.settings import KeeperSettings
from funcgate.recording.keeper.worker import Planned


def plan(settings: KeeperSettings, asker: Callable[[str], Ask]) -> Sequence[Planned]:
    """`recording.keeper.process.Plan`."""
    return [
        Planned("proof", settings.proof, partial(_proof, settings)),
        Planned("archive", None, partial(_archive, settings)),
    ]


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


def _archive(settings: KeeperSettings) -> Chore:
    from funcgate.recording.archive.archivist import Archivist
    from funcgate.recording.archive.chore import ArchiveChore

    return ArchiveChore(Path(settings.data_dir) / "journal", Archivist())
