from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbtest.endpoint.congestion import CONGESTION, UNLIMITED, CongestionControl, Coupled, Coupling, NewReno
from mbtest.endpoint.rto import RoundTripTime
from mbtest.errors import LocalProtocolError

MSS = 1_000
RTO = 200_000
ALL = pytest.mark.parametrize("name", sorted(CONGESTION))


def make(name: str, group: Coupling | None = None, rtt: int | None = None, window: int | None = None):
    time = RoundTripTime()
    if rtt is not None:
        time.sample(rtt)
    return CONGESTION[name](MSS, group or Coupling(), time, window)


def round_trip(control: CongestionControl, each: int = MSS) -> int:
    """Have a full window acknowledged, `each` octets at a time; return by how much it grew."""
    window = control.window
    for _ in range(window // each):
        control.acked(each, window, 0)
    return control.window - window


def steady(control: CongestionControl, window: int) -> CongestionControl:
    """Bring a control to congestion avoidance at `window`."""
    control.window = 2 * window
    control.enter_recovery(2 * window)
    control.leave_recovery()
    assert control.window == control.threshold == window
    return control


@pytest.mark.parametrize(("mss", "window"), [(100, 1_000), (1_460, 14_600), (8_960, 17_920), (3_000, 14_600)])
def test_initial_window(mss, window):
    control = NewReno(mss)
    assert (control.window, control.threshold) == (window, UNLIMITED)


@ALL
def test_an_initial_window_of_the_callers(name):
    assert make(name, window=MSS).window == MSS
    assert make(name, window=0).window == MSS


@ALL
def test_slow_start_doubles_in_a_round_trip(name):
    control = make(name)
    assert round_trip(control) == 10 * MSS
    assert round_trip(control, each=2 * MSS) == 20 * MSS


@ALL
def test_slow_start_counts_two_segments_of_an_acknowledgement(name):
    control = make(name)
    control.acked(10 * MSS, 10 * MSS, 0)
    assert control.window == 12 * MSS
    control.acked(1, 12 * MSS, 0)
    assert control.window == 12 * MSS + 1


@ALL
def test_slow_start_ends_at_the_threshold(name):
    control = make(name)
    control.timed_out(20_500)
    while control.window < control.threshold:
        control.acked(MSS, control.window, 0)
    assert control.window == control.threshold == 10_250
    assert round_trip(control) in {0, MSS}


@ALL
@pytest.mark.parametrize("each", [250, 500, 1_000, 10_000])
def test_congestion_avoidance_adds_a_segment_in_a_round_trip(name, each):
    control = steady(make(name, rtt=1_000), 20 * MSS)
    assert round_trip(control, each) == MSS


@ALL
def test_a_window_that_was_not_used_does_not_grow(name):
    control = make(name)
    control.acked(MSS, 4 * MSS, 0)
    assert control.window == 10 * MSS
    control.acked(MSS, 5 * MSS, 0)
    assert control.window == 11 * MSS
    steady(control, 20 * MSS)
    for _ in range(100):
        control.acked(MSS, 16 * MSS, 0)
    assert control.window == 20 * MSS
    for _ in range(20):
        control.acked(MSS, 17 * MSS, 0)
    assert control.window == 21 * MSS


@ALL
def test_recovery_halves_what_was_in_flight_and_does_not_grow(name):
    control = make(name)
    control.enter_recovery(8 * MSS)
    assert control.window == control.threshold == 4 * MSS
    control.acked(4 * MSS, 4 * MSS, 0)
    assert control.window == 4 * MSS
    control.leave_recovery()
    assert control.window == 4 * MSS
    assert round_trip(control) == MSS


@ALL
def test_leaving_no_recovery_changes_nothing(name):
    control = make(name)
    control.leave_recovery()
    assert (control.window, control.threshold) == (10 * MSS, UNLIMITED)


@ALL
def test_recovery_keeps_two_segments(name):
    control = make(name)
    control.enter_recovery(MSS)
    assert control.window == control.threshold == 2 * MSS


@ALL
def test_recovery_widens_nothing(name):
    control = make(name)
    control.enter_recovery(100 * MSS)
    assert control.window == control.threshold == 5 * MSS


@ALL
def test_a_timeout_starts_from_one_segment_and_by_one_each(name):
    control = make(name)
    control.enter_recovery(10 * MSS)
    control.timed_out(30 * MSS)
    assert (control.window, control.threshold) == (MSS, 15 * MSS)
    control.acked(5 * MSS, MSS, 0)
    assert control.window == 2 * MSS


@ALL
def test_timeouts_of_the_same_segment_hold_the_threshold(name):
    control = make(name)
    control.timed_out(20 * MSS)
    control.timed_out(MSS)
    assert (control.window, control.threshold) == (MSS, 10 * MSS)
    control.acked(MSS, MSS, 0)
    control.timed_out(8 * MSS)
    assert (control.window, control.threshold) == (MSS, 4 * MSS)


@ALL
def test_two_segments_count_again_after_the_slow_start_of_a_timeout(name):
    control = make(name)
    control.timed_out(4 * MSS)
    control.acked(MSS, MSS, 0)
    assert control.window == control.threshold == 2 * MSS
    control.threshold = 20 * MSS
    control.acked(2 * MSS, 2 * MSS, 0)
    assert control.window == 4 * MSS


@ALL
def test_idle_goes_back_to_the_initial_window(name):
    control = make(name)
    round_trip(control)
    control.idle(RTO, RTO)
    assert control.window == 20 * MSS
    control.idle(RTO + 1, RTO)
    assert (control.window, control.threshold) == (10 * MSS, UNLIMITED)
    steady(control, 4 * MSS)
    control.idle(RTO + 1, RTO)
    assert control.window == 4 * MSS


def lia(windows: list[int], rtts: list[int], i: int) -> float:
    """Return the octets that one octet acknowledged adds to window i, as RFC 6356 §3 has it."""
    total = sum(windows)
    alpha = (
        total
        * max(w / r**2 for w, r in zip(windows, rtts, strict=True))
        / sum(w / r for w, r in zip(windows, rtts, strict=True)) ** 2
    )
    return min(alpha * MSS / total, MSS / windows[i])


@given(
    st.lists(st.tuples(st.integers(2, 200), st.integers(100, 1_000_000)), min_size=1, max_size=5),
    st.data(),
)
def test_coupled_growth_is_that_of_rfc_6356(paths, data):
    group = Coupling()
    controls = [steady(make("coupled", group, rtt), window * MSS) for window, rtt in paths]
    i = data.draw(st.integers(0, len(paths) - 1))
    control = controls[i]
    expected = MSS / lia([control.window for control in controls], [rtt for _, rtt in paths], i)
    before = control.window
    each = max(int(expected) // 50, 1)
    acked = 0
    while control.window == before:
        control.acked(each, before, 0)
        acked += each
    assert expected - 1 <= acked <= expected + each + 1
    assert control.window == before + MSS


def test_coupled_takes_no_more_than_one_tcp_over_a_shared_bottleneck():
    group = Coupling()
    controls = [steady(make("coupled", group, 50_000), 20 * MSS) for _ in range(4)]
    # A TCP adds a segment in a round trip. Four with a quarter of its window each add 1/16 of one.
    grown = sum(round_trip(control) for _ in range(15) for control in controls)
    assert grown == 0
    grown = sum(round_trip(control) for _ in range(2) for control in controls)
    assert grown == 4 * MSS


def test_coupled_alone_is_newreno():
    group = Coupling()
    alone, left = make("coupled", group, 50_000), make("coupled", group, 50_000)
    steady(alone, 20 * MSS)
    steady(left, 20 * MSS)
    assert round_trip(alone) == 0
    left.close()
    left.close()
    assert sum(round_trip(alone) for _ in range(10)) >= 9 * MSS


@pytest.mark.parametrize("rtts", [(None, 1_000), (1_000, None), (None, None)])
def test_subflows_that_were_never_measured_are_left_out(rtts):
    group = Coupling()
    first, _second = (steady(make("coupled", group, rtt), 20 * MSS) for rtt in rtts)
    assert round_trip(first) == MSS


def test_a_round_trip_of_no_time_divides_nothing():
    group = Coupling()
    first, _second = (steady(make("coupled", group, 0), 20 * MSS) for _ in range(2))
    assert round_trip(first) == 0


CALLS = st.one_of(
    st.tuples(st.just("acked"), st.integers(0, 100_000), st.integers(0, 1_000_000), st.just(0)),
    st.tuples(st.just("enter_recovery"), st.integers(0, 1_000_000)),
    st.tuples(st.just("leave_recovery")),
    st.tuples(st.just("timed_out"), st.integers(0, 1_000_000)),
    st.tuples(st.just("idle"), st.integers(0, 2 * RTO), st.just(RTO)),
)


@ALL
@given(calls=st.lists(CALLS, max_size=60))
def test_whatever_happens_a_segment_may_be_sent(name, calls):
    control = make(name, rtt=1_000)
    for call, *arguments in calls:
        before = control.window
        getattr(control, call)(*arguments)
        assert MSS <= control.window <= before + 2 * MSS
        assert 2 * MSS <= control.threshold <= UNLIMITED
        assert type(control.window) is type(control.threshold) is int


def test_an_unknown_name_lists_those_there_are():
    with pytest.raises(
        LocalProtocolError, match="no congestion control 'cubic'; there are: coupled, newreno"
    ):
        CONGESTION["cubic"]
    assert "cubic" not in CONGESTION


def test_a_segment_carries_something():
    with pytest.raises(LocalProtocolError, match="at least 1 octet"):
        NewReno(0)


def test_the_registry_makes_what_it_names():
    assert type(make("newreno")) is NewReno
    assert type(make("coupled")) is Coupled
