"""The journal as files of JSON lines, durable before what they announce happens."""

from .journal import FileJournal
from .opening import Repaired
from .state import State, Status

__all__ = ["FileJournal", "Repaired", "State", "Status"]
