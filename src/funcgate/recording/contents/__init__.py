"""Content beside the journal: large bodies as objects, and what is encrypted at rest, with the keys whose end is its end.

Readers use `Opener`; retention uses `KeyStore` and `ContentStore`; the gateway puts `Contents` in front of its journal.
"""

from .contents import Contents
from .errors import Altered, Away, ContentError, Expired, Missing, WrongKey
from .keystore import KeyInfo, KeyStore
from .objects import ContentStore
from .opener import Lost, Opened, Opener
from .orphans import Orphan, orphans, remove
from .places import Place, Places
from .rewrap import rewrap

__all__ = [
    "Altered", "Away", "ContentError", "ContentStore", "Contents", "Expired", "KeyInfo", "KeyStore", "Lost", "Missing",
    "Opened", "Opener", "Orphan", "Place", "Places", "WrongKey", "orphans", "remove", "rewrap",
]  # fmt: skip
