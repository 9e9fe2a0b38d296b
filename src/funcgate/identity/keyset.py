"""One issuer's keys over time: fetched once for all who wait, refreshed ahead, kept while the provider is down.

A fetch that fails changes nothing; keys that were not confirmed for `keep` seconds serve no more.
"""

import asyncio
import hashlib
import math
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from funcgate.core.refusal import Code, Refused

from .claims import invalid
from .fetch import MAX_BYTES, Fetcher, FetchFailed
from .jwt import shown
from .keys import PublicKey, fitting, read_key_set
from .spec import Rules
from .strictjson import NotJson

FILE_CHECK_S = 1.0


class Place(Protocol):
    """Where a key set is read."""

    check_every_s: float | None

    async def load(self) -> bytes | None:
        """The document, or None if it has not changed since the last one. Raises `FetchFailed`."""
        ...


class UrlPlace:
    """A key set behind HTTPS, at `jwks_url`, or where the issuer's OpenID configuration says."""

    check_every_s: float | None = None

    def __init__(self, issuer: str, jwks_url: str | None, fetcher: Fetcher) -> None:
        self._issuer = issuer
        self._url = jwks_url
        self._fetcher = fetcher

    async def load(self) -> bytes | None:
        return await self._fetcher.get(self._url or await self._fetcher.discover(self._issuer))


class FilePlace:
    """A key set in a file, read again when the file changes."""

    check_every_s: float | None = FILE_CHECK_S

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, ...] | None = None

    async def load(self) -> bytes | None:
        return self.read()

    def read(self) -> bytes | None:
        """As `load`, without waiting for more than the disk."""
        try:
            found = os.stat(self._path)
            if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_BYTES:
                raise FetchFailed(f"{self._path} is not a file of at most {MAX_BYTES} bytes")
            seen = (found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_size)
            if seen == self._seen:
                return None
            document = self._path.read_bytes()
        except OSError as error:
            self._seen = None
            raise FetchFailed(f"{self._path} cannot be read ({error.strerror})") from None
        self._seen = seen
        return document


class KeySet:
    """The keys of one issuer. `failure` says why the last try to read them failed, "" if it did not."""

    def __init__(self, rules: Rules, place: Place, now: Callable[[], float]) -> None:
        self.failure = "not read yet"
        self.ignored: list[str] = []
        self.next_at = 0.0
        self._rules = rules
        self._place = place
        self._now = now
        self._keys: list[PublicKey] = []
        self._asked_at = -math.inf
        self._document = b""
        self._flight: asyncio.Task[None] | None = None
        self._users = 0

    async def key_for(self, kid: str | None, alg: str) -> PublicKey:
        """The one key that fits. An unknown `kid` makes the set be read again, at most once per cooldown.

        Raises `Refused`: 503 if there are no keys at all, else `identity.invalid`.
        """
        found = self._fitting(kid, alg)
        if not found and self._may_ask():
            await self.refresh()
            found = self._fitting(kid, alg)
        if len(found) == 1:
            return found[0]
        name = self._rules.name
        if not self.serving():
            wait_s = min(self._rules.cooldown_s, max(1.0, self._asked_at + self._rules.cooldown_s - self._now()))
            detail = f"issuer {name} has no keys now: {self.failure}"
            raise Refused(
                Code.IDENTITY_INVALID, private_detail=detail, status=503, retry_after_s=max(1, math.ceil(wait_s))
            )
        # Attack: a token without kid that is tried against one key after the other.
        how_many = "more than one key" if found else "no key"
        raise invalid(f"issuer {name} has {how_many} {shown(kid)} for {alg}")

    def serving(self) -> bool:
        """Whether any key may be used now."""
        now = self._now()
        return any(key.good_until > now for key in self._keys)

    def due(self) -> bool:
        """Whether the set should be read again; also after the clock was put back."""
        return not 0 < self.next_at - self._now() <= max(self._rules.refresh_s, self._rules.cooldown_s)

    async def refresh(self) -> None:
        """Read the set now, or wait for whoever is reading it. Never raises; see `failure`."""
        if self._flight is None or self._flight.done():
            self._flight = asyncio.create_task(self._load())
        await asyncio.wait([self._flight])

    def adopt(self, document: bytes | None) -> None:
        """Take the keys of a document (None: the last one again) from now on. Raises `NotJson`, and changes nothing then."""
        now = self._now()
        digest = self._document if document is None else hashlib.sha256(document).digest()
        if document is not None and digest != self._document:
            fresh, self.ignored = read_key_set(document)
            keys = [next((old for old in self._keys if old.jwk == new.jwk), new) for new in fresh]
            for old in self._keys:
                if old not in keys:
                    old.good_until = 0.0  # its tokens are refused from here on, remembered or not
            self._keys, self._document = keys, digest
        for key in self._keys:
            key.good_until = now + self._rules.keep_s
        self.failure = "" if self._keys else "; ".join(["its key set has no key that can be used", *self.ignored[:3]])

    def retain(self) -> None:
        """One more user. A set is shared by the configurations before and after a reload."""
        self._users += 1

    async def release(self) -> None:
        """One user less; the last one ends a fetch that is under way."""
        self._users -= 1
        if self._users <= 0 and self._flight is not None and not self._flight.done():
            self._flight.cancel()
            await asyncio.wait([self._flight])

    async def _load(self) -> None:
        rules, every_s = self._rules, self._place.check_every_s
        retry_s = every_s or min(rules.cooldown_s, rules.refresh_s)
        self.next_at = self._now() + retry_s
        try:
            self.adopt(await self._place.load())
        except FetchFailed as why:
            self.failure = str(why)
        except NotJson as why:
            self.failure = f"its key set {why}"
        except Exception as error:
            self.failure = f"its keys could not be read ({type(error).__name__})"
        else:
            self.next_at = self._now() + (every_s or rules.refresh_s)

    def _may_ask(self) -> bool:
        # Attack: tokens with random kids, so that the gateway floods the provider or waits for it on every call.
        now = self._now()
        if 0 <= now - self._asked_at < self._rules.cooldown_s:
            return self._flight is not None and not self._flight.done()
        self._asked_at = now
        return True

    def _fitting(self, kid: str | None, alg: str) -> list[PublicKey]:
        now = self._now()
        return [key for key in fitting(self._keys, kid, alg) if key.good_until > now]
