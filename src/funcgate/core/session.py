"""Sessions: the calls of one run of one principal. How a session is named, and by what name it answers.

It knows no header and no protocol: where the name of a run comes from is each protocol's own.
"""

import hashlib

import msgspec

from .principal import Principal

_encode = msgspec.json.Encoder().encode
MARK = "~"  # no name of a run holds it, so that no name can pass for a whole session


def session_of(principal: Principal, run: str) -> str:
    """``RUN~HASH``: the session of the run that this principal calls by this name.

    The hash (64 bits of BLAKE2b) is over the run's name, the issuer, the subject, and who acts for whom.
    """
    # Attack: send the name, or the trace, of somebody else's run, and one's own calls stand in their record. JSON keeps
    # the parts apart: ("a", "bc") and ("ab", "c") are two principals.
    parts = (run, principal.issuer, principal.subject, principal.acts_for, principal.actor)
    return f"{run}{MARK}{hashlib.blake2b(_encode(parts), digest_size=8).hexdigest()}"


def session_of_token(principal: Principal, target: str) -> str:
    """``FINGERPRINT.TARGET``: the session of calls that name no run. A token is of one principal, so this is too."""
    return f"{principal.token}.{target}"


def answers_to(session: str, wanted: str) -> bool:
    """Whether `wanted` is this session, or the name of its run. Several principals may have a run of that name."""
    return session == wanted or (bool(wanted) and session.rpartition(MARK)[0] == wanted)
