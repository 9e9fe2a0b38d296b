"""A private PostgreSQL and a PgBouncer for one run, in a folder that goes with it. Debian's packages are installed if need be.

No sync, everything in memory: what is measured is what stands in front of it.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .processes import BenchError, child, free_port, wait_for_port

OWNER, GATED, PASSWORD = "bench", "gated", "bench-target-credential-5f1d0c7a"
NAME = "shop"
SCALE = 10  # a million accounts
ROWS = 1_000_000
_HBA = f"""
local all all trust
host all {GATED} 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
"""
# Every hundredth row has something to hide; the others are names, amounts and remarks of the same length.
_PEOPLE = f"""
CREATE TABLE people AS SELECT id, 'person ' || id AS name, id * 17 % 100000 AS amount,
  CASE WHEN id % 100 = 0 THEN 'write to person' || id || '@example.org' ELSE 'nothing to be said about order ' || id END
  AS remark,
  lpad((id % 899 + 1)::text, 3, '0') || '-45-' || lpad((id % 9999 + 1)::text, 4, '0') AS ssn
  FROM generate_series(1, {ROWS}) AS id;
GRANT ALL ON ALL TABLES IN SCHEMA public TO {GATED};
"""
_BOUNCER = """
[databases]
{name} = host=127.0.0.1 port={upstream} dbname={name}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users.txt
pool_mode = session
default_pool_size = 100
max_client_conn = 200
ignore_startup_parameters = extra_float_digits
logfile = {folder}/pgbouncer.log
log_connections = 0
log_disconnections = 0
"""


class Server(NamedTuple):
    """Something to connect to as `user`: its port, and the process that listens there."""

    port: int
    pid: int
    user: str = OWNER


@contextlib.contextmanager
def postgres(folder: Path) -> Iterator[Server]:
    """The database, with pgbench's tables and a million people in it."""
    binaries = _postgres_binaries()
    data, port, log = folder / "postgres", free_port(), folder / "postgres.log"
    data.mkdir()
    _own(folder)
    _own(data)
    log.touch()
    _checked(
        [
            *_as("postgres"),
            str(binaries / "initdb"),
            "-D",
            str(data),
            "-U",
            OWNER,
            "--no-sync",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
        ]
    )
    (data / "pg_hba.conf").write_text(_HBA)
    options = {
        "port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off", "synchronous_commit": "off",
        "max_connections": 300, "shared_buffers": "512MB", "autovacuum": "off",
    }  # fmt: skip
    command = [*_as("postgres"), str(binaries / "postgres"), "-D", str(data)]
    command += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    with child(command, log) as process:
        wait_for_port(process, port, log)
        server = Server(port, process.pid)
        _fill(server)
        yield server


def _fill(server: Server) -> None:
    run_sql(server, "postgres", f"CREATE ROLE {GATED} LOGIN PASSWORD '{PASSWORD}'")
    run_sql(server, "postgres", f"CREATE DATABASE {NAME}")
    connection = ["-h", "127.0.0.1", "-p", str(server.port), "-U", OWNER]
    _checked(["pgbench", *connection, "-i", "-q", "-s", str(SCALE), NAME])
    run_sql(server, NAME, _PEOPLE)
    run_sql(server, NAME, "VACUUM ANALYZE")


@contextlib.contextmanager
def pgbouncer(upstream: Server, folder: Path) -> Iterator[Server]:
    """PgBouncer with session pooling in front of the database."""
    binary = _program("pgbouncer", "/usr/sbin/pgbouncer")
    own = folder / "pgbouncer"
    own.mkdir()
    port, log = free_port(), own / "out.log"
    config = own / "pgbouncer.ini"
    config.write_text(_BOUNCER.format(name=NAME, upstream=upstream.port, port=port, folder=own))
    (own / "users.txt").write_text(f'"{OWNER}" ""\n')
    _own(own)
    for path in own.iterdir():
        _own(path)
    with child([*_as("postgres"), binary, str(config)], log) as process:
        wait_for_port(process, port, log)
        yield Server(port, process.pid)


def run_sql(server: Server, database: str, sql: str, password: str = "") -> str:
    """What psql prints. Raises `BenchError` with its words when it fails."""
    connection = f"host=127.0.0.1 port={server.port} user={server.user} dbname={database} sslmode=disable"
    return _checked(["psql", "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", connection, "-c", sql], password)


def versions() -> dict[str, str]:
    """The programs' own words."""
    found = {
        "postgresql": [str(_postgres_binaries() / "postgres"), "--version"],
        "pgbouncer": [_program("pgbouncer", "/usr/sbin/pgbouncer"), "--version"],
    }
    return {name: _checked(command).split("\n")[0].split(" ", 1)[1] for name, command in found.items()}


def _postgres_binaries() -> Path:
    for _ in range(2):
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
        if found:
            return found[-1].parent
        if here := shutil.which("postgres"):
            return Path(here).parent
        _install("postgresql")
    raise BenchError("PostgreSQL is needed: install Debian's package postgresql")


def _program(name: str, elsewhere: str) -> str:
    for _ in range(2):
        if found := shutil.which(name) or (elsewhere if Path(elsewhere).exists() else None):
            return found
        _install(name)
    raise BenchError(f"{name} is needed: install Debian's package {name}")


def _install(package: str) -> None:
    """As the tests do it: where apt-get works for us, and not at all elsewhere."""
    for command in (["apt-get", "update"], ["apt-get", "install", "-y", package]):
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(command, check=False, capture_output=True, timeout=600)


def _as(user: str) -> list[str]:
    """The servers refuse to run as root."""
    return [] if os.getuid() else ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]


def _own(path: Path) -> None:
    """Let the servers reach their files, if they run as somebody else."""
    if not os.getuid():
        path.chmod(0o755)
        if path.name in ("postgres", "pgbouncer") or path.parent.name == "pgbouncer":
            shutil.chown(path, "postgres", "postgres")
            path.chmod(0o700)


def _checked(command: list[str], password: str = "") -> str:
    environ = os.environ | ({"PGPASSWORD": password} if password else {})
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environ, cwd="/")
    if done.returncode:
        raise BenchError(f"{command[0]} failed:\n{done.stderr[-800:]}")
    return done.stdout
