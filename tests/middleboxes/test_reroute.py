from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest

from mbtest.errors import UsageError
from mbtest.middlebox import MILLISECOND, Aim, icmp_error
from mbtest.wire import SYN, MpCapable
from middleboxes.coalesce import CoalesceSegments
from middleboxes.drop import DropSegments
from middleboxes.firewall import FilterByState
from middleboxes.nat import TranslateAddresses
from middleboxes.reroute import CHANGED, ON_NEW_WAY, Reroute
from middleboxes.sequence import RewriteSequence
from middleboxes.strip import StripOptions
from tests.middlebox.bench import TO_CLIENT, Line, segment, segments, talk

AT_DATA = Aim(where=lambda one: one.payload_length > 0)


def test_the_boxes_of_each_way_act_in_their_time() -> None:
    line = Line(Reroute((StripOptions(),), (RewriteSequence(1000, "to_server"),), aim=AT_DATA))
    (first,) = line.put(segment(7, flags=SYN, options=[MpCapable()]))
    (second,) = line.put(segment(8, b"data", options=[MpCapable()]))
    (third,) = line.put(segment(12, options=[MpCapable()]))
    assert [one.seq for one in (first, second, third)] == [7, 1008, 1012]
    assert [one.option(MpCapable) is None for one in (first, second, third)] == [True, False, False]
    assert line.chain.comment(first) == "Reroute StripOptions removed MP_CAPABLE v1"


def test_it_tells_the_change_from_what_is_done_on_either_way() -> None:
    line = Line(Reroute((StripOptions(),), (CoalesceSegments(),), aim=Aim(from_byte=4)))

    def counts() -> list[int]:
        return [line.chain.did(Reroute, CHANGED), line.chain.did(Reroute, ON_NEW_WAY)]

    line.put(segment(7, flags=SYN, options=[MpCapable()]))
    line.put(segment(8, b"data"))
    assert (line.chain.deeds(Reroute), counts()) == (1, [0, 0])
    line.put(segment(12, b"more"))
    line.put(segment(8, b"data"))
    assert counts() == [1, 2]
    assert line.wait(5 * MILLISECOND)
    assert counts() == [1, 3]


def test_ways_without_boxes_change_nothing() -> None:
    line = Line(Reroute(aim=AT_DATA))
    for one in (segment(7, flags=SYN), segment(8, b"data")):
        assert line.put(one)[0] is one
    error = icmp_error(segment(direction=TO_CLIENT), "host-unreachable")
    assert line.chain.forward(error, TO_CLIENT) == (error,)
    assert line.chain.deeds(Reroute) == 0


def test_boxes_of_the_new_way_have_seen_nothing() -> None:
    line = Line(Reroute((FilterByState(),), (FilterByState(),), aim=AT_DATA))
    assert line.put(segment(7, flags=SYN))
    assert line.put(segment(8))
    assert line.put(segment(8, b"data")) == []


def test_what_the_old_way_holds_back_still_comes() -> None:
    line = Line(Reroute((CoalesceSegments(),), aim=Aim(from_byte=4)))
    assert line.put(segment(8, b"data")) == []
    assert line.put(segment(12, b"more"))
    assert [one.payload for one in line.wait(5 * MILLISECOND)] == [b"data"]


def test_a_box_on_a_way_can_answer() -> None:
    line = Line(Reroute((), (FilterByState(answer="reset"),), aim=AT_DATA))
    assert line.put(segment(8, b"data", ack=5)) == []
    (reset,) = segments(line.out, TO_CLIENT)
    assert reset.rst
    assert line.chain.comment(reset) == "Reroute FilterByState reset it: of no flow that it knows"


def test_boxes_on_a_way_have_aims_and_addresses() -> None:
    outside = ip_address("203.0.113.5")
    ways = (DropSegments(aim=Aim(path=1)), TranslateAddresses(external_v4=outside))
    line = Line(Reroute((), ways, aim=AT_DATA))
    assert outside in line.chain.addresses
    assert line.put(segment(8, b"data"))[0].source == outside
    assert Line(Reroute((), ways, aim=AT_DATA), path="other", index=1).put(segment(8, b"data")) == []


def test_streams_survive_the_change() -> None:
    for seed in range(5):
        box = Reroute((CoalesceSegments(),), (CoalesceSegments(options="both"),), aim=Aim(from_byte=100))
        for connection in talk(box, seed=seed, trouble=0.3):
            assert connection.server.received == connection.client.stream


def test_ways_are_made_of_boxes() -> None:
    told: dict[str, Any] = {"after": (StripOptions,)}
    with pytest.raises(UsageError, match=r"^Reroute: after="):
        Reroute(**told)
