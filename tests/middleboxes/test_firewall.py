from __future__ import annotations

from typing import Any

import pytest

from mbtest.errors import UsageError
from mbtest.middlebox import SECOND
from mbtest.wire import ACK, FIN, RST, SYN
from middleboxes.firewall import FilterByState
from tests.middlebox.bench import TO_CLIENT, TO_SERVER, Line, segment, segments, talk


def syn(client_port: int = 40000, server_port: int = 80, **more: Any) -> Any:
    return segment(0, flags=SYN, ports=(client_port, server_port), **more)


def test_what_belongs_to_an_open_flow_passes_as_it_is() -> None:
    line = Line(FilterByState())
    there = [syn(), segment(1), segment(1, b"data"), segment(5, flags=FIN | ACK)]
    back = [segment(9, flags=SYN | ACK, direction=TO_CLIENT), segment(10, b"data", direction=TO_CLIENT)]
    for one, way in [(there[0], TO_SERVER), *((one, TO_CLIENT) for one in back), (there[1], TO_SERVER)]:
        assert line.put(one, way)[0] is one
    assert all(line.put(one)[0] is one for one in there)


@pytest.mark.parametrize("flags", [ACK, SYN | ACK, FIN | ACK, RST])
@pytest.mark.parametrize("way", [TO_SERVER, TO_CLIENT])
def test_what_began_without_it_is_dropped(flags: int, way: Any) -> None:
    line = Line(FilterByState())
    one = segment(1, flags=flags, direction=way)
    assert line.put(one, way) == []
    assert line.out == []
    assert line.chain.comment(one) == "FilterByState dropped it: of no flow that it knows"


def test_it_can_answer_with_a_reset_but_not_a_reset() -> None:
    line = Line(FilterByState(answer="reset"))
    one = segment(1, b"data", ack=77)
    assert line.put(one) == []
    (reset,) = segments(line.out, TO_CLIENT)
    assert (reset.flags, reset.seq, reset.flow) == (RST, 77, one.flow[::-1])
    assert line.put(segment(1, flags=RST)) == []
    assert len(line.out) == 1


@pytest.mark.parametrize(
    ("opened_by", "passes"), [("either", (True, True)), ("client", (True, False)), ("server", (False, True))]
)
def test_who_may_open_is_let_through(opened_by: Any, passes: tuple[bool, bool]) -> None:
    line = Line(FilterByState(opened_by=opened_by))
    syns = (syn(), TO_SERVER), (syn(direction=TO_CLIENT, server_port=99), TO_CLIENT)
    assert tuple(bool(line.put(one, way)) for one, way in syns) == passes


def test_a_flow_is_forgotten_after_silence_of_both_hosts() -> None:
    line = Line(FilterByState(idle=SECOND))
    assert line.put(syn())
    for way in (TO_SERVER, TO_CLIENT, TO_SERVER):
        line.wait(SECOND)
        assert line.put(segment(1, direction=way), way)
    line.wait(SECOND + 1)
    assert line.put(segment(1)) == []
    assert line.put(syn())


def test_only_so_many_flows_pass_between_two_hosts_by_whatever_addresses() -> None:
    line = Line(FilterByState(most=1))
    assert line.put(syn())
    assert line.put(syn())  # again
    second = syn(40001)
    assert line.put(second) == []
    assert line.chain.comment(second) == "FilterByState dropped it: 1 flows between its hosts"
    assert line.put(syn(40002).replace(destination=second.destination + 1)) == []
    assert line.put(syn(40003, version=6)) == []


@pytest.mark.parametrize("ending", ["rst", "fins"])
def test_a_flow_that_ended_makes_room(ending: str) -> None:
    line = Line(FilterByState(most=1))
    line.put(syn())
    if ending == "rst":
        assert line.put(segment(1, flags=RST))
        assert line.put(segment(1)) == []
    else:
        for way in (TO_SERVER, TO_CLIENT):
            assert line.put(syn(40001)) == []
            line.put(segment(1, flags=FIN | ACK, direction=way), way)
        assert line.put(segment(2))
    assert line.put(syn(40001))


def test_streams_arrive_as_they_were_sent() -> None:
    for seed in range(5):
        for connection in talk(FilterByState(opened_by="client"), seed=seed, trouble=0.3):
            assert connection.server.received == connection.client.stream


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"most": 0}, "most=0 is out of range; give at least 1"),
        ({"idle": 0}, "idle=0 is out of range; give at least 1 microseconds"),
        ({"answer": "icmp"}, "answer='icmp' should be 'drop' or 'reset'"),
    ],
)
def test_impossible_parameters_are_refused(told: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=f"^FilterByState: {words}"):
        FilterByState(**told)
