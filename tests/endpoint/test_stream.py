"""The two data streams, by themselves."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from mbtest.endpoint.stream import ReceiveStream, SendStream
from tests.endpoint.scene import octets


def written(octets_: bytes, limit: int = 100) -> SendStream:
    stream = SendStream(limit)
    stream.write(octets_)
    return stream


def test_it_takes_what_there_is_room_for():
    stream = SendStream(10)
    assert stream.write(b"0123456") == 7
    assert stream.write(b"789abc") == 3
    assert (stream.room, stream.end) == (0, 11)
    assert stream.octets(1, 11) == b"0123456789"


def test_an_acknowledgement_makes_room():
    stream = written(b"0123456789", 10)
    stream.nxt = 11
    assert stream.acknowledge(5)
    assert not stream.acknowledge(5)
    assert not stream.acknowledge(3)
    assert stream.room == 4
    assert stream.octets(5, 11) == b"456789"


def test_the_data_fin_has_a_number_and_no_octet():
    stream = written(b"0123")
    stream.ended = True
    assert stream.fin_end == 6
    stream.nxt = 5
    stream.acknowledge(6)
    assert (stream.una, stream.room) == (6, 100)


def test_octets_are_sent_again_as_long_as_they_are_wanted():
    stream = written(b"0123456789")
    stream.nxt = 9
    assert stream.again(3, 20, avoid=1)
    assert not stream.again(4, 6)
    assert stream.next_again() == (3, 9, 1)
    stream.took_again(5)
    assert stream.next_again()[:2] == (5, 9)
    stream.acknowledge(7)
    assert stream.next_again()[:2] == (7, 9)
    stream.acknowledge(9)
    assert stream.next_again() is None
    assert not stream.again(3, 9)


def test_after_a_fallback_nothing_is_sent_again():
    stream = written(b"0123456789")
    stream.nxt = 9
    stream.again(3, 9)
    stream.forget_again()
    assert stream.next_again() is None


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 30)), max_size=40), st.integers(1, 100))
def test_whatever_comes_in_whatever_order_the_stream_is_its_beginning(stretches, limit):
    """What is read is always a beginning of what was written, and the window is never exceeded."""
    whole, stream, got = octets(100), ReceiveStream(50), bytearray()
    for start, length in stretches:
        stream.insert(1 + start, whole[start : start + length])
        assert stream.unread + len(got) == stream.next - 1
        if stream.unread > limit:
            got += stream.read(limit)
    got += stream.read(1000)
    assert whole.startswith(got)
    assert stream.next == 1 + len(got)


def test_what_exceeds_the_window_is_dropped():
    stream = ReceiveStream(10)
    assert "beyond" in stream.insert(1, b"0123456789abc")
    assert stream.next == 11
    assert stream.insert(11, b"a")
    assert stream.window == 0
    stream.read(4)
    assert stream.window == 4


def test_the_end_counts_once_it_is_in_order():
    stream = ReceiveStream(100)
    assert stream.end_at(5)
    assert not stream.end_at(5)
    assert not stream.take_fin()
    stream.insert(1, b"0123")
    assert stream.next == 5
    assert stream.take_fin()
    assert not stream.take_fin()
    assert stream.next == 6


def test_an_end_before_what_was_received_cannot_be():
    stream = ReceiveStream(100)
    stream.insert(1, b"0123")
    assert not stream.end_at(3)
    assert stream.end_at(5)
    assert "DATA_FIN" in stream.insert(5, b"more")
    assert stream.next == 5


def test_an_end_that_has_not_counted_is_forgotten_by_a_fallback():
    stream = ReceiveStream(100)
    stream.end_at(50)
    stream.forget_end()
    stream.insert(1, b"0123")
    assert stream.end_at(5)


def test_reading_takes_whole_pieces_and_parts():
    stream = ReceiveStream(100)
    for at, piece in ((1, b"01"), (3, b"2345"), (7, b"6")):
        stream.insert(at, piece)
    assert [stream.read(1), stream.read(3), stream.read(10), stream.read(10)] == [b"0", b"123", b"456", b""]


def test_what_nobody_reads_is_discarded():
    stream = ReceiveStream(100)
    stream.insert(1, b"0123")
    stream.discard()
    assert (stream.unread, stream.read(10)) == (0, b"")


def test_the_window_field_never_takes_back_what_was_granted():
    """RFC 8684 §3.3.4: Data ACK + window only grows, also where a window scale rounds it."""
    stream = ReceiveStream(50_000)
    edge = 0
    for step in range(200):
        stream.insert(stream.next, bytes(311))
        if step % 7 == 6:
            stream.read(1500)
        granted = stream.next + (stream.window_field(4, 1460) << 4)
        assert granted >= edge
        assert granted - stream.next <= 50_000 + 16
        edge = granted
