"""Compiled halves: a few inner loops exist a second time, in Cython (`_native.pyx`), with the same answers in less time.

Nothing needs them. Where none was built, or `FUNCGATE_PURE=1` is set, the pure modules do all of it.
"""

import os
from collections.abc import Callable
from importlib import import_module
from typing import Any
from weakref import WeakMethod

HALVES = (
    "funcgate._gateway",
    "funcgate.app.workers._link",
    "funcgate.catalog._native",
    "funcgate.catalog.proto._lines",
    "funcgate.catalog.proto._native",
    "funcgate.catalog.sql._native",
    "funcgate.core._digest",
    "funcgate.core._drawn",
    "funcgate.core._native",
    "funcgate.identity._native",
    "funcgate.masking._native",
    "funcgate.policy._native",
    "funcgate.protocols.postgres._drive",
    "funcgate.recording._native",
    "funcgate.recording._reading",
    "funcgate.recording.index._native",
    "funcgate.recording.index._words",
    "funcgate.recording.proof._native",
    "funcgate.stores._native",
    "funcgate.stores._parcels",
    "funcgate.stores.journal_files._guest",
    "funcgate.stores.journal_files._intake",
    "funcgate.stores.journal_files._native",
    "funcgate.stores.journal_files._parcel",
    "funcgate.stores.journal_shared._outbox",
    "funcgate.wire._native",
    "funcgate.wire.grpc._native",
    "funcgate.wire.http1._reading",
    "funcgate.wire.http1._writing",
    "funcgate.wire.http2._native",
    "funcgate.wire.http2._packing",
    "funcgate.wire.http2._unpacking",
    "funcgate.wire.postgres._copying",
    "funcgate.wire.postgres._native",
)


def half(name: str) -> Any:
    """The compiled module of this name; None where the pure one is to be used."""
    if os.environ.get("FUNCGATE_PURE", "0") not in ("", "0"):
        return None
    try:
        return import_module(name)
    except ImportError:
        return None


def handed_back(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method for the compiled half of its own object, which it does not hold: an object that holds its half, and is held by it,
    stays until the garbage collector comes by; one from the start of the process stays for ever (`gc.freeze`)."""
    found = WeakMethod(method)

    def call(*given: Any) -> Any:
        bound = found()
        if bound is None:
            raise ReferenceError("it is gone")
        return bound(*given)

    return call


def build() -> str:
    """What runs: ``native``, ``pure``, or ``native in part``."""
    found = [half(name) is not None for name in HALVES]
    return "native" if all(found) else "native in part" if any(found) else "pure"
