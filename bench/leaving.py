"""What leaves: how fast each format is exported, and how fast each kind of destination is sent to, by one core.

The receivers are processes of their own that count and answer, and do nothing else: they are not what is measured.
"""

import multiprocessing
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from funcgate.core.secret import Secret
from funcgate.recording.contents import Opened
from funcgate.recording.export.formats import FORMATS
from funcgate.recording.export.places import FilePlace
from funcgate.recording.export.run import Export, Wanted
from funcgate.recording.filters import Filters
from funcgate.recording.follow import Follow
from funcgate.recording.forward.build import forwarder
from funcgate.recording.keeper.settings import (
    ForwardSettings,
    KeeperSettings,
    OtlpSettings,
    SyslogSettings,
    WebhookSettings,
)

from .bed import Bed, tell
from .history import Cast, write_history

FULL_CALLS, QUICK_CALLS = 100_000, 20_000


def run(bed: Bed) -> None:
    """Print calls a second and MB/s."""
    calls = FULL_CALLS if bed.options.effort.rounds > 4 else QUICK_CALLS
    bed.results["leaving"] = results = measure(bed.folder / "leaving", calls)
    print("\n".join(f"{name:44} {value}" for name, value in results.items()), end="\n\n")


def measure(data_dir: Path, calls: int) -> dict[str, Any]:
    tell(f"a journal of {calls} calls is written")
    entries = write_history(data_dir / "journal", calls, Cast())
    results: dict[str, Any] = {"calls": calls, "entries": entries}
    for form in FORMATS:
        tell(f"it is exported as {form}")
        results[f"export {form}, calls/s"] = round(calls / _exported(data_dir, form))
    with _receiver("lines") as lines, _receiver("http") as http:
        url = f"http://127.0.0.1:{http}/v1/logs"
        for content in (False, True):
            for to in (
                SyslogSettings(name=f"syslog-{content}", host="127.0.0.1", port=lines, tls=False, content=content),
                WebhookSettings(name=f"webhook-{content}", url=url, secret=Secret("key"), content=content),
                OtlpSettings(name=f"otlp-{content}", url=url, content=content),
            ):
                tell(f"it is sent to {to.name}")
                kind = f"forward {type(to).__name__.removesuffix('Settings').lower()}{', content' if content else ''}"
                took_s = _sent(data_dir, to, entries)
                results[f"{kind}, calls/s"], results[f"{kind}, entries/s"] = (
                    round(calls / took_s),
                    round(entries / took_s),
                )
    return results


def _exported(data_dir: Path, form: str) -> float:
    wanted = Wanted(format=form, filters=Filters(), options={})
    place = FilePlace(data_dir / f"out.{form}")
    start = time.perf_counter()
    Export(data_dir / "journal", wanted, place, resume=False, opened=Opened).run(
        lambda name: None, lambda done, of: None
    )
    return time.perf_counter() - start


def _sent(data_dir: Path, to: ForwardSettings, entries: int) -> float:
    chore = forwarder(KeeperSettings(data_dir=str(data_dir)), to, lambda change: None)
    follow = Follow(data_dir / "journal", chore.position)
    start = time.perf_counter()
    while lines := follow.read(entries):
        chore.take(lines)
    took_s = time.perf_counter() - start
    chore.close()
    return took_s


@contextmanager
def _receiver(kind: str) -> Iterator[int]:
    """Its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    target = _count if kind == "lines" else _answer
    process: BaseProcess = multiprocessing.get_context("fork").Process(target=target, args=(listener,), daemon=True)
    process.start()
    try:
        yield listener.getsockname()[1]
    finally:
        process.kill()
        process.join()
        listener.close()


def _count(listener: socket.socket) -> None:
    while True:
        connection, _ = listener.accept()
        while connection.recv(1 << 18):
            pass
        connection.close()


def _answer(listener: socket.socket) -> None:
    while True:
        connection, _ = listener.accept()
        data = bytearray()
        while piece := connection.recv(1 << 18):
            data += piece
            head, found, _ = bytes(data[:4096]).partition(b"\r\n\r\n")
            if not found:
                continue
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
            if len(data) >= len(head) + 4 + int(fields[b"content-length"]):
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                data.clear()
        connection.close()
