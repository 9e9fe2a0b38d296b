"""Who has signed in at the console, in memory: a restart signs everybody out. It knows no page and no provider.

Browsers hold a random name of 256 bits in a cookie; here is only its digest, so that a dump of the memory signs nobody in.
"""

import hashlib
import hmac
import time
from collections import OrderedDict
from collections.abc import Callable
from secrets import token_urlsafe

from funcgate.core.principal import Principal
from funcgate.core.revocation import Revoked, marks_of
from funcgate.identity.code_flow import Attempt

MOST = 1000
MOST_OF_ONE = 8
MOST_ATTEMPTS = 10_000
ATTEMPT_S = 600.0
_LONGEST_NAME = 128


class Session:
    """One browser of one person. `csrf` is in every form that it is shown. Times are monotonic."""

    __slots__ = ("began_at", "csrf", "principal", "seen_at")

    def __init__(self, principal: Principal, now: float) -> None:
        self.principal = principal
        self.csrf = token_urlsafe(32)
        self.began_at = self.seen_at = now

    def fits(self, csrf: str) -> bool:
        """Whether a form is one that this session was shown."""
        return hmac.compare_digest(self.csrf.encode(), csrf.encode("utf-8", "replace"))


class Sessions:
    """All of them. `idle_s` without a request ends one, and `longest_s` after its beginning, and a revocation at once."""

    def __init__(
        self,
        idle_s: float,
        longest_s: float,
        now: Callable[[], float] = time.monotonic,
        revoked: Revoked | None = None,
    ) -> None:
        self._idle_s = idle_s
        self._longest_s = longest_s
        self._now = now
        self._revoked = revoked or Revoked()
        self._kept: OrderedDict[bytes, Session] = OrderedDict()  # the one that was seen last is the last

    def begin(self, principal: Principal) -> str:
        """A new session; its name for the cookie."""
        now = self._now()
        for digest, session in list(self._kept.items()):
            if not self._lives(session, now):
                del self._kept[digest]
        # Attack: sign in again and again until everybody else's sessions have no room. One person's own go first.
        mine = [digest for digest, session in self._kept.items() if _same(session.principal, principal)]
        for digest in mine[: max(len(mine) - MOST_OF_ONE + 1, 0)]:
            del self._kept[digest]
        while len(self._kept) >= MOST:
            self._kept.popitem(last=False)
        # Attack: fixation: a name that was in the browser before, planted there, is never taken over.
        name = token_urlsafe(32)
        self._kept[_digest(name)] = Session(principal, now)
        return name

    def find(self, name: str) -> Session | None:
        """The session, which is seen again by this; None when there is none, or its time is over."""
        if not 0 < len(name) <= _LONGEST_NAME:
            return None
        digest, now = _digest(name), self._now()
        session = self._kept.get(digest)
        if session is None:
            return None
        if not self._lives(session, now):
            del self._kept[digest]
            return None
        session.seen_at = now
        self._kept.move_to_end(digest)
        return session

    def end(self, name: str) -> None:
        self._kept.pop(_digest(name), None)

    def _lives(self, session: Session, now: float) -> bool:
        # Attack: be revoked, and go on in a browser that was signed in before.
        if not self._revoked.marks.isdisjoint(marks_of(session.principal)):
            return False
        return now < session.seen_at + self._idle_s and now < session.began_at + self._longest_s


class Begun:
    """A sign-in that is under way: `browser` is the digest of a name that only the browser has which began it."""

    __slots__ = ("at", "attempt", "back", "browser")

    def __init__(self, attempt: Attempt, back: str, browser: bytes, at: float) -> None:
        self.attempt, self.back, self.browser, self.at = attempt, back, browser, at


class Attempts:
    """Sign-ins under way, by their `state`. Each is taken once, by the browser that began it, within ten minutes."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._kept: OrderedDict[str, Begun] = OrderedDict()

    def add(self, attempt: Attempt, back: str) -> str:
        """Keep it; the browser's name for the cookie. `back` is where the browser goes afterwards."""
        # Attack: begin sign-ins without end, until the memory is full. The oldest gives way.
        while len(self._kept) >= MOST_ATTEMPTS:
            self._kept.popitem(last=False)
        name = token_urlsafe(32)
        self._kept[attempt.state] = Begun(attempt, back, _digest(name), self._now())
        return name

    def take(self, state: str, browser: str) -> Begun | None:
        """The attempt, which is over by this; None for an unknown state, another browser, or too late."""
        found = self._kept.get(state)
        # Attack: login CSRF: send a victim the end of one's own sign-in, so that they act in one's own name. Or end theirs.
        if found is None or not hmac.compare_digest(found.browser, _digest(browser)):
            return None
        # Attack: play the same answer, and its code, a second time.
        del self._kept[state]
        return found if self._now() < found.at + ATTEMPT_S else None


def _digest(name: str) -> bytes:
    return hashlib.sha256(name.encode("utf-8", "replace")).digest()


def _same(one: Principal, other: Principal) -> bool:
    return (one.issuer, one.subject) == (other.issuer, other.subject)
