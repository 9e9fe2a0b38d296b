"""Exports into a bucket, against moto's S3 server: numbered objects, a manifest, broken off and continued."""

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pyarrow.parquet
import pytest
from moto.server import ThreadedMotoServer

from funcgate.core.entry import Kind
from funcgate.recording.contents import Opened
from funcgate.recording.export.bucket import BucketPlace
from funcgate.recording.export.cursor import Cursor, Unfit
from funcgate.recording.export.run import Export, Exported, Wanted
from funcgate.recording.filters import Filters
from funcgate.stores.journal_files import FileJournal

from .conftest import ADA, Written

URL = "s3://archive/exports/calls.csv"


class BrokenOff(Exception):
    """The process is killed."""


class Killed(BucketPlace):
    """Dies once so many parts are written: after the part, before the cursor says so, or before either."""

    def __init__(self, url: str, parts: int, *, between: bool) -> None:
        super().__init__(url)
        self._left = parts
        self._between = between

    def settle(self, cursor: Cursor) -> None:
        self._left -= 1
        if self._left < 0:
            if self._between:
                write, self._write = self._write, self._die  # type: ignore[method-assign]
                write(f"exports/calls-{len(cursor.parts) + 1:05d}.csv", bytes(self._part))
            raise BrokenOff
        super().settle(cursor)

    def _die(self, name: str, data: bytes) -> None:
        raise BrokenOff


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    settings = {
        "AWS_ENDPOINT_URL": server, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }  # fmt: skip
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(BucketPlace, "step_bytes", 8000)
    made = boto3.resource("s3", endpoint_url=server, region_name="us-east-1").Bucket("archive")
    made.create()
    yield made
    made.objects.all().delete()
    made.delete()


@pytest.fixture
def many(make_written: Callable[[], Written]) -> Written:
    story = make_written()

    async def play(journal: FileJournal) -> None:
        for number in range(150):
            await journal.append(story.arrived(f"c{number}", ADA), story.then(f"c{number}", Kind.ENDED))

    story.write(play)
    return story


def export(story: Written, place: BucketPlace, form: str = "csv", *, resume: bool = False) -> Exported:
    wanted = Wanted(format=form, filters=Filters(), options={"format": form})
    made = Export(story.journal, wanted, place, resume=resume, opened=Opened)
    return made.run(lambda segment: None, lambda done, of: None)


def objects(bucket: Any) -> dict[str, bytes]:
    return {one.key: one.get()["Body"].read() for one in bucket.objects.all()}


def calls_in(found: dict[str, bytes]) -> list[str]:
    parts = [found[name].decode() for name in sorted(found) if "-0" in name]
    return [row["call"] for part in parts for row in csv.DictReader(io.StringIO(part, newline=""))]


def test_parts_are_whole_and_listed(many: Written, bucket: Any) -> None:
    done = export(many, BucketPlace(URL))
    found = objects(bucket)
    manifest = json.loads(found["exports/calls.csv.manifest"])
    assert found.keys() == {part["name"] for part in manifest["parts"]} | {"exports/calls.csv.manifest"}
    assert len(manifest["parts"]) > 3
    for part in manifest["parts"]:
        assert part["sha256"] == hashlib.sha256(found[part["name"]]).hexdigest()
    assert manifest["rows"] == sum(part["rows"] for part in manifest["parts"]) == done.rows == 150
    assert done.sha256 == hashlib.sha256(found["exports/calls.csv.manifest"]).hexdigest()
    assert calls_in(found) == [many.ids[f"c{number}"] for number in range(150)]


@pytest.mark.parametrize("between", [False, True])
def test_broken_off_and_continued(many: Written, bucket: Any, between: bool) -> None:
    export(many, BucketPlace("s3://archive/whole/calls.csv"))
    whole = objects(bucket)
    for parts in (0, 1, 2):
        with pytest.raises(BrokenOff):
            export(many, Killed(URL, parts, between=between), resume=True)
    export(many, BucketPlace(URL), resume=True)
    found = objects(bucket)
    for name in whole:
        if "manifest" not in name:
            assert found[name.replace("whole/", "exports/")] == found[name]
    assert "exports/calls.csv.cursor" not in found


def test_a_parquet_part_is_a_file(many: Written, bucket: Any) -> None:
    export(many, BucketPlace("s3://archive/calls.parquet"), "parquet")
    table = pyarrow.parquet.read_table(io.BytesIO(objects(bucket)["calls-00001.parquet"]))
    assert table.num_rows == 150


def test_an_export_that_is_there_is_not_written_over(many: Written, bucket: Any) -> None:
    export(many, BucketPlace(URL))
    with pytest.raises(Unfit, match="there already"):
        export(many, BucketPlace(URL), resume=True)


@pytest.mark.parametrize(
    "url", ["s3://archive", "s3://archive/", "s3:///key", "s3://KEY:SECRET@archive/key", "s3://a/b/"]
)
def test_what_is_no_place(url: str) -> None:
    with pytest.raises(Unfit, match="BUCKET/KEY"):
        BucketPlace(url)


def test_a_bucket_that_is_not_there_is_told_without_its_credentials(
    many: Written, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"AWS_ENDPOINT_URL": server, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1"}
    for name, value in (settings | {"AWS_ACCESS_KEY_ID": "canary", "AWS_SECRET_ACCESS_KEY": "canary"}).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(OSError, match="AWS_ENDPOINT_URL") as told:
        export(many, BucketPlace("s3://nowhere/calls.csv"))
    assert "canary" not in str(told.value)
