"""`listen.workers`: how many there may be, what each of them may use, and what does not go with several."""

from collections.abc import Callable
from pathlib import Path

import pytest

from funcgate.app import read_parts
from funcgate.config.problems import Faulty
from funcgate.config.workers import share

Write = Callable[..., Path]
SEVERAL = ("  calls: 127.0.0.1:0\n", "  calls: 127.0.0.1:0\n  workers: 3\n")


def complaints(path: Path) -> list[str]:
    with pytest.raises(Faulty) as faulty:
        read_parts(path)
    return [str(problem) for problem in faulty.value.problems if not problem.warning]


def test_one_process_is_the_default_and_shares_with_nobody(write: Write) -> None:
    parts = read_parts(write())
    assert parts.workers == 1
    assert share(parts) is parts


def test_all_workers_together_use_no_more_than_the_file_says(write: Write) -> None:
    parts = read_parts(write(SEVERAL))
    one = share(parts)
    assert (parts.workers, one.workers, one.version) == (3, 3, parts.version)
    assert (parts.limits.connections, one.limits.connections) == (1000, 333)
    assert (parts.limits.http2_streams, one.limits.http2_streams) == (2000, 666)
    assert (parts.journal.queue, one.journal.queue) == (20000, 6666)
    whole, part = parts.targets["payments"].limits, one.targets["payments"].limits
    assert (whole.max_connections, part.max_connections) == (256, 85)
    assert (whole.max_request, whole.timeout_s) == (part.max_request, part.timeout_s)  # of one call: not divided


@pytest.mark.parametrize("workers", [1, 2, 64])
def test_so_many_may_be(write: Write, workers: int) -> None:
    assert read_parts(write((SEVERAL[0], SEVERAL[1].replace("3", str(workers))))).workers == workers


@pytest.mark.parametrize("workers", [0, -1, 65, 1 << 40])
def test_so_many_may_not(write: Write, workers: int) -> None:
    (complaint,) = complaints(write((SEVERAL[0], SEVERAL[1].replace("3", str(workers)))))
    assert "funcgate.yaml:3:" in complaint
    assert "'workers': from 1 to 64" in complaint


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("issuers:", "  limits: {connections: 2}\nissuers:", 5),
        ("issuers:", "  limits: {http2: {all_streams: 2}}\nissuers:", 5),
        ("issuers:", "journal: {queue: 2}\nissuers:", 5),
        ("    functions:\n", "    limits: {max_connections: 2}\n    functions:\n", 14),
    ],
)
def test_a_limit_that_cannot_be_divided_is_refused_at_its_place(write: Write, old: str, new: str, line: int) -> None:
    (complaint,) = complaints(write(SEVERAL, (old, new)))
    assert f"funcgate.yaml:{line}:" in complaint
    assert "is divided among listen.workers (3): at least 3, or fewer workers" in complaint
    read_parts(write((old, new)))  # one process is content with it


def test_content_elsewhere_needs_one_process(write: Write, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    rule = ("issuers:", f"retention: [{{targets: [payments], where: 'file:{tmp_path}/elsewhere'}}]\nissuers:")
    read_parts(write(rule))
    (complaint,) = complaints(write(SEVERAL, rule))
    assert "only one process may store content elsewhere" in complaint
