"""The journal of a worker: what it writes is another process's to number, to date and to keep."""

from .journal import SharedJournal

__all__ = ["SharedJournal"]
