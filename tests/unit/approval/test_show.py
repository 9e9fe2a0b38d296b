"""What an approver sees: nothing invisible, nothing ambiguous, nothing left out without saying so."""

import unicodedata

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funcgate.approval.show import card, pieces, visible
from funcgate.core.approval import Approval, State
from funcgate.core.decision import Quorum
from funcgate.core.entry import Who
from support.approvals import NOW, answer, approval, asked, terms


def held(args: object, **changes: object) -> Approval:
    return approval(asked=asked(args=msgspec.Raw(msgspec.json.encode(args)), **changes))


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain 100 €", "plain 100 €"),
        ("pay \u202e000\u202c", "pay ⟨U+202E⟩000⟨U+202C⟩"),
        ("a\u200bb\u2060c\ufeff", "a⟨U+200B⟩b⟨U+2060⟩c⟨U+FEFF⟩"),
        ("\u2066x\u2069", "⟨U+2066⟩x⟨U+2069⟩"),
        ("a\x00\x1b[2J\x7f", "a⟨U+0000⟩⟨U+001B⟩[2J⟨U+007F⟩"),
        ("two\nlines\tand", "two⏎lines⇥and"),
        ("\xa0\u2003\u3000", "⟨U+00A0⟩⟨U+2003⟩⟨U+3000⟩"),
        ("\u3164\uffa0\u115f\u2800\u034f", "⟨U+3164⟩⟨U+FFA0⟩⟨U+115F⟩⟨U+2800⟩⟨U+034F⟩"),
        ("a\ufe0f\U000e0100", "a⟨U+FE0F⟩⟨U+E0100⟩"),
        ("\U000e0041tag", "⟨U+E0041⟩tag"),
        ("\u2028\u2029", "⟨U+2028⟩⟨U+2029⟩"),
        ("\ue000\ud800", "⟨U+E000⟩⟨U+D800⟩"),
        ("Grüße, 漢字, עברית, 👍", "Grüße, 漢字, עברית, 👍"),
    ],
)
def test_visible(text: str, seen: str) -> None:
    assert visible(text) == seen


@given(st.text())
def test_nothing_invisible_is_left(text: str) -> None:
    for character in visible(text):
        assert unicodedata.category(character) not in {"Cf", "Cc", "Co", "Cn", "Cs", "Zl", "Zp"}
        assert character == " " or unicodedata.category(character) != "Zs"


def test_values_are_json_and_cannot_be_taken_for_others() -> None:
    shown = card(
        held({"a": 5, "b": "5", "c": None, "d": "null", "e": [1, "x"], "f": 'x"\nb = 6', "g = 7": True, "": ""})
    )
    assert [f"{name} = {text}" for name, text in shown.args] == [
        "a = 5", 'b = "5"', "c = null", 'd = "null"', 'e = [1,"x"]', 'f = "x\\"\\nb = 6"', '"g = 7" = true', ' = ""',
    ]  # fmt: skip
    assert shown.cut == 0


def test_spaces_are_counted() -> None:
    assert card(held({"note": "a  b   c d"})).args == (("note", '"a ␠b ␠␠c d"'),)


def test_arguments_that_are_no_object() -> None:
    assert card(held([1, 2])).args == (("", "[1,2]"),)


def test_facts() -> None:
    who = Who("corp", "agent\u202e-7", ("b\u200b",), "alice", "f", "agent-7")
    policy = terms(Quorum(("group:finance", "user:zoe"), 2), Quorum(("group:security",), 1))
    found = approval(asked=asked(principal=who, reason="rent\ndue"), terms=(policy, policy))
    shown = card(found)
    assert shown.title == "agent⟨U+202E⟩-7 wants to call payments.createTransfer"
    assert dict(shown.facts) == {
        "Who": "agent⟨U+202E⟩-7 (corp), acting for alice",
        "Groups": "b⟨U+200B⟩",
        "Function": "payments.createTransfer",
        "Reason given": "rent⏎due",
        "Asked by": "big transfers",
        "Needs": "2 of group:finance or user:zoe and 1 of group:security",
        "Expires": "2027-01-15 08:15:00 UTC",
        "Bytes": "sha256:" + "1" * 64,
    }
    assert (shown.id, shown.masked, shown.outcome) == (found.id, False, "waiting")
    assert card(approval(terms=())).facts[5] == ("Needs", "nobody")


def test_no_more_than_the_limit_and_what_is_cut_is_counted() -> None:
    args = {f"name{at}": "v" * 50 for at in range(100)}
    whole = card(held(args))
    said = sum(len(label) + len(text) for label, text in (*whole.facts, *whole.args))
    for limit in (1, 100, 300, 1000, 3000, 6000):
        shown = card(held(args), limit)
        kept = sum(len(label) + len(text) for label, text in (*shown.facts, *shown.args))
        assert kept <= limit
        assert (kept + shown.cut, shown.cut > 0) == (said, True)
    assert card(held(args), 9000).cut == 0


def test_names_count_too_and_what_comes_after_a_cut_is_not_shown() -> None:
    shown = card(held({"x" * 500: "", "amount": 1}), 700)
    assert shown.cut > 0
    assert ("amount", "1") not in shown.args
    assert card(approval(asked=asked(reason="r" * 5000)), 900).cut > 4000


@given(st.text(alphabet="ab… ", max_size=80), st.integers(6, 30))
def test_pieces_are_whole_and_say_where_they_go_on(text: str, size: int) -> None:
    parts = pieces(text, size)
    room = size - 4
    bare = [part[2 if at else 0 : -2 if at < len(parts) - 1 else None] for at, part in enumerate(parts)]
    assert "".join(bare) == text
    assert all(len(part) <= size for part in parts)
    assert all(part.startswith("… ") for part in parts[1:])
    assert all(part.endswith(" …") for part in parts[:-1])
    assert len(parts) == max(1, -(-len(text) // room))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"state": State.APPROVED}, "approved, not run yet"),
        ({"state": State.REJECTED}, "rejected"),
        ({"state": State.EXPIRED}, "expired"),
        ({"state": State.CANCELLED, "why": "gone\u202e"}, "cancelled: gone⟨U+202E⟩"),
        ({"state": State.USED, "used_by": "01CALL"}, "ran as 01CALL"),
        ({"state": State.USED, "why": "break_glass"}, "ran at once: the glass was broken"),
    ],
)
def test_outcome(changes: dict[str, object], said: str) -> None:
    assert card(approval(**changes)).outcome == said


def test_outcome_with_answers() -> None:
    no = msgspec.structs.replace(answer("car\u200bol", yes=False, at=NOW + 61), reason="not\nthis one")
    shown = card(approval(answers=(answer("bob"), no), state=State.REJECTED))
    assert shown.outcome == (
        "approved by bob at 2027-01-15 08:00:01 UTC; "
        "rejected by car⟨U+200B⟩ol at 2027-01-15 08:01:01 UTC (not⏎this one); rejected"
    )


def test_a_grant_is_offered_where_one_may_be_given() -> None:
    offering = terms(grant_max_calls=5, grant_max_s=7200.0)
    offer = dict(card(approval(terms=(offering,))).facts)["May be granted"]
    assert offer.startswith("the same call up to 5 times more within 2 h")
    for silent in (
        approval(), approval(terms=(offering, terms())), approval(terms=(offering,), state=State.USED),
        approval(terms=(offering,), asked=asked(masked=True)),
    ):  # fmt: skip
        assert "May be granted" not in dict(card(silent).facts)
