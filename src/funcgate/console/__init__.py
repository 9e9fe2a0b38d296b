"""The operator's side, on an address of its own: health, readiness and metrics. It decides nothing and changes nothing."""

from .app import Health, make_console
from .metrics import ChoreGauge, Gauges, KeeperGauges, WorkerGauge, make_registry
from .serving import ConsoleServer, bind

__all__ = [
    "ChoreGauge", "ConsoleServer", "Gauges", "Health", "KeeperGauges", "WorkerGauge", "bind", "make_console",
    "make_registry",
]  # fmt: skip
