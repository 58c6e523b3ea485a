from __future__ import annotations

from typing import Any

import pytest

from mbtest.errors import UsageError
from mbtest.middlebox import MILLISECOND, Aim, icmp_error
from mbtest.wire import Packet
from middleboxes.link import FailLink
from tests.middlebox.bench import TO_CLIENT, TO_SERVER, Line, segment
from tests.middlebox.hosts import Hosts

AT_4 = Aim(direction=TO_SERVER, from_byte=4)


def passing(line: Line) -> tuple[bool, ...]:
    """Return what of data and of ICMP passes: to the server, to the client."""
    passed = []
    for way in (TO_SERVER, TO_CLIENT):
        one = segment(104, b"more", direction=way)
        packets: tuple[Packet, ...] = (
            one,
            icmp_error(one.replace(source=one.destination), "net-unreachable"),
        )
        passed += [bool(line.chain.forward(packet, way)) for packet in packets]
    return tuple(passed)


def test_nothing_is_lost_before_it_fails() -> None:
    line = Line(FailLink(aim=AT_4))
    for one, way in ((segment(100, b"data"), TO_SERVER), (segment(9, b"x", direction=TO_CLIENT), TO_CLIENT)):
        assert line.put(one, way)[0] is one


@pytest.mark.parametrize(
    ("directions", "passes"),
    [
        ("both", (False, False, False, False)),
        ("to_server", (False, False, True, True)),
        ("to_client", (True, True, False, False)),
    ],
)
def test_it_loses_all_of_a_direction_that_failed(directions: Any, passes: tuple[bool, ...]) -> None:
    line = Line(FailLink(directions=directions, aim=AT_4))
    line.put(segment(100, b"data"))
    assert bool(line.put(segment(104, b"more"))) is passes[0]
    assert passing(line) == passes
    line.wait(3_600_000_000)
    assert passing(line) == passes


def test_it_comes_back_and_does_not_fail_again() -> None:
    line = Line(FailLink(50 * MILLISECOND, aim=AT_4))
    line.put(segment(100, b"data"))
    lost = segment(104, b"more")
    assert line.put(lost) == []
    assert line.chain.comment(lost) == "FailLink lost it: the link is down"
    line.wait(50 * MILLISECOND - 1)
    assert not any(passing(line))
    line.wait(1)
    assert all(passing(line))


def test_a_stream_survives_an_outage() -> None:
    hosts = Hosts(FailLink(300 * MILLISECOND, aim=Aim(direction=TO_SERVER, from_byte=20_000)))
    client, server = hosts.talk(bytes(50_000), b"answer")
    assert (bytes(server.got), client.got) == (bytes(50_000), b"answer")
    assert hosts.chain.deeds(FailLink) > 0


def test_impossible_parameters_are_refused() -> None:
    with pytest.raises(
        UsageError, match=r"^FailLink: outage=0 is out of range; give at least 1 microseconds"
    ):
        FailLink(0)
    told: dict[str, Any] = {"directions": "up"}
    with pytest.raises(UsageError, match=r"^FailLink: directions='up' should be one of"):
        FailLink(**told)
