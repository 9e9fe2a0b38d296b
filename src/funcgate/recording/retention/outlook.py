"""What would expire now, and what is held: what the keeper would find, found without it. Changes nothing."""

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from funcgate.recording.contents.keystore import KeyStore
from funcgate.recording.contents.opener import Opener
from funcgate.recording.contents.places import Places
from funcgate.recording.follow import Follow
from funcgate.recording.keeper.settings import KeepRule

from .carrying import Carrying
from .chore import STATE
from .coverage import Coverage, JournalScan
from .expire import Kept, plan
from .holds import Holds
from .orders import Order
from .rules import Rules, time_of
from .state import State

_ALL = 1 << 62


class Outlook(Struct, kw_only=True):
    """`due` would be ordered next, `ordered` is in the journal and about to be deleted, `kept` is due and kept, and why.

    `now` is the time that counts (see clock.py); `doubt` says why it is not later, "" if all is well.
    """

    now: str
    doubt: str
    due: tuple[Order, ...]
    ordered: tuple[Order, ...]
    kept: tuple[Kept, ...]
    holds: Holds


def outlook(data_dir: Path, rules: Sequence[KeepRule], opener: Opener, clock: float) -> Outlook:
    """For a data folder; the gateway may run. `clock` is Unix time. Raises `OSError`, `ChoreFailed`."""
    state = State.copy_of(data_dir / STATE)
    journal = data_dir / "journal"
    follow = Follow(journal, state.position)
    while lines := follow.read(_ALL):
        state.take(lines)
    keys = KeyStore(data_dir)
    coverage = Coverage(state.holds, state.open_calls, JournalScan(journal, opener))
    carrying = Carrying(data_dir, state, keys, Places(data_dir))
    now = state.clock.now(clock)
    found = plan(state, Rules(rules), keys.list(), now, coverage, carrying.hashed(), carrying.away)
    keys.close()
    return Outlook(
        now=time_of(now), doubt=state.clock.doubt(clock), due=found.orders, kept=found.kept, holds=state.holds,
        ordered=tuple(order for _, order in state.pending()),
    )  # fmt: skip
