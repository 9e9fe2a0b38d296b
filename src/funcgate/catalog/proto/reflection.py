"""What a target says of itself (gRPC server reflection, v1 or v1alpha), asked by a process of its own: see asking.py."""

from pathlib import Path

import msgspec
from msgspec import Struct

from funcgate.core.secret import Secret

from .children import Failed, run_python
from .pool import MAX_BYTES

_SCRIPT = Path(__file__).with_name("asking.py")


class NotReflected(Exception):
    """The target has not said what its functions are. `args[0]` says why."""


class Asking(Struct, frozen=True, kw_only=True):
    """How the target is reached. `ca`, `cert` and `key` are files, `ca` "" for the system's; `headers` are its credential."""

    host: str
    port: int
    tls: bool = False
    ca: str = ""
    cert: str = ""
    key: str = ""
    server_name: str = ""
    authority: str = ""
    headers: tuple[tuple[str, Secret], ...] = ()
    timeout_s: float = 10.0


def reflect(asking: Asking) -> bytes:
    """A FileDescriptorSet, the same bytes each time for the same functions. Blocks. Raises `NotReflected`."""
    # Attack: a secret among the arguments of a process is there for every user of the machine. It goes by standard input.
    told = msgspec.json.encode({
        "host": asking.host, "port": asking.port, "tls": asking.tls, "ca": asking.ca, "cert": asking.cert,
        "key": asking.key, "server_name": asking.server_name, "authority": asking.authority,
        "timeout_s": asking.timeout_s, "max_bytes": MAX_BYTES,
        "headers": [(name.lower(), value.reveal()) for name, value in asking.headers],
    })  # fmt: skip
    try:
        return run_python([str(_SCRIPT)], told=told, max_bytes=MAX_BYTES, timeout_s=asking.timeout_s + 5)
    except Failed as why:
        raise NotReflected(f"server reflection of {asking.host}:{asking.port}: {why}") from None
