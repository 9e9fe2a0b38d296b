"""Expiry, end to end in the keeper: said first, then done; held, it is not done; repeated after a crash at any point."""

import os
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from msgspec import Raw
from msgspec.structs import replace

from funcgate.core.entry import Entry, Kind, Who
from funcgate.core.ids import new_id
from funcgate.recording.chore import ChoreFailed
from funcgate.recording.keeper.settings import KeepRule
from funcgate.recording.proof.verify import verify
from funcgate.recording.reader import read_entries
from funcgate.recording.retention.carrying import Carrying
from support.house import DAY, House


class Killed(Exception):
    """The process is gone, at this very point."""


def test_content_then_metadata_then_the_lines(house: House) -> None:
    call = house.call("s~1", large=True)
    house.keep()
    assert (house.body(call), house.who(call)) == ("the answer", "ada")
    house.pass_days(31)
    house.keep()
    assert (house.body(call), house.who(call)) == ("(expired)", "ada")
    assert list(house.objects.digests()) == []
    house.pass_days(30)
    house.keep()
    assert (house.body(call), house.who(call)) == ("(expired)", "")
    house.pass_days(30)
    house.keep()
    assert house.body(call) is None
    assert "00000001.jsonl" not in house.segments()
    said = [(change["class"], change.get("target", "")) for change in house.changes("expired")]
    assert said.index(("content", "shop")) < said.index(("metadata", "shop")) < said.index(("decisions", ""))


def test_nothing_of_what_has_expired_stays_in_the_view(house: House) -> None:
    for number in range(50):
        house.call(f"s~4711-{number}", large=True)
    house.keep()
    house.pass_days(31)
    house.keep()
    assert list(house.objects.digests()) == []
    house.chore.close()
    assert [path.name for path in house.data.glob("retention.db*") if b"s~4711" in path.read_bytes()] == []
    house.chore = house.new_chore()


def test_the_record_still_verifies_after_each_kind_of_expiry(house: House) -> None:
    calls = [house.call("s~1", large=True), house.call("s~2", sealed=False, large=True)]
    house.admin(what="hold", session="s~2", reason="so that there is a hole before what stays")
    house.keep()
    for _ in range(10):
        house.pass_days(10)
        house.keep()
        verdict = verify(house.data, objects=True, processes=1)
        assert (verdict.sound, verdict.faults) == (True, [])
    assert verdict.expired > 20
    assert [house.body(call) for call in calls] == [None, "the answer"]
    kept = next(name for name in house.segments()[1:] if name.startswith("0000"))
    (house.journal / kept).unlink()  # an expiry that nobody recorded
    assert not verify(house.data, objects=True, processes=1).sound


def test_nothing_is_deleted_before_its_entry_is_durable(house: House) -> None:
    call = house.call("s~1")
    house.pass_days(40)

    def full(change: Mapping[str, Any]) -> None:
        raise ChoreFailed("the disk is full")

    house.ask = full
    with pytest.raises(ChoreFailed):
        house.keep()
    assert house.body(call) == "the answer"
    asked: list[Mapping[str, Any]] = []
    house.ask = asked.append  # durable as far as the keeper knows, and never seen in the journal
    house.keep()
    assert asked
    assert house.body(call) == "the answer"
    house.ask = house.record
    house.keep()
    assert house.body(call) == "(expired)"


@pytest.mark.parametrize("step", range(12))
@pytest.mark.parametrize("forget", [False, True])
def test_killed_at_any_point_the_rest_is_done_by_the_next(
    house: House, monkeypatch: pytest.MonkeyPatch, step: int, forget: bool
) -> None:
    calls = [house.call(f"s~{number}", large=True) for number in range(3)]
    house.pass_days(31)
    house.read()
    left = step

    def deadly(work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*given: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed
            done = work(*given)
            left -= 1
            if left == 0:
                raise Killed
            return done

        return run

    with monkeypatch.context() as patch:
        for name in ("_shred", "_delete"):
            patch.setattr(Carrying, name, deadly(getattr(Carrying, name)))
        if step == 0:
            house.ask = deadly(house.record)
            left = 2
        try:
            house.keep()
            assert step == 0 or left > 0
        except Killed:
            assert left == 0
    house.ask = house.record
    house.restart(forget=forget)
    house.keep()
    assert {house.body(call) for call in calls} == {"(expired)"}
    assert list(house.objects.digests()) == []
    assert house.changes("withheld") == []


def test_a_hold_wins_and_ends(house: House) -> None:
    held, other = house.call("s~1", "ada"), house.call("s~2", "bob")
    hold = house.admin(what="hold", session="s", reason="a dispute")
    house.call("t~3", "ada")
    house.pass_days(31)
    house.keep()
    assert (house.body(held), house.body(other)) == ("the answer", "the answer")  # both are runs called s
    house.admin(what="release", hold=hold, reason="settled")
    house.admin(what="hold", session="s~1", reason="again")
    house.keep()
    assert (house.body(held), house.body(other)) == ("the answer", "(expired)")
    house.pass_days(120)
    house.keep()
    assert house.body(held) == "the answer"
    assert house.who(held) == "ada"
    assert "00000001.jsonl" in house.segments()
    assert len(house.segments()) < len(house.lines()) / 4


@pytest.mark.parametrize(
    "on",
    [
        {"principal": "ada"},
        {"principal": "corp/ada"},
        {"query": {"function": "shop.b*", "principal": "ada"}},
        {"query": {"session": "s", "decision": "allow"}},
        {"query": {"text": "secret"}},
    ],
)
def test_holds_on_principals_and_queries_look_into_what_is_sealed(house: House, on: dict[str, Any]) -> None:
    held = house.call("s~1", "ada", body="a secret answer")
    other = house.call("t~2", "bob")
    house.admin(what="hold", reason="why", **on)
    house.pass_days(31)
    house.keep()
    assert (house.body(held), house.body(other)) == ("a secret answer", "(expired)")
    house.pass_days(70)
    house.keep()
    assert (house.who(held), house.body(held)) == ("ada", "a secret answer")


def test_a_hold_that_came_between_the_entry_and_the_deletion_wins_too(house: House) -> None:
    held, other = house.call("s~1", large=True), house.call("s~2", large=True)
    house.pass_days(31)
    house.read()
    house.chore.tick()  # says it
    hold = house.admin(what="hold", session="s~1", reason="just in time")
    house.keep()
    assert (house.body(held), house.body(other)) == ("the answer", "(expired)")
    keys, objects = house.changes("withheld")
    assert [key[1] for key in keys["keys"]] == ["s~1"]
    assert len(objects["objects"]) == 1
    assert sum(1 for _ in house.objects.digests()) == 1
    house.admin(what="release", hold=hold, reason="over")
    house.keep()
    assert house.body(held) == "(expired)"
    assert list(house.objects.digests()) == []


def test_a_segment_that_was_withheld_goes_when_its_hold_has_ended(house: House) -> None:
    house.call("s~1")
    house.pass_days(100)
    house.read()
    house.chore.tick()
    hold = house.admin(what="hold", session="s~1", reason="just in time")
    house.keep()
    assert house.segments()[0] == "00000001.jsonl"
    withheld = [change for change in house.changes("withheld") if change["class"] == "decisions"]
    assert not any(first <= 2 <= last for first, last in withheld[0].get("gone", ()))
    assert verify(house.data, processes=1).sound
    house.admin(what="release", hold=hold, reason="over")
    house.keep()
    assert "00000001.jsonl" not in house.segments()
    assert verify(house.data, processes=1).sound


def test_an_object_that_an_open_order_names_and_a_new_call_too_stays(make_house: Callable[..., House]) -> None:
    rule = KeepRule(targets=("*",), content_s=DAY, metadata_s=DAY, decisions_s=DAY)
    house = make_house(rules=(rule,))
    house.call("s~1", sealed=False, large=True)
    house.pass_days(5)
    house.read()
    house.chore.tick()  # says it
    again = house.call("s~2", sealed=False, large=True)
    house.keep()
    assert house.body(again) == "the answer"
    house.pass_days(5)
    house.keep()
    assert list(house.objects.digests()) == []


@pytest.mark.parametrize("lines", [1, 5, 1000])
def test_a_view_that_is_built_anew_deletes_nothing_that_is_named_later(
    make_house: Callable[..., House], lines: int
) -> None:
    rule = KeepRule(targets=("*",), content_s=DAY, metadata_s=DAY, decisions_s=DAY)
    house = make_house(rules=(rule,))
    house.call("s~1", sealed=False, large=True)
    house.pass_days(5)
    house.keep()
    assert list(house.objects.digests()) == []
    again = house.call("s~2", sealed=False, large=True)
    house.restart(forget=True)
    for at in range(0, len(house.lines()), lines):  # the keeper's ticks come while it is still far behind
        house.chore.take(house.lines()[at : at + lines])
        house.chore.tick()
    assert house.body(again) == "the answer"


def test_the_line_that_places_a_hold_stays_while_it_stands(house: House) -> None:
    house.call("s~1")
    hold = house.admin(what="hold", principal="nobody", reason="in advance")
    house.pass_days(120)
    house.keep()
    assert [change["order"] for change in house.changes("hold")] == [hold]
    house.restart(forget=True)
    house.keep()
    assert [one.id for one in house.chore._state.holds] == [hold]
    assert "00000001.jsonl" not in house.segments()


def test_a_line_that_cannot_be_read_keeps_its_segment(house: House) -> None:
    house.call("s~1")
    house.pass_days(100)
    house.prove()
    lines = house.lines()
    lines[1] = replace(lines[1], line=b"{" + b" " * 40 + b"}")
    house.chore.take(lines)
    house.keep()
    assert lines[1].segment in house.segments()
    assert [change for change in house.changes("expired") if change["class"] == "decisions"]


def test_a_segment_that_comes_back_goes_again(house: House) -> None:
    house.call("s~1")
    house.pass_days(1)
    first = (house.journal / "00000001.jsonl").read_bytes()
    house.pass_days(100)
    house.keep()
    assert "00000001.jsonl" not in house.segments()
    (house.journal / "00000001.jsonl").write_bytes(first)
    house.keep()
    assert "00000001.jsonl" not in house.segments()


def test_who_approved_is_held_with_the_call(house: House) -> None:
    house.now += 1
    call, of = new_id(house.now), {"session": "s~1", "function": "shop.buy"}
    house.write(
        Entry(kind=Kind.ARRIVED, call=call, target="shop", **of), Entry(kind=Kind.ASKED, call=call, approval="A1", **of)
    )
    for name in ("A1", "A2"):
        house.now += 5
        house.write(
            Entry(kind=Kind.ANSWERED, call="", approval=name, principal=Who("corp", "boss"), outcome="approved")
        )
    house.write(Entry(kind=Kind.ENDED, call=call, outcome="complete", **of))
    house.admin(what="hold", session="s~1", reason="why")
    house.pass_days(100)
    house.keep()
    approvals = [entry.approval for entry in read_entries(house.journal) if entry.kind is Kind.ANSWERED]
    assert "A1" in approvals
    assert "00000001.jsonl" in house.segments()
    assert verify(house.data, processes=1).sound


def test_content_that_is_just_written_again_stays(make_house: Callable[..., House]) -> None:
    rule = KeepRule(targets=("*",), content_s=DAY, metadata_s=DAY, decisions_s=DAY)
    house = make_house(rules=(rule,), unused_s=3600)
    first = house.call("s~1", sealed=False, large=True)
    (digest,) = house.objects.digests()
    os.utime(house.objects.path(digest), (1, 1))
    house.pass_days(5)
    house.read()
    house.chore.tick()  # says it
    house.read()
    again = house.call("s~2", sealed=False, large=True)  # whose lines the keeper has not read when it deletes
    house.chore.tick()
    assert house.body(first) is None
    assert house.body(again) == "the answer"
    assert house.changes("withheld")[0]["objects"] == [digest]


@pytest.mark.parametrize("change", [{"session": 5}, {"query": {"weather": "bad"}}, {"target": "shop"}, {}])
def test_a_hold_that_nobody_understands_holds_everything(house: House, change: dict[str, Any]) -> None:
    call = house.call("s~1")
    hold = house.admin(what="hold", reason="from a newer version", **change)
    house.pass_days(100)
    house.keep()
    assert house.changes("expired") == []
    house.admin(what="release", hold=hold, reason="understood")
    house.keep()
    assert house.body(call) in (None, "(expired)")


def test_a_call_that_is_open_keeps_what_it_needs(house: House) -> None:
    call = house.call("s~1", ends=False)
    house.pass_days(100)
    house.keep()
    assert (house.body(call), house.who(call)) == ("the answer", "ada")
    assert house.segments()[0] == "00000001.jsonl"
    house.end(call, "s~1")
    house.keep()
    assert house.body(call) in ("(expired)", None)
    house.pass_days(100)
    house.keep()
    assert house.body(call) is None


def test_targets_have_rules_of_their_own(make_house: Callable[..., House]) -> None:
    day = KeepRule(targets=("a",), content_s=DAY, metadata_s=DAY, decisions_s=DAY)
    house = make_house(rules=(day,), segment_bytes=5000)
    short, ever = house.call("s~1", target="a"), house.call("s~1", target="b")
    house.pass_days(10)
    house.keep()
    assert (house.body(short), house.body(ever)) == ("(expired)", "the answer")
    assert house.segments()[0] == "00000001.jsonl"  # there is a line of b in it


def test_objects_that_are_named_again_stay(make_house: Callable[..., House]) -> None:
    rule = KeepRule(targets=("*",), content_s=30 * DAY, metadata_s=30 * DAY, decisions_s=30 * DAY)
    house = make_house(rules=(rule,))
    first = house.call("s~1", sealed=False, large=True)
    house.pass_days(20)
    again = house.call("s~2", sealed=False, large=True)
    house.pass_days(15)
    house.keep()
    assert (house.body(first), house.body(again)) == (None, "the answer")
    house.restart(forget=True)
    house.keep()
    assert house.body(again) == "the answer"
    house.pass_days(20)
    house.keep()
    assert list(house.objects.digests()) == []


def test_an_order_that_somebody_left_in_the_inbox_expires_nothing(house: House) -> None:
    call = house.call("s~1")
    house.pass_days(2)
    (key, *_) = [key for key in house.keys.list() if key.session == "s~1" and key.cls == "content"]
    forged = {"class": "content", "target": "shop", "before": "2099-01-01T00:00:00.000000Z"}
    house.admin(what="expired", keys=[[key.name, key.session, key.day]], **forged)
    house.keep()
    assert house.body(call) == "the answer"


def test_what_is_not_in_the_tree_yet_stays(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.prove()
    house.call("s~1")
    house.pass_days(100)
    monkeypatch.setattr(house, "prove", lambda: None)
    house.keep()
    assert "00000001.jsonl" in house.segments()
    monkeypatch.undo()
    house.keep()
    assert "00000001.jsonl" not in house.segments()


def test_a_damaged_line_may_be_of_a_held_call(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    call = house.call("s~1")
    house.admin(what="hold", principal="eve", reason="why")
    house.pass_days(31)
    first = house.journal / "00000001.jsonl"
    first.chmod(0o600)
    data = first.read_bytes().split(b"\n")
    data[2] = b"{" + b" " * (len(data[2]) - 2) + b"}"
    first.write_bytes(b"\n".join(data))
    monkeypatch.setattr(house, "prove", lambda: None)  # which would see it first
    with pytest.raises(ChoreFailed, match=r"00000001\.jsonl cannot be read"):
        house.keep()
    assert house.body(call) == "the answer"


def test_without_the_key_nobody_can_tell_whose_call_it_was(house: House) -> None:
    call = house.call("s~1", "ada")
    house.admin(what="hold", principal="ada", reason="why")
    house.pass_days(31)
    house.chore = house.new_chore(key=None)
    house.keep()
    assert house.body(call) == "the answer"


def test_a_view_that_is_broken_is_built_anew(house: House) -> None:
    call = house.call("s~1")
    house.keep()
    house.chore.close()
    for path in house.data.glob("retention.db*"):
        path.write_bytes(b"no database at all, and longer than a header of one would be" * 100)
    house.restart()
    assert house.chore.position == 0
    assert {path.stat().st_mode & 0o077 for path in house.data.glob("retention.db*")} == {0}
    house.pass_days(31)
    house.keep()
    assert house.body(call) == "(expired)"


def test_content_that_a_killed_writer_left_does_not_stay(house: House) -> None:
    house.call("s~1", large=True)
    old, fresh = (house.objects.unfinished / f"{digit * 16}.{digit * 16}" for digit in "01")
    leaving = house.objects.unfinished / f"{'0' * 64}.leaving"  # retention's own, which goes on with it
    for path in (old, fresh, leaving):
        path.write_text("half of an answer")
    for path in (old, leaving):
        os.utime(path, (1, 1))
    house.keep()
    assert (old.exists(), fresh.exists(), leaving.exists()) == (False, True, True)


def test_an_answer_that_is_nested_deeply_keeps_nothing(house: House) -> None:
    """Attack: a target answers so that the line can hardly be read, and its segment, and all that a hold may cover, stays.

    As deep as lines could be when the limit was Python 3.11's."""
    house.call("s~1")
    deep = Entry(kind=Kind.CHUNK, call="c", session="s~1", function="shop.buy", body=Raw(b"[" * 990 + b"]" * 990))
    house.write(deep)
    house.admin(what="hold", principal="corp/bob", reason="another matter")
    held = house.call("s~2", who="bob")
    house.pass_days(100)
    house.keep()
    assert "00000001.jsonl" not in house.segments()
    assert house.who(held) == "bob"
