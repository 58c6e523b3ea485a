from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbtest.errors import UsageError
from mbtest.middlebox import Aim
from mbtest.wire import ACK, FIN, SYN, Segment, TcpOption, WindowScale
from middleboxes.check_window import CheckWindow
from tests.middlebox.bench import TO_CLIENT, TO_SERVER, Line, segment, talk

ISN = 2**32 - 30


def data(at: int, size: int, flags: int = ACK) -> Segment:
    return segment(ISN + 1 + at, bytes(size), flags)


def answer(acked: int, window: int, **more: Any) -> Segment:
    return segment(900, ack=(ISN + 1 + acked) % 2**32, window=window, direction=TO_CLIENT, **more)


def opened(
    client: tuple[TcpOption, ...] = (WindowScale(2),),
    server: tuple[TcpOption, ...] = (WindowScale(3),),
    **told: Any,
) -> Line:
    line = Line(CheckWindow(**told))
    line.put(segment(ISN, flags=SYN, options=client))
    line.put(answer(0, 100, flags=SYN | ACK, options=server), TO_CLIENT)
    return line


def passes(line: Line, at: int, size: int) -> bool:
    one = data(at, size)
    out = line.put(one)
    assert out in ([], [one])
    return bool(out)


def test_data_passes_up_to_the_right_edge_and_not_beyond() -> None:
    line = opened()
    assert passes(line, 0, 100)
    assert not passes(line, 100, 2)
    line.put(answer(50, 10), TO_CLIENT)
    assert passes(line, 100, 30)
    assert not passes(line, 101, 30)


def test_an_edge_that_moved_back_is_remembered_where_it_was() -> None:
    line = opened()
    line.put(answer(0, 2), TO_CLIENT)
    assert passes(line, 0, 100)


def test_the_window_of_a_syn_is_not_scaled_and_nothing_is_unless_both_offered_it() -> None:
    assert not passes(opened(), 0, 101)
    line = opened(client=())
    line.put(answer(0, 120), TO_CLIENT)
    assert passes(line, 0, 120)
    assert not passes(line, 0, 121)


def test_a_firewall_that_ignores_the_scale_takes_the_window_for_smaller() -> None:
    line = opened(scale="ignored")
    line.put(answer(100, 40), TO_CLIENT)
    assert passes(line, 100, 40)
    assert not passes(line, 100, 41)


def test_one_octet_probes_a_closed_window() -> None:
    line = opened()
    line.put(answer(100, 0), TO_CLIENT)
    assert passes(line, 100, 1)
    assert not passes(line, 100, 2)


def test_each_direction_has_its_own_window() -> None:
    line = opened()
    line.put(segment(ISN + 1, ack=901, window=1))
    for size, out in ((5, 0), (4, 1)):
        one = segment(901, bytes(size), direction=TO_CLIENT)
        assert len(line.put(one, TO_CLIENT)) == out


def test_what_has_no_data_and_what_nobody_offered_a_window_for_passes() -> None:
    line = opened()
    for one in (data(5000, 0), data(5000, 0, ACK | FIN), segment(7, bytes(99_9), ports=(1, 2))):
        assert line.put(one) == [one]


def test_an_aim_at_one_direction_still_learns_from_the_other() -> None:
    line = opened(aim=Aim(direction=TO_SERVER))
    assert not passes(line, 0, 101)
    one = segment(901, bytes(999), direction=TO_CLIENT)
    assert line.put(one, TO_CLIENT) == [one]


@given(st.integers(0, 2**32), st.sampled_from((0.0, 0.3)))
@settings(deadline=None)
def test_hosts_that_obey_windows_are_left_alone(seed: int, trouble: float) -> None:
    for connection in talk(CheckWindow(), seed=seed, trouble=trouble):
        assert connection.server.received == connection.client.stream
        assert connection.line.chain.deeds(CheckWindow) == 0


def test_an_unknown_choice_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^CheckWindow: scale='no' should be 'followed' or 'ignored'$"):
        CheckWindow(scale="no")  # type: ignore[arg-type]
