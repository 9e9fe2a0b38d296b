"""What time it is for expiry: a clock that leaps is not believed on its own word."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from funcgate.recording.retention.clock import DAY_S, Witnessed
from support.house import DAY, T0, House

YEARS = 5 * 365 * DAY


def _seen(*times: float) -> Witnessed:
    clock = Witnessed()
    for at in times:
        clock = clock.saw(at)
    return clock


_BUSY = [T0 + hour * 3600 for hour in range(72)]


@settings(deadline=None)
@given(st.lists(st.floats(1, 4e9), max_size=30), st.floats(0, 4e9))
def test_never_later_than_the_last_call_or_the_clock(times: list[float], clock: float) -> None:
    seen = _seen(*times)
    assert seen.now(clock) <= min(clock, max(times, default=0.0))


@settings(deadline=None)
@given(st.lists(st.floats(1, 4e9), min_size=1, max_size=30), st.floats(1, 4e9))
def test_it_never_goes_back(times: list[float], more: float) -> None:
    assert _seen(*times, more).believed >= _seen(*times).believed


@settings(deadline=None)
@given(st.lists(st.floats(60, DAY_S), min_size=30, max_size=60))
def test_calls_every_day_are_believed_at_once(gaps: list[float]) -> None:
    times = [T0]
    for gap in gaps:
        times.append(times[-1] + gap)
    if times[-1] - times[0] >= DAY_S and all(later - one <= DAY_S for one, later in pairwise(times)):
        assert _seen(*times).believed == times[-1]


@settings(deadline=None)
@given(st.floats(DAY_S + 1, YEARS), st.lists(st.floats(0, DAY_S - 1), max_size=20))
def test_a_leap_is_not_believed_for_a_day(leap: float, more: list[float]) -> None:
    after = [_BUSY[-1] + leap + at for at in sorted(more)]
    assert _seen(*_BUSY, *after).believed == _BUSY[-1]


def test_a_leap_that_lasts_is_believed_and_one_that_is_undone_forgotten() -> None:
    later = [at + YEARS for at in _BUSY]
    assert _seen(*_BUSY, *later).believed == later[-1]
    undone = _seen(*_BUSY, later[0], *[at + 72 * 3600 for at in _BUSY])
    assert undone.believed == _BUSY[-1]  # it stands still: the journal's own times do as well
    assert undone.confirmed(_BUSY[-1] + DAY).now(_BUSY[-1] + DAY) == _BUSY[-1] + DAY


def test_a_call_a_week_is_enough() -> None:
    weeks = [T0 + 7 * DAY * week for week in range(20)]
    assert weeks[-1] - _seen(*weeks).believed <= 7 * DAY


def test_the_operator_is_told() -> None:
    assert _seen(*_BUSY).doubt(_BUSY[-1] + 3600) == ""
    assert "5.0 days" in _seen(*_BUSY).doubt(_BUSY[-1] + 5 * DAY)
    assert Witnessed().doubt(T0) == ""


def test_years_ahead_nothing_expires_until_calls_go_on(house: House) -> None:
    call = house.call("s~1")
    house.pass_days(2)
    house.now += YEARS
    house.keep()
    assert house.body(call) == "the answer"  # nobody calls: tokens are not valid in five years
    house.call("s~9")
    house.keep()
    assert house.body(call) == "the answer"
    assert "no call confirms" in house.chore.complaint
    house.admin(what="clock", reason="it was the clock before that was wrong")
    house.keep()
    assert house.body(call) in (None, "(expired)")
    assert house.chore.complaint == ""


def test_set_back_and_forth_again_nothing_expires_early(house: House) -> None:
    early = house.call("s~1")
    house.pass_days(2)
    house.now += 40 * DAY
    house.record({"what": "configuration"})  # the journal's times stand still at this one from now on
    house.now -= 40 * DAY
    call = house.call("s~2")
    house.pass_days(3)
    house.keep()
    house.now += 40 * DAY
    house.keep()
    assert (house.body(early), house.body(call)) == ("the answer", "the answer")


def test_times_that_stand_still_witness_nothing(house: House) -> None:
    """Ahead for a moment, back, ahead again, and a token that is valid for long enough lets one call through."""
    call = house.call("s~1")
    house.pass_days(2)
    house.now += 40 * DAY
    house.record({"what": "configuration"})
    house.now -= 40 * DAY
    house.pass_days(3)  # in the journal, all of this is when the clock was ahead
    house.now += 40 * DAY
    house.call("s~2")
    house.keep()
    assert house.body(call) == "the answer"


def test_keys_of_a_day_that_was_none_are_as_old_as_their_last_line(house: House) -> None:
    house.call("s~1")
    house.pass_days(2)
    house.now -= 100 * DAY
    call = house.call("s~2")  # its key says that it is a hundred days old
    house.now += 100 * DAY
    house.pass_days(2)
    house.keep()
    assert house.body(call) == "the answer"
    house.pass_days(31)
    house.keep()
    assert house.body(call) == "(expired)"
