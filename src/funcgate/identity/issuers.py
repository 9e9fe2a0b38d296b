"""Token to Principal, for all configured issuers: the adapter of the port `Identity`.

Remembers verified tokens until they or their key end. Remembers no refusal: a token that was refused is verified again.
"""

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from funcgate.core.native import half
from funcgate.core.principal import Principal, RawToken
from funcgate.core.problem import Problem, Unusable
from funcgate.core.refusal import Code, Refused
from funcgate.core.revocation import Marks, Revoked, marks_of

from .fetch import Fetcher, FetchFailed
from .jwt import Trusted, Verdict, verify
from .keyset import FilePlace, KeySet, UrlPlace
from .spec import MAX_LEEWAY_S, IssuerSpec, Rules, Where, read_spec
from .strictjson import NotJson

_native = half("funcgate.identity._native")
CACHE_TOKENS = 10_000
CACHE_BYTES = 16 << 20
LONGEST_SLEEP_S = 60.0
SHORTEST_SLEEP_S = 0.02


class Known(Struct, frozen=True):
    """A configured issuer with its keys: what a later configuration may take over."""

    spec: IssuerSpec
    base: Path
    rules: Rules
    keys: KeySet


class Remembered(NamedTuple):
    """A token that was verified: for whom, its size in bytes, and what of it may be revoked."""

    verdict: Verdict
    size: int
    marks: Marks


class Remembering:
    """Recalls tokens that still stand; `_recall` is for all others. `tokens` are by digest."""

    __slots__ = ()

    def __init__(self, tokens: "OrderedDict[bytes, Remembered]", now: Callable[[], float], revoked: Revoked) -> None:
        """Nothing is quick here."""

    def recall(self, token: RawToken) -> Principal | None:
        """See `core.ports.Identity`."""
        return self._recall(token)

    def _recall(self, token: RawToken) -> Principal | None:
        raise NotImplementedError


if not TYPE_CHECKING and _native is not None:
    Remembering = _native.Remembering


class Issuers(Remembering):
    """All issuers of one configuration. `now` is Unix time, UTC, in seconds.

    Call `start` before use and `close` after it. `previous` hands over the keys and remembered tokens of issuers that
    have not changed; close it once this one has started and is in use. `revoked` is what stands of revocations, the same
    object for all that take over from each other; whoever keeps them fills it.
    """

    __slots__ = (
        "__weakref__", "_cache_bytes", "_cache_tokens", "_known", "_now", "_previous", "_task", "_tokens", "_trusted", "revoked",
    )  # fmt: skip

    def __init__(
        self,
        specs: Sequence[IssuerSpec],
        *,
        base: Path,
        previous: "Issuers | None" = None,
        now: Callable[[], float] = time.time,
        cache_tokens: int = CACHE_TOKENS,
        where: Where = ("issuers",),
    ) -> None:
        """Raises `Unusable`. `base` is the folder that file names are relative to, `where` the place of the specs."""
        self._now = now
        self._cache_tokens = cache_tokens
        self._cache_bytes = 0
        self._tokens: OrderedDict[bytes, Remembered] = OrderedDict()
        self._previous = previous
        # Attack: be let in again by a reload, or while one goes on.
        self.revoked: Revoked = Revoked() if previous is None else previous.revoked
        super().__init__(self._tokens, now, self.revoked)
        self._known: dict[str, Known] = {}
        self._trusted: dict[str, Trusted] = {}
        self._task: asyncio.Task[None] | None = None
        problems: list[Problem] = []
        for at, spec in enumerate(specs):
            problems += self._add(spec, (*where, at), base)
        if problems:
            raise Unusable(problems)

    def _recall(self, token: RawToken) -> Principal | None:
        digest = token.digest
        found = self._tokens.get(digest)
        if found is None:
            return None
        (verdict, _, marks), now, revoked = found, self._now(), self.revoked.marks
        # Attack: go on with a token whose key was withdrawn, or whose provider has been silent for longer than `keep`.
        if now < verdict.until and now < verdict.key.good_until:
            if revoked and not revoked.isdisjoint(marks):
                raise self._revoked(verdict.principal, marks)
            self._tokens.move_to_end(digest)
            return verdict.principal
        self._forget(digest)
        return None

    async def identify(self, token: RawToken | None) -> Principal:
        """See `core.ports.Identity`. Raises `Refused`: `identity.missing`, `identity.expired`, `identity.revoked`, or
        `identity.invalid`, with status 503 where the issuer's keys cannot be had."""
        if token is None or not token.value:
            raise Refused(Code.IDENTITY_MISSING, private_detail="no token")
        verdict = await verify(token, self._trusted, self._now)
        self._remember(token.digest, Remembered(verdict, len(token.value), marks_of(verdict.principal)))
        self.check(verdict.principal)
        return verdict.principal

    def check(self, principal: Principal) -> None:
        """Raises `Refused(identity.revoked)` for somebody who was verified, by whatever way, and is revoked."""
        marks = marks_of(principal)
        if not self.revoked.marks.isdisjoint(marks):
            raise self._revoked(principal, marks)

    def ends(self, fingerprint: str) -> float | None:
        """When a token that is remembered ends, however much leeway it is given (Unix time); None if it is unknown."""
        known = (each.verdict.principal for each in self._tokens.values())
        return max((each.expires_at + MAX_LEEWAY_S for each in known if each.token == fingerprint), default=None)

    def known(self, name: str) -> Known | None:
        """The issuer that is configured under this name."""
        return self._known.get(name)

    async def start(self) -> None:
        """Read the keys of all issuers, at most for the fetch timeout, and keep them fresh from then on.

        An issuer that cannot be reached is no error: its tokens are refused, and `problems` says so.
        """
        for known in self._known.values():
            known.keys.retain()
        await asyncio.gather(*(known.keys.refresh() for known in self._known.values() if known.keys.due()))
        if self._previous is not None:
            self._take_tokens(self._previous)
            self._previous = None
        self._task = asyncio.create_task(self._keep_fresh())

    async def close(self) -> None:
        """End the refreshing. Keys that a later `Issuers` took over stay with it."""
        if self._task is None:
            return
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._task = None
        for known in self._known.values():
            await known.keys.release()

    def problems(self) -> list[str]:
        """Why tokens of an issuer cannot be verified now, for the operator; empty when all can."""
        return [f"issuer {name}: {at.keys.failure}" for name, at in self._known.items() if not at.keys.serving()]

    def warnings(self) -> list[str]:
        """What is wrong with an issuer's keys though tokens can still be verified, for the operator."""
        found = []
        for name, known in self._known.items():
            if known.keys.failure and known.keys.serving():
                found.append(f"issuer {name}: keys known from before still serve; {known.keys.failure}")
            found += [f"issuer {name}: {why}" for why in known.keys.ignored]
        return found

    def _add(self, spec: IssuerSpec, where: Where, base: Path) -> list[Problem]:
        rules, problems = read_spec(spec, where, base)
        # Attack: two issuers with one `iss`: which rules hold would depend on their order.
        if spec.name in self._known:
            problems.append(Problem(where=(*where, "name"), text=f"there are two issuers named {spec.name!r}"))
        if spec.issuer in self._trusted:
            problems.append(
                Problem(where=(*where, "issuer"), text="another issuer has this iss; list audiences instead")
            )
        if rules is None or problems:
            return problems
        before = self._previous and self._previous._known.get(spec.name)
        if before and (before.spec, before.base) == (spec, base):
            keys = before.keys
        else:
            keys, problems = _key_set(spec, rules, where, base, self._now)
        self._known[spec.name] = Known(spec, base, rules, keys)
        self._trusted[spec.issuer] = Trusted(rules, keys)
        return problems

    def _revoked(self, principal: Principal, marks: Marks) -> Refused:
        found = self.revoked.among(marks)
        by_token = found is not None and found.token
        text = (
            "This token was revoked." if by_token else "The caller's access was revoked; another token will not help."
        )
        detail = (
            f"{principal.issuer}/{principal.subject}, token {principal.token}: revocation {found.id if found else '?'}"
        )
        return Refused(Code.IDENTITY_REVOKED, text, private_detail=detail)

    def _remember(self, digest: bytes, remembered: Remembered) -> None:
        self._forget(digest)
        self._tokens[digest] = remembered
        self._cache_bytes += remembered.size
        # Attack: a caller who is issued token after token, each as large as allowed, until the memory is full.
        while len(self._tokens) > self._cache_tokens or self._cache_bytes > CACHE_BYTES:
            self._cache_bytes -= self._tokens.popitem(last=False)[1].size

    def _forget(self, digest: bytes) -> None:
        found = self._tokens.pop(digest, None)
        if found is not None:
            self._cache_bytes -= found.size

    def _take_tokens(self, previous: "Issuers") -> None:
        """Remember what `previous` does of the issuers that both know. A key that was withdrawn takes its tokens along."""
        shared = {
            name for name, at in self._known.items() if name in previous._known and _same(at, previous._known[name])
        }
        for digest, remembered in previous._tokens.items():
            if remembered.verdict.principal.issuer in shared:
                self._remember(digest, remembered)

    async def _keep_fresh(self) -> None:
        sets = [known.keys for known in self._known.values()]
        while True:
            await asyncio.gather(*(keys.refresh() for keys in sets if keys.due()))
            soonest = min((keys.next_at for keys in sets), default=0.0) - self._now()
            await asyncio.sleep(min(max(soonest, SHORTEST_SLEEP_S), LONGEST_SLEEP_S))


def _same(one: Known, other: Known) -> bool:
    return one.keys is other.keys


def _key_set(
    spec: IssuerSpec, rules: Rules, where: Where, base: Path, now: Callable[[], float]
) -> tuple[KeySet, list[Problem]]:
    """An issuer's key set. One in a file is read at once, so that a wrong file is a problem of the configuration."""
    if spec.jwks_file is None:
        fetcher = Fetcher(base / spec.ca_file if spec.ca_file is not None else None)
        return KeySet(rules, UrlPlace(spec.issuer, spec.jwks_url, fetcher), now), []
    place = FilePlace(base / spec.jwks_file)
    keys = KeySet(rules, place, now)
    try:
        keys.adopt(place.read())
        why = keys.failure
    except FetchFailed as error:
        why = str(error)
    except NotJson as error:
        why = f"it {error}"
    return keys, [Problem(where=(*where, "jwks_file"), text=f"jwks_file {spec.jwks_file}: {why}")] if why else []
