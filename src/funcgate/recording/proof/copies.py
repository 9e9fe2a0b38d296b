"""Where copies of checkpoints go: a folder, an S3-compatible bucket, a webhook. Whoever may change this host may not change them.

Each of them refuses to put an older head over a newer one, or another of the same size: that is what they are there to show.
"""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote, urlsplit

import httpx

from .checkpoints import Signed
from .disk import create, make_folder, replace
from .note import NoteInvalid, VerifierKey, open_checkpoint

if TYPE_CHECKING:
    from obstore.store import S3Store

LATEST = "latest"
TIMEOUT_S = 10.0
MAX_FETCHED = 1000
_NAME = re.compile(r"\d{15}")


class CopyFailed(Exception):
    """A copy was not made. Says why; it is tried again."""


class Destination(Protocol):
    """Takes one checkpoint, or raises `CopyFailed`. The same one may come again. Blocks, at most for some `TIMEOUT_S`."""

    def put(self, signed: Signed) -> None: ...


class _Place(Protocol):
    """Named notes: all that is needed of a folder or a bucket. Raises `OSError`-like errors, which the caller turns."""

    def get(self, name: str) -> bytes | None: ...
    def put(self, name: str, note: bytes, *, fresh: bool) -> None: ...
    def names(self) -> list[str]: ...


def destination(url: str, key: VerifierKey) -> Destination:
    """From ``file:PATH``, ``s3://BUCKET/PREFIX`` or ``https://…``. Raises `ValueError` for anything else."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        return Kept(_Folder(Path(unquote(parts.path))), key)
    if parts.scheme == "s3":
        return Kept(_Bucket(url), key)
    if parts.scheme in ("http", "https"):
        return _Webhook(url)
    raise ValueError(f"no copy can be sent to {parts.scheme or url}: expected file:, s3: or https:")


def fetch(url: str, key: VerifierKey) -> list[tuple[str, bytes]]:
    """The copies in a folder or a bucket, as (where from, note): the newest and `MAX_FETCHED` before. Raises `CopyFailed`."""
    place = destination(url, key)
    if not isinstance(place, Kept):
        raise CopyFailed("only a folder or a bucket gives copies back")
    return [(f"{url.rstrip('/')}/{name}", note) for name, note in place.all()]


def name_of(size: int) -> str:
    """The name of a checkpoint where copies are kept: names sort like sizes."""
    return f"{size:015d}"


class Kept:
    """Copies that are kept by name: one for each checkpoint, and `latest`."""

    def __init__(self, place: _Place, key: VerifierKey) -> None:
        self._place = place
        self._key = key

    def put(self, signed: Signed) -> None:
        try:
            self._put(signed)
        except CopyFailed:
            raise
        except Exception as error:  # whatever the store raises: its classes are many
            raise CopyFailed(_plain(error)) from None

    def all(self) -> list[tuple[str, bytes]]:
        """`latest` and the newest `MAX_FETCHED`. Raises `CopyFailed`, also when there is none."""
        try:
            names = sorted(name for name in self._place.names() if _NAME.fullmatch(name))[-MAX_FETCHED:]
            found = [(name, note) for name in (*names, LATEST) if (note := self._place.get(name)) is not None]
        except Exception as error:  # whatever the store raises: its classes are many
            raise CopyFailed(_plain(error)) from None
        if not found:
            raise CopyFailed("there is no checkpoint")
        return found

    def _put(self, signed: Signed) -> None:
        size, place = signed.size, self._place
        there = place.get(LATEST)
        if there is not None:
            newest = self._size_of(there)
            # Attack: roll everything on this host back, and let it grow again from there.
            if newest > size:
                raise CopyFailed(
                    f"a checkpoint of {newest} entries is there, and this journal has {size}: it was rolled back"
                )
        name = name_of(size)
        same = place.get(name)
        if same is None:
            place.put(name, signed.note, fresh=True)
        elif same != signed.note:
            raise CopyFailed(
                f"another checkpoint of {size} entries is there: this journal was rolled back and grew again"
            )
        if there != signed.note:
            place.put(LATEST, signed.note, fresh=False)

    def _size_of(self, note: bytes) -> int:
        try:
            return open_checkpoint(note, [self._key]).size
        except NoteInvalid as error:
            raise CopyFailed(f"'{LATEST}' there is not a checkpoint of this journal: {error}") from None


class _Folder:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, name: str) -> bytes | None:
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def names(self) -> list[str]:
        return os.listdir(self._folder)

    def put(self, name: str, note: bytes, *, fresh: bool) -> None:
        make_folder(self._folder)
        if fresh:
            create(self._folder / name, note, 0o444)
        else:
            replace(self._folder / name, note)


class _Bucket:
    """Credentials, region and endpoint come from the environment, as for any AWS tool."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._store: S3Store | None = None

    def get(self, name: str) -> bytes | None:
        import obstore

        try:
            return bytes(obstore.get(self._opened(), name).bytes())
        except FileNotFoundError:
            return None

    def put(self, name: str, note: bytes, *, fresh: bool) -> None:
        import obstore

        obstore.put(self._opened(), name, note, mode="create" if fresh else "overwrite", use_multipart=False)

    def names(self) -> list[str]:
        import obstore

        return [str(each["path"]) for page in obstore.list(self._opened()) for each in page]

    def _opened(self) -> "S3Store":
        from datetime import timedelta

        from obstore.store import S3Store

        if self._store is None:
            limit = timedelta(seconds=TIMEOUT_S)
            plain = os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://")
            self._store = S3Store.from_url(
                self._url,
                client_options={"timeout": limit, "connect_timeout": limit, "allow_http": plain},
                retry_config={"max_retries": 1, "retry_timeout": limit},
            )
        return self._store


class _Webhook:
    """POST of the note as text. A redirect is a failure: the address is the one that was configured."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client: httpx.Client | None = None

    def put(self, signed: Signed) -> None:
        if self._client is None:
            self._client = httpx.Client(timeout=TIMEOUT_S, follow_redirects=False)
        try:
            with self._client.stream(
                "POST", self._url, content=signed.note, headers={"Content-Type": "text/plain; charset=utf-8"}
            ) as answer:
                status = answer.status_code
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise CopyFailed(_plain(error)) from None
        if not 200 <= status < 300:
            raise CopyFailed(f"it answered {status}")


def _plain(error: Exception) -> str:
    """The first line of what a library says, without the rest, which may hold a request with its signature."""
    text = (error.strerror or "") if isinstance(error, OSError) else ""
    return text or f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]}"
