"""The `Prefer` field (RFC 7240): the two preferences that matter to a call that is held. All others may be ignored."""

import re

_WAIT = re.compile(r"wait\s*=\s*\"?(\d{1,9})\"?\Z")


def read_prefer(value: bytes) -> tuple[int | None, bool]:
    """Seconds to wait (section 4.3; None if it does not say), and whether to answer at once (`respond-async`, 4.1).

    The first of several `wait` counts (section 2); one that is no number is ignored.
    """
    wait_s: int | None = None
    at_once = False
    for preference in value.decode("latin-1").lower().split(","):
        word = preference.partition(";")[0].strip()
        if word == "respond-async":
            at_once = True
        elif wait_s is None and (found := _WAIT.match(word)):
            wait_s = int(found[1])
    return wait_s, at_once
