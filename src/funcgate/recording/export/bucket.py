"""An export into a bucket: numbered objects, each whole by itself, then a manifest that lists them with their digests.

An object that was begun does not exist; one that is there may be written once more with the same content.
"""

import hashlib
from pathlib import PurePosixPath

import msgspec
import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import ObjectStore, from_url

from .cursor import Cursor, Part, Unfit, decode

PART_BYTES = 16 << 20


class BucketPlace:
    """``s3://BUCKET/KEY``: parts ``KEY-00001.EXT``, …, the cursor ``KEY.EXT.cursor``, at the end ``KEY.EXT.manifest``."""

    in_parts = True
    step_bytes = PART_BYTES

    def __init__(self, url: str) -> None:
        bucket, slash, key = url.removeprefix("s3://").partition("/")
        if not bucket or not slash or not key or key.endswith("/") or "@" in bucket:
            raise Unfit("expected s3://BUCKET/KEY; credentials come from the environment (AWS_ACCESS_KEY_ID, …)")
        self._store: ObjectStore = from_url(f"s3://{bucket}")
        self._key = PurePosixPath(key)
        self._cursor = f"{key}.cursor"
        self._manifest = f"{key}.manifest"
        self._part = bytearray()
        self._rows = 0

    def found(self) -> Cursor | None:
        text = self._read(self._cursor)
        if text is not None:
            return decode(text, self._cursor)
        if self._read(self._manifest) is not None:
            raise Unfit(f"{self._key} is there already, and whole; choose another name")
        return None

    def begin(self, cursor: Cursor, *, anew: bool) -> None:
        if anew:
            cursor.parts = []
            self._write(self._cursor, msgspec.json.encode(cursor))
        self._rows = cursor.rows

    def add(self, data: bytes) -> None:
        self._part += data

    def settle(self, cursor: Cursor) -> None:
        name = str(self._key.with_name(f"{self._key.stem}-{len(cursor.parts) + 1:05d}{self._key.suffix}"))
        data = bytes(self._part)
        self._write(name, data)
        part = Part(name, len(data), cursor.rows - self._rows, hashlib.sha256(data).hexdigest())
        cursor.parts.append(part)
        cursor.bytes += part.bytes
        self._part.clear()
        self._rows = cursor.rows
        self._write(self._cursor, msgspec.json.encode(cursor))

    def finish(self, cursor: Cursor) -> None:
        """`sha256` becomes the manifest's digest."""
        if self._part and (cursor.rows > self._rows or not cursor.parts):
            self.settle(cursor)
        parts = [msgspec.to_builtins(part) for part in cursor.parts]
        manifest = msgspec.json.encode({"rows": cursor.rows, "bytes": cursor.bytes, "parts": parts})
        cursor.sha256 = hashlib.sha256(manifest).hexdigest()
        self._write(self._manifest, manifest)
        obstore.delete(self._store, self._cursor)

    def close(self) -> None:
        pass

    def _read(self, name: str) -> bytes | None:
        try:
            return bytes(obstore.get(self._store, name).bytes())
        except (FileNotFoundError, NotFoundError):
            return None
        except BaseError as error:
            raise _unfit(name, error) from None

    def _write(self, name: str, data: bytes) -> None:
        try:
            obstore.put(self._store, name, data, use_multipart=False)
        except (BaseError, OSError) as error:
            raise _unfit(name, error) from None


def _unfit(name: str, error: Exception) -> OSError:
    # The library's own text may quote a signed request.
    hint = "see that AWS_ENDPOINT_URL, AWS_REGION and the credentials are right"
    return OSError(5, f"the bucket does not take or give {name} ({type(error).__name__}); {hint}")
