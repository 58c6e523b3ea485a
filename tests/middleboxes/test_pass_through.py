from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from mbtest.middlebox import Direction
from middleboxes.pass_through import PassThrough
from tests.middlebox.bench import TO_CLIENT, TO_SERVER, Line, segment, talk


@given(st.integers(0, 0xFFF), st.binary(max_size=50), st.sampled_from((TO_SERVER, TO_CLIENT)))
def test_every_segment_goes_on_as_the_very_one_and_nothing_is_on_record(
    flags: int, payload: bytes, direction: Direction
) -> None:
    line = Line(PassThrough())
    one = segment(payload=payload, flags=flags, direction=direction)
    (out,) = line.put(one, direction)
    assert out is one
    assert line.chain.deeds(PassThrough) == 0


@given(st.integers(0, 2**32), st.sampled_from((0.0, 0.3)))
@settings(deadline=None)
def test_streams_arrive_as_they_were_sent(seed: int, trouble: float) -> None:
    for connection in talk(PassThrough(), seed=seed, trouble=trouble):
        assert connection.server.received == connection.client.stream
        assert connection.client.received == connection.server.stream
