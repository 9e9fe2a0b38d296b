"""`funcgate audit export`: files, standard output, orders for the journal, damage, sealed content."""

import asyncio
import base64
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw

from funcgate.core.entry import Decided, Entry, Kind, Who
from funcgate.core.ids import new_id
from funcgate.stores.journal_files import FileJournal
from funcgate.stores.lines import add_lines

Funcgate = Callable[..., Any]
ADA = Who("corp", "ada", ("agents",), None, "aa11")


async def _write(folder: Path) -> list[str]:
    journal = FileJournal(folder, min_free_bytes=0)
    await journal.start()
    now = time.time()
    ids = [new_id(now - 3), new_id(now - 2)]
    for call in ids:
        arrived = Entry(
            kind=Kind.ARRIVED, call=call, principal=ADA, function="shop.pay", target="shop", args=Raw(b'{"a":1}')
        )
        await journal.append(
            arrived,
            Entry(kind=Kind.ALLOWED, call=call, function="shop.pay", policy=Decided(("small",), "v1")),
            Entry(kind=Kind.ENDED, call=call, function="shop.pay", outcome="complete", status=200),
        )
    await journal.close()
    return ids


@pytest.fixture
def data(folder: Path) -> Path:
    data = folder / "funcgate-data"
    data.mkdir(mode=0o700)
    return data


@pytest.fixture
def ids(data: Path) -> list[str]:
    return asyncio.run(_write(data / "journal"))


def orders(data: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted((data / "inbox").glob("*.json"))]


def test_a_file_and_its_two_orders(funcgate: Funcgate, data: Path, ids: list[str]) -> None:
    ran = funcgate("audit", "export", "--format", "csv", "--since", "1h", "--out", "out.csv", "--json")
    assert ran.status == 0
    out = Path("out.csv").read_bytes()
    assert [line.split(",")[0].strip('"') for line in out.decode().splitlines()] == ["call", *ids]
    assert ran.json["sha256"] == hashlib.sha256(out).hexdigest()
    begun, complete = orders(data)
    assert begun == {"what": "export", "format": "csv", "out": "out.csv", "since": "1h", "state": "begun"}
    assert complete["state"] == "complete"
    assert (complete["rows"], complete["sha256"]) == (2, ran.json["sha256"])


def test_standard_output(process: Funcgate, ids: list[str]) -> None:
    ran = process("audit", "export", "--format", "ocsf", "--out", "-")
    assert ran.status == 0
    assert [json.loads(line)["metadata"]["uid"] for line in ran.out.splitlines() if "shop.pay" in line] == ids
    assert "2 rows" in ran.err


def test_what_cannot_be_recorded_is_not_exported(funcgate: Funcgate, data: Path, ids: list[str]) -> None:
    (data / "inbox").write_text("in the way")
    ran = funcgate("audit", "export", "--out", "out")
    assert ran.status == 1
    assert "cannot be recorded" in ran.err
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--format", "xml", "--out", "x"), "jsonl, csv, cef, ocsf or parquet"),
        (("--out", "-", "--resume"), "cannot be continued"),
        (("--out", "ftp://x/y"), "s3://BUCKET/KEY"),
        (("--out", "s3://bucket"), "s3://BUCKET/KEY"),
        (("--out", "x", "--since", "yesterday"), "is no time"),
        (("--out", "x", "--decision", "maybe"), "is no decision"),
        (("--out", "-", "--json"), "both write"),
    ],
)
def test_unusable(funcgate: Funcgate, data: Path, ids: list[str], options: tuple[str, ...], said: str) -> None:
    ran = funcgate("audit", "export", *options)
    assert (ran.status, said in ran.err + ran.out) == (2, True), ran.err + ran.out
    assert not Path("x").exists()
    assert orders(data) == []


def test_damage_is_told_and_the_rest_exported(funcgate: Funcgate, data: Path, ids: list[str]) -> None:
    segment = next((data / "journal").glob("*.jsonl"))
    lines = segment.read_bytes().splitlines(keepends=True)
    lines[2] = b"x" * (len(lines[2]) - 1) + b"\n"
    segment.chmod(0o600)
    segment.write_bytes(b"".join(lines))
    ran = funcgate("audit", "export", "--format", "csv", "--out", "out")
    assert ran.status == 1
    assert "1 line(s) cannot be read" in ran.err
    assert len(Path("out").read_text().splitlines()) == 3


@pytest.fixture
def sealed(data: Path, folder: Path, configuration: dict[str, Any]) -> Callable[[bytes], None]:
    """A journal whose content is sealed, and a configuration that names its key."""
    from funcgate.core.entry import Sealed

    def write(key: bytes) -> None:
        async def run() -> None:
            journal = FileJournal(data / "journal", min_free_bytes=0)
            await journal.start()
            seal = Sealed(content=base64.b64encode(b"n" * 40).decode(), content_key="gone")
            call = new_id()
            await journal.append(Entry(kind=Kind.ARRIVED, call=call, function="shop.pay", sealed=seal))
            await journal.append(Entry(kind=Kind.ENDED, call=call, outcome="complete"))
            await journal.close()

        asyncio.run(run())
        journal = {"journal": {"encryption": {"key": "env:RECORD_KEY"}}} if key else {}
        (folder / "funcgate.yaml").write_text(json.dumps(configuration | journal))

    return write


def test_content_without_a_key_is_told(funcgate: Funcgate, sealed: Callable[[bytes], None]) -> None:
    sealed(b"")
    ran = funcgate("audit", "export", "--out", "out")
    assert ran.status == 1
    assert "no journal.encryption.key is configured" in ran.err


def test_content_that_has_expired_is_told(funcgate: Funcgate, sealed: Callable[[bytes], None]) -> None:
    key = b"k" * 32
    sealed(key)
    ran = funcgate("audit", "export", "--out", "out", RECORD_KEY=base64.b64encode(key).decode())
    assert (ran.status, "it has expired" in ran.err) == (0, True), ran.err
    assert json.loads(Path("out").read_text().splitlines()[1])["sealed"]["content_key"] == "gone"


def test_an_unset_key_is_told(funcgate: Funcgate, sealed: Callable[[bytes], None]) -> None:
    sealed(b"k" * 32)
    ran = funcgate("audit", "export", "--out", "out")
    assert ran.status == 2
    assert "RECORD_KEY is not set" in ran.err


@pytest.mark.slow
def test_kill_9_at_any_moment_leaves_something_to_go_on_with(folder: Path, data: Path) -> None:
    """The real command, killed after ever more time until it gets through; what comes out is what came out at once."""
    (data / "journal").mkdir()
    lines = bytearray()
    seq = 0
    for number in range(30_000):
        call = new_id(1_790_000_000 + number)
        arrived = Entry(
            kind=Kind.ARRIVED, call=call, principal=ADA, function="shop.pay", args=Raw(b'{"note":"%b"}' % (b"n" * 300))
        )
        seq = add_lines(
            lines, [arrived, Entry(kind=Kind.ENDED, call=call, outcome="complete")], seq, "2026-11-21T00:00:00.000000Z"
        )
    (data / "journal" / "00000001.jsonl").write_bytes(lines)
    command = [Path(sys.executable).parent / "funcgate", "audit", "export", "--format", "csv", "--data-dir", data]
    assert subprocess.run([*command, "--out", folder / "whole"], timeout=60).returncode == 0
    for tenths in range(5, 60, 3):
        with subprocess.Popen([*command, "--out", folder / "out", "--resume"]) as ran:
            with suppress(subprocess.TimeoutExpired):
                ran.wait(tenths / 10)
            ran.kill()
        if ran.returncode == 0:
            break
    assert ran.returncode == 0
    assert tenths > 5  # it was killed at least once
    assert (folder / "out").read_bytes() == (folder / "whole").read_bytes()
    assert not (folder / "out.cursor").exists()
    assert {order["state"] for order in orders(data)} == {"begun", "resumed", "complete"}
