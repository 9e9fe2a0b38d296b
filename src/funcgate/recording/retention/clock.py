"""What time it is for expiry. Not what the machine's clock says: it may have been set wrong by years.

The witness is a call whose token was verified: tokens end, so a clock that is years ahead finds none valid. Pure.
"""

from typing import Any

from msgspec import Struct

DAY_S = 86400.0
QUIET_S = 8 * DAY_S


class Witnessed(Struct, frozen=True, kw_only=True):
    """A fold over the times at which verified calls arrived (Unix time, UTC). `believed` is the time that counts.

    A leap of more than a day is on trial from `trial_from` on (0: none is): believed once such calls have gone on for
    a day. An idle gateway's record so expires a little later; that of one whose clock leapt does not expire at once.
    """

    believed: float = 0.0
    last: float = 0.0
    trial_from: float = 0.0

    def saw(self, at: float) -> "Witnessed":
        """A verified call arrived then, by the clock of that moment."""
        if at <= self.last:
            return self
        if at - self.last > (QUIET_S if self.trial_from else DAY_S):
            # Attack: set the clock ahead by years, so that the record of last week is due now.
            return Witnessed(believed=self.believed, last=at, trial_from=at)
        if self.trial_from and at - self.trial_from < DAY_S:
            return Witnessed(believed=self.believed, last=at, trial_from=self.trial_from)
        return Witnessed(believed=at, last=at)

    def confirmed(self, at: float) -> "Witnessed":
        """An administrator says that the clock was right then."""
        return Witnessed(believed=max(at, self.believed), last=max(at, self.last))

    def now(self, clock: float) -> float:
        """The time up to which things are due: never later than the machine's clock or the last verified call."""
        return min(clock, self.believed)

    def doubt(self, clock: float) -> str:
        """Why nothing newer expires, for the operator; "" if all is well."""
        behind = max(clock, self.last) - self.believed
        if self.believed and behind > DAY_S:
            return (
                f"no call confirms the last {behind / DAY_S:.1f} days of the clock; once verified calls have gone on for "
                "a day, or `funcgate audit expire --clock-is-right` says so, expiry goes on"
            )
        return ""

    def saved(self) -> dict[str, Any]:
        return {"believed": self.believed, "last": self.last, "trial_from": self.trial_from}
