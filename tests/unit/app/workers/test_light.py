"""A worker starts without the libraries that only the gateway's own process uses: they took a third of its start."""

import subprocess
import sys

HEAVY = {"litestar", "uvicorn", "prometheus_client", "pydantic", "sqlalchemy", "typer"}


def test_what_a_worker_imports() -> None:
    program = "import sys, funcgate.cli.carry, funcgate.app.workers.worker; print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert "funcgate.gateway" in ended.stdout.split()
    assert HEAVY & set(ended.stdout.split()) == set()
