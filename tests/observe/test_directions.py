"""How far a stream has come."""

from mbtest.observe.directions import Stream


def test_a_stream_begins_with_its_idsn():
    stream = Stream()
    assert stream.begin(500) == 0
    assert (stream.base, stream.known) == (500, True)


def test_what_came_before_the_key_is_counted_anew():
    stream = Stream()
    stream.base, stream.wide = 549, True
    stream.arrived.add(1, 11)
    stream.top = 11
    assert stream.begin(500) == 49
    assert (stream.top, stream.arrived.front, stream.arrived.ahead) == (60, 1, [(50, 60)])
    assert stream.begin(7) == 0
