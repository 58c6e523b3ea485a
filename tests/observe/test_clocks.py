"""How far apart the clocks of two captures are."""

import pytest

from mbtest.observe.clocks import Sighting, shift_of
from mbtest.wire import Segment, decode
from tests.observe.conversation import Talk


def sightings(talk: Talk, side: str, ahead: int = 0) -> list[Sighting]:
    found = []
    for _, time, _, where, sender, raw in talk.frames:
        packet = decode(raw)
        if where == side and isinstance(packet, Segment):
            found.append(Sighting(time + ahead, sender, packet))
    return found


@pytest.mark.parametrize("ahead", [0, 1_234_567, -98_765_432])
def test_the_shift_lies_between_what_each_direction_says(ahead):
    talk = Talk().established().exchange().close()
    found = shift_of(sightings(talk, "client"), sightings(talk, "server", ahead))
    assert found.shift == -ahead
    # Each packet is a millisecond under way.
    assert (found.least, found.most) == (-ahead - 1_000, -ahead + 1_000)
    assert found.matched == len(talk.frames) // 2


def test_addresses_may_be_translated():
    talk = Talk().established()
    other = [
        one._replace(segment=one.segment.replace(source_port=one.segment.source_port ^ 1))
        for one in sightings(talk, "server", 50)
    ]
    assert shift_of(sightings(talk, "client"), other).shift == -50


def test_one_direction_gives_one_bound():
    talk = Talk().established()
    heard = [one for one in sightings(talk, "server") if one.sender == "client"]
    found = shift_of(sightings(talk, "client"), heard)
    assert (found.shift, found.least, found.most) == (-1_000, -1_000, None)


def test_nothing_in_common_tells_nothing():
    one, two = Talk().established(), Talk()
    two.flows[0].isn = {"client": 1, "server": 2}
    found = shift_of(sightings(one, "client"), sightings(two.established(), "server", 5))
    assert (found.shift, found.matched) == (0, 0)


def test_what_was_seen_twice_is_not_looked_at():
    talk = Talk().established()
    twice = sightings(talk, "server", 7)
    delayed = [one._replace(time=one.time + 9_000_000) for one in twice]
    found = shift_of(sightings(talk, "client"), twice + delayed)
    assert found.matched == 0
