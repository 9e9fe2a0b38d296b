"""What is built in, as explicit lists. Nothing registers itself by being imported: what is not named here does not exist."""

from collections.abc import Mapping

from .catalog import load_http
from .config.parts import LoadFunctions

PROTOCOLS: Mapping[str, LoadFunctions] = {"http": load_http}
