"""The journal as files of JSON lines, durable before what they announce happens."""

from funcgate.stores.parcels import Forged

from .guest import Guest
from .journal import FileJournal
from .opening import Repaired
from .state import State, Status

__all__ = ["FileJournal", "Forged", "Guest", "Repaired", "State", "Status"]
