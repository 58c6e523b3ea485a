"""RFC 8684 §3.3.4: one receive window for all subflows, relative to the Data ACK."""

from __future__ import annotations

from mbtest.endpoint import Kind
from mbtest.wire import Dss, WindowScale
from tests.endpoint.crafted import Peer
from tests.endpoint.scene import A2, CLIENT, KIB, SECOND, SERVER, Scene, octets

BUFFER = 20_000


def ready(**settings) -> Peer:
    return Peer(opens=True, subflows=2, receive_buffer=BUFFER, **settings).open().confirm()


def edges(scene: Scene, side) -> list[int]:
    """Return the right edges that a side advertised with its Data ACKs, in the order of sending."""
    shifts = {
        segment.source: segment.option(WindowScale).shift for segment in scene.sent(side) if segment.syn
    }
    idsn = scene.host(CLIENT if side is SERVER else SERVER).connection.own_idsn
    return [
        option.data_ack - idsn + (segment.window << shifts[segment.source])
        for segment in scene.sent(side, Dss)
        if (option := segment.option(Dss)).data_ack is not None and option.data_ack_64
    ]


def test_the_window_is_shared_by_the_subflows():
    """What waits on one subflow takes room from all of them."""
    peer = ready()
    line = peer.join()
    peer.initial.data(octets(12_000))
    line.data(b"x")
    # Where the edge moves by less than a segment it may stay (RFC 9293 §3.8.6.2.2).
    assert BUFFER - 12_001 - 1460 <= line.last.window <= BUFFER - 12_001
    peer.initial.data(b"y")
    assert peer.initial.last.window == line.last.window - 1


def test_any_subflow_may_fill_the_window():
    """A receiver has no windows by subflow that would stall one of them."""
    peer = ready()
    line = peer.join()
    for _ in range(9):
        line.data(octets(2000))
    assert peer.read() == octets(2000) * 9


def test_the_right_edge_never_moves_left():
    """Data ACK plus window only grows, though the application reads nothing for long."""
    scene = Scene(
        {"join_from": (A2,), "subflows": 2},
        {"subflows": 2, "receive_buffer": 60_000, "delayed_ack": 1},
    ).joined()
    scene.server.reads = False
    scene.client.write(octets(200 * KIB))
    scene.run(3 * SECOND)
    scene.server.reads = True
    scene.run(10 * SECOND)
    seen = edges(scene, SERVER)
    assert seen == sorted(seen)
    assert len(scene.server.got) >= 200 * KIB


def test_the_data_sequence_number_decides_what_is_taken():
    """Octets beyond the window of the stream are dropped, though their subflow has room for them."""
    peer = ready()
    line = peer.join()
    start = peer.next
    line.data(b"too far", offset=start + 2 * BUFFER)
    assert peer.heard(Kind.IGNORED, "beyond the receive window")
    assert int(line.last.ack) == line.iss + line.next
    for _ in range(10):
        peer.initial.data(octets(2000))
        peer.read()
    option = peer.initial.last.option(Dss)
    assert option.data_ack == (peer.idsn + start + 20_000) % (1 << 64)


def test_old_octets_are_taken_for_what_they_are():
    """A DSN before the Data ACK brings nothing new."""
    peer = ready()
    line = peer.join()
    peer.initial.data(octets(1000))
    peer.read()
    line.data(octets(500), offset=6)
    assert peer.read() is None
    line.data(b"new")
    assert peer.read() == b"new"


def test_what_is_in_window_is_queued_at_the_connection():
    """Octets out of order in the stream wait, in whatever order subflows bring them."""
    peer = ready()
    line = peer.join()
    start, whole = peer.next, octets(10_000)
    pieces = [(at, whole[at : at + 1000]) for at in range(0, 10_000, 1000)]
    for number, (at, piece) in enumerate(reversed(pieces)):
        (line if number & 1 else peer.initial).data(piece, offset=start + at)
    assert peer.read() == whole


def test_segments_out_of_order_on_a_subflow_are_acknowledged_there():
    """The subflow acknowledges up to its own gap, whatever the stream has."""
    peer = ready()
    line = peer.join()
    start = peer.next
    first, second = line.dss(b"first", offset=start), line.dss(b"later", offset=start + 5, at=6)
    line.send(second, payload=b"later", at=6)
    assert int(line.last.ack) == line.iss + 1
    assert peer.read() is None
    line.send(first, payload=b"first", at=1)
    assert int(line.last.ack) == line.iss + 11
    assert peer.read() == b"firstlater"


def test_a_reader_that_stops_stops_the_sender_and_nothing_is_lost():
    """Flow control holds over all subflows together, and opens again."""
    scene = Scene(
        {"join_from": (A2,), "subflows": 2, "scheduler": "round-robin"},
        {"subflows": 2, "receive_buffer": 30_000},
    ).joined()
    scene.server.reads = False
    already = len(scene.server.got)
    scene.client.write(octets(200 * KIB))
    scene.run(20 * SECOND)
    assert scene.server.connection.incoming.unread <= 30_000
    assert len(scene.server.got) == already
    scene.server.reads = True
    scene.run(60 * SECOND, until=lambda: len(scene.server.got) == already + 200 * KIB)
