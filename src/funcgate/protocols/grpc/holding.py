"""What a held call brings along: how long its caller waits, and what goes with its message and belongs to what is approved."""

from math import inf
from time import monotonic

from funcgate.core.ports import Patience
from funcgate.protocols.calling import beside
from funcgate.wire.http1.prefer import read_prefer

from .opening import Opening

_MARGIN_S = 1.0  # before the caller's deadline: what is told then still arrives


def patience_of(opening: Opening, limit_s: float, left_s: float) -> Patience:
    """`limit_s` is the target's, `left_s` what is left of the caller's deadline."""
    known = opening.known
    wait_s, detached = read_prefer(known.get(b"prefer", b""))
    until = inf if left_s == inf else monotonic() + left_s - min(_MARGIN_S, left_s / 3)
    patient_s = limit_s if wait_s is None else min(float(wait_s), limit_s)
    named = known.get(b"funcgate-approval", b"")[:64].decode("latin-1")
    return Patience(patient_s, detached, named, *beside(opening.path, opening.fields), until)
