"""Processes that read what we do not want to read in the gateway's own: protoc, and the client of server reflection.

Bounded in time; what they say is bounded too; they inherit no environment, in which the gateway's secrets may be.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

_ENVIRONMENT = ("PATH", "LANG", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "SYSTEMROOT", "TMPDIR")
_MOST_TEXT = 2000


class Failed(Exception):
    """The process did not do its work. `args[0]` says why, in its own words where it had some."""


def run_python(arguments: Sequence[str], *, told: bytes = b"", max_bytes: int, timeout_s: float) -> bytes:
    """What the process writes to its standard output. `told` is its standard input. Blocks. Raises `Failed`."""
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    with tempfile.TemporaryDirectory(prefix="funcgate-") as place:
        said, wrong = Path(place) / "said", Path(place) / "wrong"
        try:
            # Into files, so that an endless answer does not fill our memory.
            with said.open("wb") as out, wrong.open("wb") as err:
                done = subprocess.run(  # noqa: S603
                    [sys.executable, "-I", *arguments], input=told, stdout=out, stderr=err, timeout=timeout_s,
                    check=False, cwd=place, env=environment,
                )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise Failed(f"it took longer than {timeout_s:g} s") from None
        except OSError as error:
            raise Failed(f"it cannot be run: {error.strerror}") from None
        if done.returncode:
            with wrong.open("rb") as err:
                text = err.read(_MOST_TEXT).decode("utf-8", "replace").strip()
            raise Failed(text or f"it ended with status {done.returncode}")
        if said.stat().st_size > max_bytes:
            raise Failed(f"it said more than {max_bytes >> 20} MiB")
        return said.read_bytes()
