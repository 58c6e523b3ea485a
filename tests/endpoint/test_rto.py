from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbtest.endpoint.rto import AFTER_LOST_SYN, INITIAL, MAXIMUM, MINIMUM, RoundTripTime
from mbtest.errors import LocalProtocolError


def test_before_the_first_sample():
    time = RoundTripTime()
    assert (time.srtt, time.rttvar, time.rto) == (None, None, 1_000_000)


def test_the_first_sample_gives_mean_and_variation():
    time = RoundTripTime()
    time.sample(100_000)
    assert (time.srtt, time.rttvar, time.rto) == (100_000, 50_000, 300_000)


def test_the_second_sample_moves_them_by_an_eighth_and_a_quarter():
    time = RoundTripTime()
    time.sample(100_000)
    time.sample(180_000)
    assert (time.srtt, time.rttvar, time.rto) == (110_000, 57_500, 340_000)


def test_a_steady_round_trip_leaves_the_granularity():
    time = RoundTripTime(minimum=1)
    for _ in range(200):
        time.sample(10_000)
    assert time.rto == 11_000


@pytest.mark.parametrize(("rtt", "rto"), [(0, MINIMUM), (1_000, MINIMUM), (50_000_000, MAXIMUM)])
def test_limits(rtt, rto):
    time = RoundTripTime()
    time.sample(rtt)
    assert time.rto == rto


def test_backing_off_doubles_up_to_the_maximum():
    time = RoundTripTime()
    seen = []
    for _ in range(8):
        time.back_off()
        seen.append(time.rto // 1_000_000)
    assert seen == [2, 4, 8, 16, 32, 60, 60, 60]


@pytest.mark.parametrize("forget", [lambda time: time.sample(100_000), RoundTripTime.progress])
def test_a_sample_or_progress_forgets_the_backoff(forget):
    time = RoundTripTime()
    for _ in range(30):
        time.sample(100_000)
    rto = time.rto
    time.back_off()
    time.back_off()
    assert time.rto == 4 * rto
    forget(time)
    assert time.rto == rto


def test_backing_off_leaves_the_measurements():
    time = RoundTripTime()
    time.sample(100_000)
    time.back_off()
    assert (time.srtt, time.rttvar) == (100_000, 50_000)


def test_progress_before_any_sample():
    time = RoundTripTime()
    time.back_off()
    time.progress()
    assert time.rto == INITIAL


def test_a_lost_syn_makes_data_wait_longer_until_there_is_a_sample():
    time = RoundTripTime()
    time.back_off()
    time.syn_was_lost()
    assert time.rto == AFTER_LOST_SYN
    time.back_off()
    time.progress()
    assert time.rto == AFTER_LOST_SYN
    time.sample(100_000)
    time.syn_was_lost()
    assert time.rto == 300_000


def test_a_lost_syn_shortens_nothing_and_keeps_the_maximum():
    patient = RoundTripTime(initial=5_000_000)
    patient.syn_was_lost()
    assert patient.rto == 5_000_000
    hasty = RoundTripTime(maximum=2_000_000)
    hasty.syn_was_lost()
    assert hasty.rto == 2_000_000


@given(st.lists(st.one_of(st.integers(0, 100_000_000), st.none()), max_size=50))
def test_the_timeout_stays_within_its_limits(rtts):
    time = RoundTripTime()
    samples = []
    for rtt in rtts:
        if rtt is None:
            time.back_off()
        else:
            time.sample(rtt)
            samples.append(rtt)
            assert time.rto == min(MAXIMUM, max(MINIMUM, time.srtt + max(1_000, 4 * time.rttvar)))
            # Rounding is down, by less than one unit of the gain for each sample.
            assert min(samples) - 8 <= time.srtt <= max(samples)
        assert MINIMUM <= time.rto <= MAXIMUM


def test_a_negative_round_trip_is_refused():
    with pytest.raises(LocalProtocolError, match="at least 0"):
        RoundTripTime().sample(-1)


@pytest.mark.parametrize("limits", [(0, 1, 2), (3, 2, 4), (1, 5, 4)])
def test_limits_that_contradict_are_refused(limits):
    with pytest.raises(LocalProtocolError, match="minimum <= initial <= maximum"):
        RoundTripTime(*limits)
