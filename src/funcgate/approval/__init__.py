"""Held calls and the humans who judge them. In this version the desk is closed: nothing is held, everything waits."""

from .closed import ClosedDesk

__all__ = ["ClosedDesk"]
