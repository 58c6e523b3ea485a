"""RFC 8684 §3.3.2: the Data ACK."""

from __future__ import annotations

import pytest

from mbtest.endpoint import Kind
from mbtest.endpoint.profiles import NoDataAcksOnAcks
from mbtest.wire import Dss
from tests.endpoint.crafted import Peer
from tests.endpoint.scene import (
    A2,
    CLIENT,
    KIB,
    MASK_32,
    MASK_64,
    SECOND,
    SERVER,
    Scene,
    octets,
    strip,
    with_data,
)


def ready(**settings) -> Peer:
    return Peer(opens=True, subflows=2, **settings).open().confirm()


def data_ack(peer: Peer, line=None) -> int:
    """Return the last Data ACK of the endpoint, as an offset in the peer's stream."""
    option = (line or peer.initial).last.option(Dss)
    assert option is not None
    assert option.data_ack is not None
    return (option.data_ack - peer.idsn) & (MASK_64 if option.data_ack_64 else MASK_32)


def test_it_names_the_next_octet_that_is_expected():
    """A Data ACK is cumulative: it names the first octet of the stream that is missing."""
    peer = ready()
    start = peer.next
    peer.initial.data(b"first")
    assert data_ack(peer) == start + 5
    peer.initial.data(b"third", offset=start + 11)
    assert data_ack(peer) == start + 5
    peer.initial.data(b"second", offset=start + 5)
    assert data_ack(peer) == start + 16


def test_subflow_and_data_level_acknowledge_by_themselves():
    """Beyond a gap in the stream octets are acknowledged on their subflow, and not Data ACKed."""
    peer = ready()
    line = peer.join()
    start = peer.next
    line.data(b"beyond a gap", offset=start + 100)
    assert int(line.last.ack) == line.iss + line.next
    assert data_ack(peer, line) == start


@pytest.mark.parametrize(("wide", "expected"), [(True, {True}), (False, {True, False})])
def test_a_dsn_of_64_bits_is_answered_with_64_bits(wide, expected):
    """A mapping with a DSN of 64 bits has a Data ACK of 64; one of 32 may have either."""
    peer = ready()
    for _ in range(5):
        peer.initial.data(b"data", wide=wide)
        option = peer.initial.last.option(Dss)
        assert option.data_ack_64 in expected
        mask = MASK_64 if option.data_ack_64 else MASK_32
        assert option.data_ack == (peer.idsn + peer.next) & mask


def test_the_width_follows_the_last_dsn():
    """After narrow mappings a wide one is answered wide again, on every subflow."""
    peer = ready()
    line = peer.join()
    peer.initial.data(b"narrow", wide=False)
    line.data(b"wide", wide=True)
    assert line.last.option(Dss).data_ack_64
    assert peer.initial.send(payload=b"")[-1:] == []
    line.data(b"wide", wide=True)
    assert line.last.option(Dss).data_ack_64


@pytest.mark.parametrize("wide", [False, True])
def test_both_widths_of_data_ack_are_understood(wide):
    """A sender takes Data ACKs of either width."""
    peer = ready()
    peer.write(octets(1000))
    peer.initial.send(peer.initial.ack_option(wide=wide))
    assert peer.made.describe()["unacknowledged"] == 0


def test_a_window_without_a_data_ack_says_nothing_of_the_connection():
    """RCV.NXT + RCV.WND of the stream is only learned from a segment that carries a Data ACK."""
    peer = ready()
    line = peer.initial
    peer.write(b"confirmed")
    line.acknowledge()
    peer.write(octets(5000))
    before = peer.made.outgoing.edge
    line.send()
    assert peer.made.outgoing.edge == before
    granted = peer.expected + 65_535
    line.acknowledge()
    assert peer.made.outgoing.edge == granted > before


def test_data_is_kept_until_the_subflow_acknowledges_it_too():
    """Octets that are Data ACKed are still repeated on a subflow that has not acknowledged them."""
    peer = ready()
    (segment,) = peer.write(b"both levels")
    line = peer.initial
    line.send(line.ack_option(), ack=int(segment.seq) - line.irs)
    again = [late for late in peer.wait(5 * SECOND) if late.payload_length]
    assert again
    assert {late.payload for late in again} == {b"both levels"}
    assert {late.option(Dss).dsn for late in again} == {segment.option(Dss).dsn}


def test_data_is_kept_until_it_is_data_acked():
    """The subflow's ACK alone does not free it: it is sent on another subflow once that takes too long."""
    peer = ready()
    line = peer.join()
    first = peer.write(b"only on the subflow")[0]
    holder = next(each for each in (peer.initial, line) if first in each.got)
    holder.send(holder.ack_option(1))
    assert peer.made.describe()["unacknowledged"] == len(b"only on the subflow")
    late = [segment for segment in peer.wait(10 * SECOND) if segment.payload_length]
    assert late
    assert late[0].payload == b"only on the subflow"


def test_any_subflow_may_bring_the_data_ack():
    """The Data ACK counts for the connection, whichever subflow carries it."""
    peer = ready()
    line = peer.join()
    first = peer.write(b"anywhere")[0]
    other = line if first in peer.initial.got else peer.initial
    other.send(other.ack_option())
    assert peer.made.describe()["unacknowledged"] == 0


def test_a_data_ack_of_what_was_not_sent_is_ignored():
    """It frees nothing and ends nothing."""
    peer = ready()
    line = peer.initial
    peer.write(b"confirmed")
    line.acknowledge()
    peer.write(b"four")
    line.send(line.ack_option(1000))
    assert peer.made.describe()["unacknowledged"] == 4
    assert peer.heard(Kind.IGNORED, "Data ACK")
    line.acknowledge()
    assert peer.made.describe()["unacknowledged"] == 0


def test_an_old_data_ack_takes_nothing_back():
    """Data ACKs that arrive late, on a slower path, change nothing."""
    peer = ready()
    peer.write(octets(1000))
    line = peer.initial
    line.acknowledge()
    for late in (1, 500):
        line.send(line.ack_option(late))
    assert peer.made.describe()["unacknowledged"] == 0
    peer.write(b"next")
    assert line.last.option(Dss).dsn == (peer.endpoint_idsn + 1001) & MASK_64


def test_data_acks_need_not_be_on_every_segment():
    """A peer that sends Data ACKs only on some segments is a valid one."""
    scene = Scene({}, {}).exchange()
    count = [0]

    def some(segment, side):
        count[0] += 1
        return not segment.payload_length and count[0] % 3 > 0

    scene.boxes.append(strip(Dss, when=some))
    scene.exchange(100 * KIB, 100 * KIB).close()
    assert not scene.client.heard(Kind.FALLBACK)
    assert not scene.client.heard(Kind.RESET)


def test_data_acks_on_data_alone_do_as_long_as_there_is_data():
    """A peer whose pure ACKs have none still frees the sender's buffer with its data."""
    scene = Scene({}, {"profile": NoDataAcksOnAcks})
    scene.connect()
    scene.exchange(100, 100)
    scene.exchange(50 * KIB, 50 * KIB)
    assert scene.client.connection.describe()["unacknowledged"] < 50 * KIB


@pytest.mark.parametrize("side", [CLIENT, SERVER])
def test_the_stream_stays_whole_when_data_acks_come_by_one_path(side):
    """All Data ACKs of one path lost: those of the other serve for both subflows."""
    scene = Scene({"join_from": (A2,), "subflows": 2}, {"subflows": 2, "scheduler": "round-robin"})
    scene.joined().exchange(20 * KIB, 20 * KIB)

    def on_second(segment, sender):
        return (
            sender is side and A2 in (segment.source, segment.destination) and not with_data(segment, sender)
        )

    scene.boxes.append(strip(Dss, when=on_second))
    scene.exchange(100 * KIB, 100 * KIB)
