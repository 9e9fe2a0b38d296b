"""A private PostgreSQL server in a temporary folder, scram-sha-256 for everybody; Debian's package is installed if need be."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg

from support.authority import ISSUER, Authority
from support.gate import Gate, free_port

OWNER, PASSWORD = "owner", "owner-9c41d7aa0be2"


def binaries() -> Path:
    """The folder of initdb and postgres. Raises `AssertionError` when they cannot be had."""
    for _ in range(2):
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
        if found:
            return found[-1].parent
        if here := shutil.which("postgres"):
            return Path(here).parent
        subprocess.run(["apt-get", "update"], check=False, capture_output=True, timeout=300)
        subprocess.run(["apt-get", "install", "-y", "postgresql"], check=False, capture_output=True, timeout=600)
    raise AssertionError("PostgreSQL is needed: install Debian's package postgresql")


class Database:
    """The server: `port` on 127.0.0.1, the database ``shop``, and its owner, who is no superuser."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
        self.port = free_port()
        self._bin = binaries()
        self._process: subprocess.Popen[bytes] | None = None
        self.tls = False

    def start(self, *, cert: Path | None = None, key: Path | None = None) -> "Database":
        data = self.folder / "data"
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        if os.getuid() == 0:
            shutil.chown(self.folder, "postgres")
            shutil.chown(secret, "postgres")
        made = self._run(
            "initdb", "-D", str(data), "-U", "root", "--auth=scram-sha-256", f"--pwfile={secret}", "--no-sync", "-E", "UTF8",
            "--locale=C.UTF-8",
        )  # fmt: skip
        assert made.returncode == 0, made.stderr.decode()
        options = {
            "port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off",
            "password_encryption": "scram-sha-256", "max_connections": 60, "timezone": "UTC",
        }  # fmt: skip
        if cert is not None and key is not None:
            for source, name in ((cert, "server.crt"), (key, "server.key")):
                shutil.copy(source, data / name)
                shutil.chown(data / name, "postgres" if os.getuid() == 0 else None, None) if os.getuid() == 0 else None
                (data / name).chmod(0o600)
            options["ssl"] = "on"
        with (data / "postgresql.auto.conf").open("a") as out:
            out.writelines(f"{name} = '{value}'\n" for name, value in options.items())
        log = (self.folder / "log.txt").open("ab")
        self._process = subprocess.Popen(
            [*_as_postgres(), str(self._bin / "postgres"), "-D", str(data)], stdout=log, stderr=log, cwd="/"
        )
        self._wait()
        with self.connect(user="root", dbname="postgres") as connection:
            connection.execute(f"CREATE ROLE {OWNER} LOGIN PASSWORD '{PASSWORD}'")  # type: ignore[arg-type]
            connection.execute(f"CREATE DATABASE shop OWNER {OWNER}")  # type: ignore[arg-type]
        return self

    def connect(self, **changes: Any) -> psycopg.Connection[Any]:
        """Directly, past the gateway; as the owner unless told otherwise."""
        given = {
            "host": "127.0.0.1",
            "port": self.port,
            "user": OWNER,
            "password": PASSWORD,
            "dbname": "shop",
        } | changes
        return psycopg.connect(**given, autocommit=True)

    def fill(self, sql: str) -> None:
        with self.connect() as connection:
            connection.execute(sql)  # type: ignore[arg-type]

    @property
    def url(self) -> str:
        return f"postgres://127.0.0.1:{self.port}/shop"

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, name: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*_as_postgres(), str(self._bin / name), *arguments], capture_output=True, timeout=120, cwd="/", check=False
        )

    def _wait(self) -> None:
        for _ in range(300):
            try:
                self.connect(user="root", dbname="postgres").close()
                return
            except psycopg.OperationalError:
                time.sleep(0.05)
        raise AssertionError(f"PostgreSQL did not start:\n{(self.folder / 'log.txt').read_text()[-2000:]}")


def _as_postgres() -> list[str]:
    """The server refuses to run as root."""
    if os.getuid() != 0:
        return []
    pwd.getpwnam("postgres")
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]


FUNCTIONS_ALLOWED = [{"name": "agents", "effect": "allow", "functions": ["shop.*"], "principals": ["group:agents"]}]


class SqlGate(Gate):
    """A gateway in front of a database. `port` is where its PostgreSQL callers connect."""

    def __init__(self, folder: Path, authority: Authority, database: Database, **changes: Any) -> None:
        target: dict[str, Any] = {"name": "shop", "protocol": "postgres", "url": database.url}
        target["credential"] = {"type": "password", "user": OWNER, "secret": f"file:{folder / 'secret'}"}
        (folder / "secret").write_text(PASSWORD)
        (folder / "secret").chmod(0o600)
        base: dict[str, Any] = {
            "listen": {"calls": "127.0.0.1:0", "console": "127.0.0.1:0", "postgres": "127.0.0.1:0"},
            "issuers": [
                {"name": "corp", "issuer": ISSUER, "audience": "funcgate", "jwks_file": str(authority.jwks_file)}
            ],
            "targets": [target | changes.pop("target", {})],
            "policies": FUNCTIONS_ALLOWED,
        }
        base["listen"] |= changes.pop("listen", {})
        super().__init__(folder, base | changes)
        self.authority = authority

    @property
    def port(self) -> int:
        return int(self.logged("serving")[0]["postgres"].rpartition(":")[2])

    def login(self, **changes: Any) -> dict[str, Any]:
        """What psycopg needs to connect as an agent."""
        return {
            "host": "127.0.0.1", "port": self.port, "user": "agent", "password": self.authority.token(), "dbname": "shop",
        } | changes  # fmt: skip

    def connect(self, **changes: Any) -> psycopg.Connection[Any]:
        return psycopg.connect(**{"autocommit": True} | self.login(**changes))

    def calls_of(self, function: str) -> list[list[dict[str, Any]]]:
        """The entries of each call of a function, in order."""
        found: dict[str, list[dict[str, Any]]] = {}
        for entry in self.entries():
            if entry.get("function") == function:
                found.setdefault(entry["call"], []).append(entry)
        return list(found.values())
