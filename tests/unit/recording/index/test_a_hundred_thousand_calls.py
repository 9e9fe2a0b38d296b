"""A hundred thousand calls as the bench makes them: each kind of question gets what a scan of all of them gets."""

from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest
from bench.history import Cast, write_history
from bench.search import questions

from funcgate.recording.filters import Filters, matcher
from funcgate.recording.index.asking import Answers
from funcgate.recording.index.following import catch_up, open_indexer
from funcgate.recording.index.people import callers_in
from funcgate.recording.reader import read_calls

CALLS, LIMIT = 100_000, 50


@pytest.mark.slow
def test_the_same_pages_as_a_scan(tmp_path: Path) -> None:
    cast = Cast()
    entries = write_history(tmp_path / "journal", CALLS, cast)
    with closing(open_indexer(tmp_path)) as indexer:
        catch_up(tmp_path / "journal", indexer)
        assert (indexer.position, indexer.calls) == (entries, CALLS)
    asked = {name: ask() for name, ask in questions(cast, CALLS).items()}
    tests = {name: matcher(filters) for name, filters in asked.items()}
    expected: dict[str, list[str]] = {name: [] for name in asked}
    for record in read_calls(tmp_path / "journal", Filters()):
        for name, wanted in tests.items():
            if len(expected[name]) < LIMIT and wanted(record):
                expected[name].append(record.id)
    with Answers(tmp_path) as answers:
        for name, filters in asked.items():
            assert [record.id for record in answers.page(filters, LIMIT).calls] == expected[name], name
        everything = [record.id for _, record in islice(answers.calls(Filters(group="team-3")), CALLS)]
        assert len(everything) == sum(caller.calls for caller in answers.callers(Filters(group="team-3")))
        some = Filters(function="target3.*", since=asked["time range"].since, until=asked["time range"].until)
        assert answers.callers(some) == callers_in(read_calls(tmp_path / "journal", some))
