"""What a held call brings along: how long its caller waits, and what goes with its message and belongs to what is approved."""

import hashlib
from math import inf
from time import monotonic

from funcgate.core.ports import Patience
from funcgate.protocols.calling import told
from funcgate.wire.http1.fields import INCIDENTAL
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
    return Patience(patient_s, detached, named, *_beside_digest(opening), until)


def _beside_digest(opening: Opening) -> tuple[str, tuple[str, ...], str]:
    """SHA-256 over the path and the fields that the target gets, but for those in which the same call differs when it is
    sent again; these fields, for approvers; SHA-256 over them alone."""
    # Attack: have a call approved, and send it again with a field more that changes what the target does.
    fields = [field for field in opening.fields if field[0] not in INCIDENTAL]
    lines = b"".join(b"%b: %b\n" % field for field in fields)
    whole = hashlib.sha256(b"%b\n%b" % (opening.path, lines)).hexdigest()
    return whole, tuple([told(*field) for field in fields]), hashlib.sha256(lines).hexdigest()
