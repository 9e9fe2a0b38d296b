"""Keys over time, from a real HTTP provider on loopback: rotation, outage, floods of unknown kids, reloads."""

import asyncio
import json
from collections.abc import Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from aiohttp import web

from funcgate.core.principal import RawToken
from funcgate.core.refusal import Code, Refused
from funcgate.identity import Issuers, IssuerSpec

NOWHERE = Path("/nowhere")


def run(story: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(15):
            await story

    asyncio.run(bounded())


def issuers_at(provider: Any, clock: Any, previous: Issuers | None = None, **more: Any) -> Issuers:
    spec = IssuerSpec(**({"name": "corp", "issuer": provider.url, "audience": "funcgate"} | more))
    return Issuers([spec], base=NOWHERE, now=clock, previous=previous)


async def refused(issuers: Issuers, token: RawToken) -> Refused:
    assert issuers.recall(token) is None
    with pytest.raises(Refused) as caught:
        await issuers.identify(token)
    return caught.value


async def accepted(issuers: Issuers, token: RawToken) -> None:
    assert (await issuers.identify(token)).subject == "alice"
    assert issuers.recall(token) is not None


def test_discovery_and_a_token_from_the_providers_own_endpoint(clock: Any, signer: Any, kit: SimpleNamespace) -> None:
    async def story() -> None:
        async with kit.Provider() as provider, httpx.AsyncClient(trust_env=False) as client:
            provider.signers = [signer]
            issuers = issuers_at(provider, clock)
            await issuers.start()
            assert issuers.problems() == []
            form = {"grant_type": "client_credentials", "client_id": "ci-7", "audience": "funcgate"}
            answer = (await client.post(provider.url + "/token", data=form)).json()
            token = RawToken(answer["access_token"].encode())
            principal = await issuers.identify(token)
            assert principal.subject == "ci-7"
            assert issuers.recall(token) is principal
            assert issuers.recall(RawToken(token.value)) is principal
            form["audience"] = "another service"
            answer = (await client.post(provider.url + "/token", data=form)).json()
            assert (await refused(issuers, RawToken(answer["access_token"].encode()))).code == Code.IDENTITY_INVALID
            assert provider.asked == {"/.well-known/openid-configuration": 1, "/keys": 1}
            await issuers.close()

    run(story())


def test_a_new_key_is_found_and_a_withdrawn_one_ends_its_tokens(clock: Any, kit: SimpleNamespace) -> None:
    async def story() -> None:
        async with kit.Provider() as provider:
            old, new = kit.Signer("old"), kit.Signer("new")
            provider.signers = [old]
            issuers = issuers_at(provider, clock)
            await issuers.start()
            old_token, new_token = old.token(iss=provider.url), new.token(iss=provider.url)
            await accepted(issuers, old_token)
            provider.signers = [old, new]
            await accepted(issuers, new_token)  # fetched for the unknown kid
            assert issuers.recall(old_token) is not None
            provider.signers = [new]
            clock.at += 31
            assert (await refused(issuers, kit.Signer("other").token(iss=provider.url))).status == 401
            assert (await refused(issuers, old_token)).status == 401  # remembered a moment ago
            assert issuers.recall(new_token) is not None
            await issuers.close()

    run(story())


def test_a_key_that_comes_back_under_the_same_kid_is_another_key(clock: Any, kit: SimpleNamespace) -> None:
    async def story() -> None:
        async with kit.Provider() as provider:
            first, second = kit.Signer("k"), kit.Signer("k")
            provider.signers = [first]
            issuers = issuers_at(provider, clock, refresh="10s")
            await issuers.start()
            await accepted(issuers, first.token(iss=provider.url))
            assert "signature" in (await refused(issuers, second.token(iss=provider.url))).private_detail
            provider.signers = [second]
            asked = provider.asked["/keys"]
            clock.at += 11
            await issuers.close()
            await issuers.start()  # reads the keys, for they are due
            assert provider.asked["/keys"] == asked + 1
            await accepted(issuers, second.token(iss=provider.url))
            assert "signature" in (await refused(issuers, first.token(iss=provider.url))).private_detail
            await issuers.close()

    run(story())


def test_unknown_kids_ask_the_provider_once_in_a_cooldown(clock: Any, signer: Any, kit: SimpleNamespace) -> None:
    async def story() -> None:
        async with kit.Provider() as provider:
            provider.signers = [signer]
            issuers = issuers_at(provider, clock)
            await issuers.start()
            strays = [signer.token({"kid": f"stray-{n}"}, iss=provider.url) for n in range(50)]
            for wave in range(1, 4):
                results = await asyncio.gather(*(issuers.identify(token) for token in strays), return_exceptions=True)
                assert all(isinstance(result, Refused) and result.status == 401 for result in results)
                assert provider.asked["/keys"] == 1 + wave
                for token in strays:
                    await refused(issuers, token)
                assert provider.asked["/keys"] == 1 + wave
                clock.at += 30
            await accepted(issuers, signer.token(iss=provider.url))
            await issuers.close()

    run(story())


def test_all_who_wait_share_one_fetch(clock: Any, signer: Any, kit: SimpleNamespace) -> None:
    async def story() -> None:
        async with kit.Provider() as provider:
            provider.signers = [signer]
            go = asyncio.Event()

            async def slow() -> web.Response:
                await go.wait()
                return web.Response(body=kit.key_set(signer))

            provider.answers["/keys"] = slow
            issuers = issuers_at(provider, clock)  # never started: the first calls fetch the keys
            tokens = [signer.token(iss=provider.url, jti=str(n)) for n in range(20)]
            waiting = [asyncio.create_task(issuers.identify(token)) for token in tokens]
            await kit.until(lambda: provider.asked["/keys"])
            waiting[0].cancel()  # a caller who leaves takes nobody along
            go.set()
            results = await asyncio.gather(*waiting, return_exceptions=True)
            assert isinstance(results[0], asyncio.CancelledError)
            assert [result.subject for result in results[1:] if not isinstance(result, BaseException)] == ["alice"] * 19
            assert provider.asked["/keys"] == 1
            await issuers.close()

    run(story())


def test_a_provider_that_is_down(clock: Any, signer: Any, kit: SimpleNamespace) -> None:
    async def story() -> None:
        async with kit.Provider() as provider:
            provider.signers = [signer]
            issuers = issuers_at(provider, clock, refresh="5m", keep="24h")
            await issuers.start()
            day = 24 * 3600
            token, later = (
                signer.token(iss=provider.url, exp=kit.NOW + 3 * day),
                signer.token(iss=provider.url, exp=kit.NOW + 2 * day),
            )
            await accepted(issuers, token)
            await provider.stop()
            clock.at += day - 1
            assert issuers.recall(token) is not None
            await accepted(issuers, later)
            stray = signer.token({"kid": "stray"}, iss=provider.url, exp=kit.NOW + 2 * day)
            assert (await refused(issuers, stray)).status == 401
            assert issuers.problems() == []
            assert "cannot be reached" in issuers.warnings()[0]
            clock.at += 31
            for one in (token, later):
                no = await refused(issuers, one)
                assert (no.code, no.status) == (Code.IDENTITY_INVALID, 503)
                assert 1 <= no.retry_after_s <= 30
                assert "cannot be reached" in no.private_detail
            assert issuers.problems()[0].startswith("issuer corp: http://127.0.0.1:")
            await provider.start()
            clock.at += 31
            await accepted(issuers, token)
            assert issuers.problems() == issuers.warnings() == []
            await issuers.close()

    run(story())


def test_a_provider_that_is_down_at_the_start_comes_up(signer: Any, kit: SimpleNamespace) -> None:
    async def story() -> None:
        async with kit.Provider() as provider:
            provider.signers = [signer]
            clock = kit.Clock()
            await provider.stop()
            issuers = issuers_at(provider, clock, cooldown="50ms")
            await issuers.start()
            assert len(issuers.problems()) == 1
            assert (await refused(issuers, signer.token(iss=provider.url))).status == 503
            await provider.start()
            clock.at += 1
            await kit.until(lambda: not issuers.problems())  # by itself: no call asked for it
            await accepted(issuers, signer.token(iss=provider.url))
            await issuers.close()

    run(story())


def test_keys_are_refreshed_by_themselves(kit: SimpleNamespace) -> None:
    async def story() -> None:
        async with kit.Provider() as provider:
            old, new = kit.Signer("old"), kit.Signer("new")
            provider.signers = [old]
            clock = kit.Clock()
            issuers = issuers_at(provider, clock, refresh="40ms")
            await issuers.start()
            await accepted(issuers, old.token(iss=provider.url))
            provider.signers = [new]
            clock.at += 1
            await kit.until(
                lambda: issuers.recall(old.token(iss=provider.url)) is None and provider.asked["/keys"] >= 2
            )
            before = provider.asked["/keys"]
            await accepted(issuers, new.token(iss=provider.url))
            assert provider.asked["/keys"] == before
            await issuers.close()

    run(story())


BAD_CONFIGURATIONS = {
    "another issuer": lambda url: {"issuer": "https://other.example", "jwks_uri": url + "/keys"},
    "a slash more": lambda url: {"issuer": url + "/", "jwks_uri": url + "/keys"},
    "no issuer": lambda url: {"jwks_uri": url + "/keys"},
    "no keys": lambda url: {"issuer": url},
    "plain http elsewhere": lambda url: {"issuer": url, "jwks_uri": "http://keys.example/"},
    "a file": lambda url: {"issuer": url, "jwks_uri": "file:///etc/passwd"},
    "a user name": lambda url: {"issuer": url, "jwks_uri": "https://a:b@keys.example/"},
    "a number": lambda url: {"issuer": url, "jwks_uri": 5},
}


@pytest.mark.parametrize("case", BAD_CONFIGURATIONS)
def test_discovery_documents_that_are_refused(case: str, clock: Any, signer: Any, kit: SimpleNamespace) -> None:
    async def story() -> None:
        async with kit.Provider() as provider:
            provider.signers = [signer]
            document = BAD_CONFIGURATIONS[case](provider.url)
            provider.answers["/.well-known/openid-configuration"] = lambda: web.json_response(document)
            issuers = issuers_at(provider, clock)
            assert (await refused(issuers, signer.token(iss=provider.url))).status == 503
            assert provider.asked["/keys"] == 0

    run(story())


def answers(kit: SimpleNamespace, signer: Any) -> dict[str, Any]:
    keys = kit.key_set(signer)

    async def compressed() -> web.Response:
        answer = web.Response(body=b"0" * 400_000)
        answer.enable_compression(web.ContentCoding.gzip, force=True)  # type: ignore[call-arg]
        return answer

    return {
        "a redirect": lambda: web.Response(status=302, headers={"Location": "/keys?again"}),
        "an error": lambda: web.Response(status=500, body=keys),
        "created": lambda: web.Response(status=201, body=keys),
        "too much": lambda: web.Response(body=keys + b" " * 600_000),
        "no json": lambda: web.Response(body=b"<html>"),
        "a list": lambda: web.Response(body=b"[" + keys + b"]"),
        "no keys": lambda: web.Response(body=b'{"keys": {}}'),
        "a name twice": lambda: web.Response(body=keys[:-1] + b', "keys": []}'),
        "too many": lambda: web.Response(body=json.dumps({"keys": [signer.public] * 201}).encode()),
        "an empty set": lambda: web.Response(body=b'{"keys": []}'),
        "compressed": lambda: web.Response(body=b"\x1f\x8b", headers={"Content-Encoding": "gzip"}),
    }


@pytest.mark.parametrize(
    "case",
    ["a redirect", "an error", "created", "too much", "no json", "a list", "no keys", "a name twice", "too many",
     "an empty set", "compressed"],
)  # fmt: skip
def test_key_sets_that_are_refused(case: str, clock: Any, signer: Any, kit: SimpleNamespace) -> None:
    async def story() -> None:
        async with kit.Provider() as provider:
            provider.signers = [signer]
            provider.answers["/keys"] = answers(kit, signer)[case]
            issuers = issuers_at(provider, clock)
            assert (await refused(issuers, signer.token(iss=provider.url))).status == 503
            assert provider.asked["/keys"] == 1
            assert len(issuers.problems()) == 1
            # And what was known before stays, but for an empty set: then the provider has withdrawn its keys.
            del provider.answers["/keys"]
            clock.at += 31
            token = signer.token(iss=provider.url)
            await accepted(issuers, token)
            provider.answers["/keys"] = answers(kit, signer)[case]
            clock.at += 31
            await refused(issuers, signer.token({"kid": "stray"}, iss=provider.url))
            assert (issuers.recall(token) is None) == (case == "an empty set")

    run(story())


def test_the_content_type_does_not_matter(clock: Any, signer: Any, kit: SimpleNamespace) -> None:
    async def story() -> None:
        async with kit.Provider() as provider:
            provider.answers["/keys"] = lambda: web.Response(body=kit.key_set(signer), content_type="text/plain")
            issuers = issuers_at(provider, clock, jwks_url=provider.url + "/keys", issuer="kubernetes/serviceaccount")
            await accepted(issuers, signer.token(iss="kubernetes/serviceaccount"))
            assert provider.asked == {"/keys": 1}

    run(story())


def test_a_reload_keeps_keys_and_tokens_of_what_did_not_change(clock: Any, kit: SimpleNamespace) -> None:
    async def story() -> None:
        async with kit.Provider() as provider:
            signer = kit.Signer("k")
            provider.signers = [signer]
            first = issuers_at(provider, clock)
            await first.start()
            token = signer.token(iss=provider.url)
            await accepted(first, token)
            await provider.stop()
            second = issuers_at(provider, clock, previous=first)
            await second.start()
            await first.close()
            assert second.recall(token) is not None
            await accepted(second, signer.token(iss=provider.url, jti="2"))
            # The audience changed: what was verified for the other one is worth nothing.
            third = issuers_at(provider, clock, previous=second, audience="elsewhere")
            await third.start()
            assert (await refused(third, token)).status == 503
            # A configuration that was dropped before its start has disturbed nobody.
            issuers_at(provider, clock, previous=second)
            assert second.recall(token) is not None
            # A key that is withdrawn after the reload ends the tokens that were taken over.
            await provider.start()
            provider.signers = [kit.Signer("k2")]
            clock.at += 31
            await refused(second, signer.token({"kid": "stray"}, iss=provider.url))
            assert second.recall(token) is None
            await second.close()
            await third.close()

    run(story())


def test_a_removed_issuer_is_forgotten(clock: Any, signer: Any, kit: SimpleNamespace) -> None:
    async def story() -> None:
        async with kit.Provider() as provider:
            provider.signers = [signer]
            first = issuers_at(provider, clock)
            await first.start()
            token = signer.token(iss=provider.url)
            await accepted(first, token)
            second = issuers_at(
                provider,
                clock,
                previous=first,
                name="renamed",
                issuer="https://other.example",
                jwks_url=provider.url + "/keys",
            )
            await second.start()
            await first.close()
            assert (await refused(second, token)).status == 401
            await second.close()

    run(story())


def test_closing_ends_a_fetch_that_hangs(clock: Any, kit: SimpleNamespace) -> None:
    async def story() -> None:
        async with kit.Provider() as provider:
            hang = asyncio.Event()

            async def never() -> web.Response:
                await hang.wait()
                return web.Response()

            issuers = issuers_at(provider, clock)
            await issuers.start()
            provider.answers["/keys"] = never
            caller = asyncio.create_task(issuers.identify(kit.Signer("x").token(iss=provider.url)))
            await kit.until(lambda: provider.asked["/keys"] == 2)
            await issuers.close()
            async with asyncio.timeout(5):  # less than a fetch may take
                with pytest.raises(Refused):
                    await caller
            hang.set()

    run(story())
