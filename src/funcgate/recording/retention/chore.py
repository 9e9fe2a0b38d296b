"""Expiry as a chore of the keeper: says in the journal what will be deleted, and deletes what the journal says.

It refuses to delete anything for which it has not read its own entry back. A crash at any point repeats what was begun.
"""

import os
import sqlite3
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from funcgate.core.ids import new_id
from funcgate.recording.chore import ChoreFailed
from funcgate.recording.contents.errors import ContentError
from funcgate.recording.contents.keystore import KeyStore
from funcgate.recording.contents.opener import Opener
from funcgate.recording.contents.places import Places
from funcgate.recording.folder import Line, lines
from funcgate.recording.keeper.settings import KeepRule
from funcgate.recording.proof import ProofTrouble
from funcgate.recording.proof.oath import is_signed, known_key, signed, signer_in

from .carrying import UNUSED_S, Carrying
from .coverage import Coverage, JournalScan
from .expire import Plan, plan
from .orders import CHORE, by_the_keeper, split
from .rules import Rules
from .state import State

EVERY_S = 3600.0
AGAIN_S = 60.0  # after something went wrong
STATE = "retention.db"

Ask = Callable[[Mapping[str, Any]], None]


class RetentionChore:
    """`recording.chore.Chore`, with `Complains`. `ask` returns when its entry is durable. `key` is the journal's encryption
    key, if any; `proof_key` the file of the key that signs, if it is not in the data folder.

    `clock` is Unix time. Raises `ChoreFailed`.
    """

    name = CHORE

    def __init__(
        self,
        data_dir: Path,
        rules: Sequence[KeepRule],
        ask: Ask,
        *,
        key: bytes | None = None,
        proof_key: Path | None = None,
        clock: Callable[[], float] = time.time,
        every_s: float = EVERY_S,
        unused_s: float = UNUSED_S,
    ) -> None:
        self._journal = data_dir / "journal"
        self._proof = data_dir / "proof"
        self._proof_key = proof_key
        self._rules = Rules(rules)
        self._ask = ask
        self._clock = clock
        self._every_s = every_s
        self._due_at = 0.0
        self.complaint = ""
        with _told():
            self._opener = Opener(data_dir, key)
            self._state = State(data_dir / STATE, self._is_given)
            newest = next(lines(self._journal, newest_first=True), None)
        # What is deleted must be named by nothing newer: not before all lines have been read that are there now.
        self._caught_up_at = 0 if newest is None else newest.seq
        self._keys = KeyStore(data_dir)
        self._carrying = Carrying(data_dir, self._state, self._keys, Places(data_dir), unused_s=unused_s)

    @property
    def position(self) -> int:
        return self._state.position

    def take(self, lines: Sequence[Line]) -> None:
        with _told():
            self._state.take(lines)

    def tick(self) -> None:
        if self._state.position < self._caught_up_at:
            return
        with _told():
            self._carry_out()
            if time.monotonic() >= self._due_at:
                self._due_at = time.monotonic() + min(self._every_s, AGAIN_S)
                self._order()
                self._due_at = time.monotonic() + self._every_s

    def close(self) -> None:
        self._state.close()
        self._keys.close()
        self._opener.close()

    def _order(self) -> None:
        """Have the journal say what will be deleted. It comes back as lines to take, and only then is it."""
        clock, witnessed = self._clock(), self._state.clock
        planned = self._planned(witnessed.now(clock))
        doubt = witnessed.doubt(clock)
        # An idle gateway's clock is always a little in doubt: that is worth a word only if something waits for it.
        waits = bool(doubt) and self._planned(clock).size > planned.size
        self.complaint = doubt if waits else ""
        if planned.orders:
            signer = signer_in(self._proof, self._proof_key)
            for piece in chain.from_iterable(map(split, planned.orders)):
                # What was withheld may be ordered again at the same time: another order, although it says the same.
                self._ask(signed({**piece.change(), "id": new_id(time.time())}, signer))
        self._carrying.sweep()

    def _is_given(self, change: Mapping[str, Any]) -> bool:
        return by_the_keeper(change) and is_signed(change, known_key(self._proof))

    def _planned(self, now: float) -> Plan:
        carrying = self._carrying
        return plan(
            self._state, self._rules, self._keys.list(), now, self._coverage(), carrying.hashed(), carrying.away
        )

    def _carry_out(self) -> None:
        pending = self._state.pending()
        if not pending:
            return
        coverage, signed = self._coverage(), self._carrying.signed()
        for seq, order in pending:
            if seq > signed:
                return  # Attack: an order that nobody signed excuses whatever is missing. First the checkpoint, then the deed.
            withheld = self._carrying.carry_out(order, coverage)
            if not withheld.empty:
                self._ask(withheld.change())
            self._state.carried_out(seq, order, withheld)

    def _coverage(self) -> Coverage:
        return Coverage(self._state.holds, self._state.open_calls, JournalScan(self._journal, self._opener))


@contextmanager
def _told() -> Generator[None]:
    """What can go wrong here, for the operator."""
    try:
        yield
    except sqlite3.Error as error:
        raise ChoreFailed(f"{STATE}: {error}") from error
    except ContentError as error:
        raise ChoreFailed(str(error)) from error
    except ProofTrouble as trouble:
        raise ChoreFailed(str(trouble)) from trouble
    except OSError as error:
        raise ChoreFailed(f"{error.filename or 'a file'}: {error.strerror or os.strerror(error.errno or 0)}") from error
