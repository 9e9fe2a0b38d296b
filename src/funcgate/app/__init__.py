"""The composition root: the only place, with registry.py, that knows which concrete parts make up a gateway."""

from pathlib import Path

from .building import Built, StartFailed, build, read_parts

__all__ = ["Built", "StartFailed", "build", "read_parts", "run"]


def run(path: Path) -> None:
    """Serve until SIGTERM or SIGINT. Raises `config.problems.Faulty`, or `StartFailed`."""
    from . import serving  # the servers' libraries take longer to import than a light command takes to run

    serving.run(path)
