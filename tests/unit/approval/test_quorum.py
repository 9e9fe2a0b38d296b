"""Who may answer, and when it is enough."""

from itertools import permutations, product

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funcgate.approval.quorum import Person, Unfit, enough, examine, missing, within
from funcgate.core.decision import Hours, Quorum, Terms
from funcgate.core.entry import Who
from support.approvals import NOW, answer, approval, asked, terms

FINANCE, SECURITY = Quorum(("group:finance",)), Quorum(("group:security",))
BOTH = terms(FINANCE, SECURITY)


def person(subject: str, *groups: str, agent: str = "", issuer: str = "corp") -> Person:
    return Person(issuer, subject, frozenset(groups or ("finance",)), agent)


@pytest.mark.parametrize("subject", ["agent-7", "alice"])
def test_nobody_approves_their_own_call(subject: str) -> None:
    for groups in (("finance",), ("finance", "admin", "platform")):
        with pytest.raises(Unfit, match="own call"):
            examine(approval(), person(subject, *groups), NOW)
        with pytest.raises(Unfit, match="own call"):
            examine(approval(), person(subject, *groups, issuer="another issuer"), NOW)


def test_nor_does_the_agent_that_acts() -> None:
    held = approval(asked=asked(principal=Who("corp", "alice", (), None, "", "bot")))
    with pytest.raises(Unfit, match="own call"):
        examine(held, person("bot"), NOW)


def test_an_agent_answers_for_nobody() -> None:
    with pytest.raises(Unfit, match="a person's"):
        examine(approval(), person("bob", agent="helper"), NOW)


def test_only_approvers_answer() -> None:
    examine(approval(), person("bob"), NOW)
    with pytest.raises(Unfit, match="not among"):
        examine(approval(), person("bob", "marketing"), NOW)
    with pytest.raises(Unfit, match="not among"):
        examine(approval(terms=()), person("bob"), NOW)


def test_one_person_answers_once() -> None:
    held = approval(answers=(answer("bob"),), terms=(terms(Quorum(("group:finance",), 2)),))
    with pytest.raises(Unfit, match="already"):
        examine(held, person("bob"), NOW)
    for same in (person("bob", issuer="another"), person("Bob")):  # one who signs in at two places is not two
        with pytest.raises(Unfit, match="already"):
            examine(held, same, NOW)
    examine(held, person("carol"), NOW)


def test_one_subject_of_two_issuers_is_one_person() -> None:
    two = terms(Quorum(("group:finance",), 2))
    again = msgspec.structs.replace(answer("bob"), issuer="another")
    assert missing(two, [answer("bob"), again], escalated=False) == 1
    assert missing(two, [answer("bob"), answer("BOB")], escalated=False) == 1
    with pytest.raises(Unfit, match="own call"):
        examine(approval(), person("Alice"), NOW)


def test_without_any_terms_nothing_is_enough() -> None:
    assert not enough((), [answer("bob")], escalated=False)


def test_each_of_several_terms_has_its_own_hours() -> None:
    noon, night = 1_795_000_000.0, 1_795_000_000.0 + 10 * 3600
    both = (terms(), terms(hours=WEEK))
    held = approval(terms=both, created_at=noon, expires_at=noon + 2 * 86400)
    examine(held, person("bob"), night)  # counts for the first
    late = answer("bob", at=night)
    assert not enough(both, [late], escalated=False)
    held = msgspec.structs.replace(held, answers=(late,))
    with pytest.raises(Unfit, match="already"):
        examine(held, person("bob"), night + 1)
    examine(held, person("bob"), noon + 86400)  # in the morning it counts for both
    assert enough(both, [late, answer("bob", at=noon + 86400)], escalated=False)
    only = approval(terms=(terms(hours=WEEK),), created_at=noon, expires_at=noon + 2 * 86400)
    examine(only, person("bob"), night, yes=False)  # a no counts at every hour


def test_each_of_several_terms_escalates_in_its_own_time() -> None:
    soon = terms(escalate_after_s=60.0, escalate_to=("group:board", "user:boss"))
    late = terms(escalate_after_s=3600.0, escalate_to=("user:boss",))
    held = approval(terms=(late,), escalated=True, expires_at=NOW + 86400)
    with pytest.raises(Unfit, match="not among"):
        examine(held, person("boss", "x"), NOW + 61)
    early, later = answer("boss", "x", at=NOW + 61), answer("boss", "x", at=NOW + 3600)
    assert not enough((soon, late), [early], escalated=True, asked_at=NOW)
    assert enough((soon, late), [later], escalated=True, asked_at=NOW)


def test_who_was_escalated_to_answers_only_then() -> None:
    climbing = terms(escalate_after_s=60.0, escalate_to=("user:boss",))
    with pytest.raises(Unfit):
        examine(approval(terms=(climbing,)), person("boss", "board"), NOW)
    held = approval(terms=(climbing,), escalated=True)
    examine(held, person("boss", "board"), NOW + 60)
    assert enough(held.terms, (answer("boss", "board"),), escalated=True)
    assert not enough(held.terms, (answer("boss", "board"),), escalated=False)


def test_one_of_each_is_two_people() -> None:
    both, fin, sec = answer("bob", "finance", "security"), answer("carol", "finance"), answer("dave", "security")
    assert missing(BOTH, [both], escalated=False) == 1
    assert missing(BOTH, [both, fin], escalated=False) == 0
    assert missing(BOTH, [fin, both], escalated=False) == 0
    assert missing(BOTH, [both, sec], escalated=False) == 0
    assert missing(BOTH, [fin, answer("erin", "finance")], escalated=False) == 1
    assert missing(BOTH, [fin, fin], escalated=False) == 1


def test_a_no_is_no_yes_and_nobody_is_never_enough() -> None:
    assert not enough((terms(),), [answer("bob", yes=False)], escalated=False)
    assert not enough((terms(),), [], escalated=False)
    assert not enough((Terms(),), [answer("bob")], escalated=False)


def test_each_policy_has_its_own_count() -> None:
    one, two = terms(FINANCE), terms(Quorum(("group:finance",), 2))
    assert not enough((one, two), [answer("bob")], escalated=False)
    assert enough((one, two), [answer("bob"), answer("carol")], escalated=False)


GROUPS = ("a", "b", "c")


@given(
    st.lists(st.tuples(st.sets(st.sampled_from(GROUPS), min_size=1), st.integers(1, 2)), min_size=1, max_size=3),
    st.lists(st.sets(st.sampled_from(GROUPS)), max_size=5),
)
def test_the_matching_is_the_best_there_is(wanted: list[tuple[set[str], int]], people: list[set[str]]) -> None:
    asked_for = Terms(
        quorums=tuple(Quorum(tuple(f"group:{name}" for name in sorted(names)), count) for names, count in wanted)
    )
    answers = [
        answer(f"p{number}", *sorted(groups)) if groups else answer(f"p{number}", "none")
        for number, groups in enumerate(people)
    ]
    seats = [names for names, count in wanted for _ in range(count)]
    padded: list[set[str]] = [*people, *([set()] * len(seats))]
    best = max(
        sum(bool(seat & held) for seat, held in zip(seats, order, strict=False))
        for order in set(permutations(map(frozenset, padded), len(seats)))
    )
    assert missing(asked_for, answers, escalated=False) == len(seats) - best


WEEK = Hours(days=frozenset(range(5)), begin_min=8 * 60, end_min=18 * 60, zone="Europe/Berlin")


@pytest.mark.parametrize(
    ("at", "inside"),
    [
        (1_795_000_000, True),  # Wednesday 2026-11-18 11:06 UTC
        (1_795_000_000 - 5 * 3600, False),  # 06:06 UTC, 07:06 in Berlin
        (1_795_000_000 + 6 * 3600, False),
        (1_795_000_000 + 3 * 86400, False),  # Saturday
    ],
)
def test_working_hours(at: int, inside: bool) -> None:
    assert within(WEEK, at) is inside
    held = approval(terms=(terms(hours=WEEK),), created_at=at - 1, expires_at=at + 900)
    if inside:
        examine(held, person("bob"), at)
    else:
        with pytest.raises(Unfit, match="hour"):
            examine(held, person("bob"), at)


def test_hours_over_midnight() -> None:
    night = Hours(days=frozenset({4}), begin_min=22 * 60, end_min=6 * 60)
    friday = 1_795_000_000 - 1_795_000_000 % 86400 + 2 * 86400
    inside = {
        (day, hour) for day, hour in product(range(3), range(24)) if within(night, friday + day * 86400 + hour * 3600)
    }
    assert inside == {(0, 22), (0, 23)} | {(1, hour) for hour in range(6)}
    assert not within(msgspec.structs.replace(night, days=frozenset()), friday + 23 * 3600)
