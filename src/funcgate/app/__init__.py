"""The composition root: the only place, with registry.py, that knows which concrete parts make up a gateway."""

from .building import Built, build, read_parts
from .serving import StartFailed, run

__all__ = ["Built", "StartFailed", "build", "read_parts", "run"]
