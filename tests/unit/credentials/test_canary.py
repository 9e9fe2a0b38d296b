"""P4 for this part: a canary secret shows in no repr, str, format, traceback, log of locals, or pickle."""

import asyncio
import copy
import gc
import pickle
import traceback
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.traceback import Traceback

from funcgate.core.problem import Unusable
from funcgate.core.refusal import Refused
from funcgate.credentials import Broker, CredentialSpec
from funcgate.credentials.sources import SecretFile
from funcgate.credentials.spellings import spellings

CANARY = "canary/5f1c+9a7e"


def forbidden() -> set[str]:
    from funcgate.core.secret import Secret

    return {needle.reveal() for needle in spellings(Secret(CANARY))}


def shows(text: str) -> bool:
    return any(spelling in text for spelling in forbidden())


def brokers(base: Path) -> list[Broker]:
    (base / "key").write_text(CANARY)
    kinds: list[dict[str, Any]] = [
        {"type": "bearer"}, {"type": "basic", "user": "app"},
        {"type": "header", "name": "X-Key"}, {"type": "query", "name": "key"},
    ]  # fmt: skip
    return [
        Broker({"t": (CredentialSpec(secret=secret, **kind), ("targets", 0))}, base=base, environ={"KEY": CANARY})
        for kind in kinds
        for secret in ("env:KEY", "file:key")
    ]


def reachable(root: object) -> list[object]:
    """Every object of this part and the core that hangs on `root`."""
    found: list[object] = []
    queue, seen = [root], {id(root)}
    while queue:
        thing = queue.pop()
        found.append(thing)
        for other in gc.get_referents(thing):
            if id(other) not in seen and not isinstance(other, type) and not callable(other):
                seen.add(id(other))
                queue.append(other)
    return found


def test_nothing_shows_it(tmp_path: Path) -> None:
    for broker in brokers(tmp_path):
        lease = asyncio.run(broker.lease("t"))
        for thing in (broker, vars(broker), lease, lease.headers, lease.query, lease.needles, *broker._files.values()):
            assert not shows(repr(thing))
            assert not shows(str(thing))
            assert not shows(f"{thing}")
            assert not shows(f"{thing!s:>100}")
        for secret in (*lease.needles, *(value for _, value in (*lease.headers, *lease.query))):
            assert not shows(f"{secret:>40}")
            assert not shows("%s %r" % (secret, secret))  # noqa: UP031


def test_plain_text_lives_in_secrets_only(tmp_path: Path) -> None:
    from funcgate.core.secret import Secret

    for broker in brokers(tmp_path):
        inside = {id(part) for thing in reachable(broker) if isinstance(thing, Secret) for part in [thing.reveal()]}
        assert inside
        for thing in reachable(broker):
            assert not (isinstance(thing, str) and id(thing) not in inside and shows(thing))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_nothing_is_pickled_or_copied(protocol: int, tmp_path: Path) -> None:
    for broker in brokers(tmp_path):
        for thing in (broker, asyncio.run(broker.lease("t"))):
            with pytest.raises(TypeError):
                pickle.dumps(thing, protocol)
            with pytest.raises(TypeError):
                copy.deepcopy(thing)


def all_tracebacks(error: BaseException) -> str:
    plain = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    console = Console(record=True, width=400, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(Traceback.from_exception(type(error), error, error.__traceback__, show_locals=True))
    return plain + console.export_text() + repr(error) + str(error)


def caught(make: Any, kind: type[BaseException]) -> BaseException:
    """The error, with only those frames of its traceback that are this part's: the test itself holds the canary."""
    with pytest.raises(kind) as info:
        make()
    error, trace = info.value, info.value.__traceback__
    while trace is not None and "funcgate/credentials" not in trace.tb_frame.f_code.co_filename:
        trace = trace.tb_next
    assert trace is not None
    return error.with_traceback(trace)


def test_no_traceback_shows_it_not_even_one_with_local_variables(tmp_path: Path) -> None:
    bad: list[dict[str, Any]] = [
        {"type": "bearer", "secret": "env:BAD"},
        {"type": "bearer", "secret": "file:bad"},
        {"type": "bearer", "secret": CANARY},
        {"type": "header", "secret": "env:KEY", "name": "Host"},
    ]
    (tmp_path / "bad").write_text(CANARY + "\x00")
    environ = {"BAD": CANARY + "\r\n", "KEY": CANARY}
    for spec in bad:
        specs = {"t": (CredentialSpec(**spec), ("targets", 0))}
        error = caught(lambda specs=specs: Broker(specs, base=tmp_path, environ=environ), Unusable)
        assert isinstance(error, Unusable)
        assert not shows(all_tracebacks(error))
        assert not shows(repr(error.problems))


def test_no_refusal_shows_it(tmp_path: Path) -> None:
    now = [0.0]
    (tmp_path / "key").write_text(CANARY)
    spec = CredentialSpec(type="bearer", secret="file:key")
    broker = Broker({"t": (spec, ("targets", 0))}, base=tmp_path, environ={}, clock=lambda: now[0])
    for content in (CANARY + "\n\n", CANARY + "\x00", ""):
        (tmp_path / "key").write_text(content)
        now[0] += 2
        error = caught(lambda: asyncio.run(broker.lease("t")), Refused)
        assert isinstance(error, Refused)
        assert not shows(all_tracebacks(error) + error.private_detail + error.public_detail)


def test_a_file_that_is_no_text_shows_nothing(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(CANARY.encode() + b"\xff")
    error = caught(SecretFile(tmp_path / "key").read, Exception)
    assert not shows(all_tracebacks(error))


def test_a_secret_in_place_of_its_place_is_not_shown() -> None:
    spec = CredentialSpec(type="bearer", secret=CANARY)
    assert not shows(repr(spec) + str(spec) + f"{spec}")
    assert "env:KEY" in repr(CredentialSpec(type="bearer", secret="env:KEY"))
