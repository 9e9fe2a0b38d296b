"""`funcgate audit hold` and `funcgate audit expire`, over the inbox, the journal and the view that the keeper keeps."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from funcgate.recording import inbox
from funcgate.recording.keeper.settings import KeepRule
from support.house import DAY, KEY, House

Funcgate = Callable[..., Any]
RULES = (KeepRule(targets=("shop",), content_s=30 * DAY, metadata_s=60 * DAY, decisions_s=90 * DAY),)


@pytest.fixture
def configuration(configuration: dict[str, Any]) -> dict[str, Any]:
    return configuration | {
        "journal": {"encryption": {"key": "env:RECORD_KEY"}},
        "retention": [{"targets": ["shop"], "content": "30d", "metadata": "60d", "decisions": "90d"}],
    }


@pytest.fixture
def house(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setenv("RECORD_KEY", KEY.hex())
    house = House(folder / "funcgate-data", RULES)
    yield house
    house.close()


def recorded(house: House) -> list[str]:
    """Let the gateway record what waits in the inbox; the ids."""
    folder, ids = house.data / inbox.FOLDER, []
    for path in inbox.waiting(folder):
        order = inbox.read(path)
        house.admin(order=order.id, **order.change)
        inbox.done(path)
        ids.append(order.id)
    return ids


@pytest.mark.parametrize(
    ("options", "on"),
    [
        (("--session", "s~1"), "session s~1"),
        (("--principal", "group:eu"), "principal group:eu"),
        (("--query", "function=shop.* since=2026-01-01"), "query function=shop.* since=2026-01-01T00:00:00.000000Z"),
    ],
)
def test_a_hold_from_order_to_release(funcgate: Funcgate, house: House, options: tuple[str, ...], on: str) -> None:
    house.call("s~1")
    ran = funcgate("audit", "hold", "add", *options, "--reason", "dispute\x1b[2J 17")
    assert (ran.status, ran.err) == (0, "")
    listed = funcgate("audit", "hold", "list", "--json").json
    assert (listed["holds"], [one["on"] for one in listed["waiting"]]) == ([], [on])
    (hold,) = recorded(house)
    assert hold in ran.out
    listed = funcgate("audit", "hold", "list", "--json").json
    assert [(one["id"], one["on"], one["who"]) for one in listed["holds"]] == [(hold, on, "root")]
    shown = funcgate("audit", "hold", "list").out
    assert "dispute�[2J 17" in shown
    assert funcgate("audit", "hold", "release", hold, "--reason", "over").status == 0
    recorded(house)
    assert funcgate("audit", "hold", "list", "--json").json == {"holds": [], "waiting": []}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "one session"),
        (("--session", "s", "--principal", "p"), "one session"),
        (("--query", "weather=bad"), "knows no 'weather'"),
        (("--query", "function"), "NAME=VALUE"),
        (("--query", "since=yesterday"), "no time such as"),
        (("--query", "function='unclosed"), "quotation"),
        (("--query", "decision=perhaps"), "no decision"),
    ],
)
def test_holds_that_mean_nothing_are_not_ordered(
    funcgate: Funcgate, house: House, options: tuple[str, ...], said: str
) -> None:
    ran = funcgate("audit", "hold", "add", *options, "--reason", "why")
    assert ran.status == 2
    assert said in ran.err
    assert not (house.data / inbox.FOLDER).exists()


def test_slips_with_holds(funcgate: Funcgate, house: House) -> None:
    assert funcgate("audit", "hold", "add", "--session", "s").status == 2
    assert funcgate("audit", "hold", "add", "--session", "s", "--reason", " ").status == 2
    ran = funcgate("audit", "hold", "release", "01M3250VZ8G3NEXHN55NT6Q5QH", "--reason", "over")
    assert (ran.status, "there is no hold" in ran.err) == (1, True)
    ran = funcgate("audit", "hold", "add", "--session", "nobody", "--reason", "in advance")
    assert (ran.status, "has no session nobody yet" in ran.err) == (0, True)
    assert funcgate("audit", "hold", "list", "--data-dir", "nowhere").status == 1


def test_what_would_expire_and_what_is_held(funcgate: Funcgate, house: House) -> None:
    house.call("s~1", large=True)
    house.call("s~2")
    hold = house.admin(what="hold", session="s~2", reason="why")
    house.pass_days(31)
    house.prove()
    before = sorted(path.name for path in house.data.iterdir())
    found = funcgate("audit", "expire", "--dry-run", "--json").json
    (due,) = found["due"]
    assert (due["class"], due["target"], [key[1] for key in due["keys"]], len(due["objects"])) == (
        "content",
        "shop",
        ["s~1"],
        1,
    )
    assert [(kept[0], kept[2]) for kept in found["kept"]] == [("content", hold)]
    shown = funcgate("audit", "expire", "--dry-run").out
    assert "content" in shown
    assert hold in shown
    assert sorted(path.name for path in house.data.iterdir()) == before
    assert "answer: the answer" in funcgate("audit", "replay", "s~1", "--no-wait").out
    house.keep()
    played = funcgate("audit", "replay", "s~1", "--no-wait").out
    assert "answer: (encrypted: it has expired, or no key is configured)" in played
    assert "by corp/ada from 10.0.0.1:5" in played  # whose time has not come
    assert "the answer" in funcgate("audit", "replay", "s~2", "--no-wait").out
    assert funcgate("audit", "expire", "--dry-run", "--json").json["due"] == []
    assert "nothing is due" in funcgate("audit", "expire", "--dry-run").out


def test_the_clock_is_vouched_for(funcgate: Funcgate, house: House) -> None:
    house.call("s~1")
    house.pass_days(2)
    house.now += 100 * DAY
    house.call("s~2")
    ran = funcgate("audit", "expire", "--dry-run")
    assert (ran.status, "no call confirms the last" in ran.err, "nothing is due" in ran.out) == (0, True, True)
    assert funcgate("audit", "expire", "--clock-is-right").status == 2
    assert funcgate("audit", "expire", "--clock-is-right", "--reason", "moved").status == 0
    recorded(house)
    assert house.changes("clock")
    assert house.chore.position == 0
    house.keep()
    assert house.chore._state.clock.believed >= house.now - DAY


def test_expire_alone_does_nothing(funcgate: Funcgate, house: House) -> None:
    ran = funcgate("audit", "expire")
    assert (ran.status, "--dry-run" in ran.err) == (2, True)


def test_without_rules_all_is_kept(
    funcgate: Funcgate, house: House, folder: Path, configuration: dict[str, Any]
) -> None:
    import json

    (folder / "funcgate.yaml").write_text(json.dumps({**configuration, "retention": []}))
    house.call("s~1")
    assert "kept for ever" in funcgate("audit", "expire", "--dry-run").out
