"""A credential for one use."""

from msgspec import Struct

from .secret import Secret


class Lease(Struct, frozen=True):
    """What to add to a message so that the target lets it in.

    `headers` and `query` are (name, value) pairs to set, replacing any of the same name that the caller sent.
    `needles` are the spellings of the secret (raw, base64, percent-encoded, JSON-escaped …) to scrub from whatever the
    target answers. `expires_at` is Unix time in seconds; 0 means that the source does not say.
    """

    headers: tuple[tuple[str, Secret], ...] = ()
    query: tuple[tuple[str, Secret], ...] = ()
    needles: tuple[Secret, ...] = ()
    expires_at: float = 0.0


NO_LEASE = Lease()
