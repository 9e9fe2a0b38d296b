"""A file that answers nobody, as one on a network mount whose server is gone: who opens it, waits."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_HOLD = """
import fcntl, os, signal, sys
signal.signal(signal.SIGIO, signal.SIG_IGN)
number = os.open(sys.argv[1], os.O_RDWR)
fcntl.fcntl(number, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("held", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def leased(path: Path) -> Iterator[None]:
    """Another process holds a lease on it (fcntl(2)): opening waits until the end, or for 45 s."""
    holding = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holding.stdout is not None
        assert holding.stdout.readline() == "held\n"
        yield
    finally:
        holding.communicate(timeout=20)
