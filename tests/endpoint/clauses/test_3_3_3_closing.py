"""RFC 8684 §3.3.3: DATA_FIN, FINs of subflows, and connections without any subflow."""

from __future__ import annotations

import pytest

from mbtest.endpoint import Kind
from mbtest.endpoint.states import Closing, Tcp
from mbtest.wire import Dss, MpFastclose, MpJoinSyn, MpTcprst
from mbtest.wire.checksum import dss_checksum
from tests.endpoint.crafted import Peer
from tests.endpoint.scene import (
    A1,
    A2,
    B1,
    CLIENT,
    KIB,
    MASK_32,
    MASK_64,
    PORT,
    SECOND,
    SERVER,
    Scene,
    drop,
    has,
    is_data_fin,
    octets,
    through,
    with_data,
)

TWO = ({"join_from": (A2,), "subflows": 2, "scheduler": "round-robin"}, {"subflows": 2})


def ready(**settings) -> Peer:
    return Peer(opens=True, subflows=2, **settings).open().confirm()


def fins(scene: Scene, side) -> list:
    return [segment for segment in scene.sent(side) if segment.fin]


def fin_options(line) -> list[Dss]:
    return [option for option in line.options(Dss) if option.data_fin]


# -- DATA_FIN ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("checksum", [False, True])
def test_alone_it_has_subflow_sequence_number_0_and_length_1(checksum):
    """Without data its DSN is that of the DATA_FIN itself; the checksum covers the pseudo-header alone."""
    peer = ready(checksum=checksum)
    peer.write(b"data")
    peer.initial.acknowledge()
    peer.made.shutdown(peer.now)
    peer.pull()
    option = fin_options(peer.initial)[0]
    number = (peer.endpoint_idsn + 5) & MASK_64
    assert (option.dsn, option.subflow_sequence, option.length) == (number, 0, 1)
    expected = dss_checksum(number, 0, 1, b"") if peer.checksum else None
    assert option.checksum == expected
    assert not any(segment.fin for segment in peer.initial.got)


def test_with_data_it_takes_the_last_number_of_the_mapping():
    """The data-level length counts the DATA_FIN, the subflow has no octet for it."""
    peer = ready()
    peer.made.send(b"0123456789", peer.now)
    peer.made.shutdown(peer.now)
    peer.pull()
    option = fin_options(peer.initial)[0]
    if option.subflow_sequence:
        assert option.length == 11
    assert peer.expected == 12
    peer.initial.acknowledge()
    assert peer.made.closing.state is Closing.M_FIN_WAIT_2


@pytest.mark.parametrize("checksum", [False, True])
def test_it_is_data_acked_as_one_octet(checksum):
    """Ten octets and a DATA_FIN are acknowledged with eleven more."""
    peer = ready(checksum=checksum)
    start = peer.next
    peer.initial.data(b"0123456789", fin=True)
    assert peer.initial.last.option(Dss).data_ack == (peer.idsn + start + 11) & MASK_64
    assert int(peer.initial.last.ack) == (peer.initial.iss + peer.initial.next) & MASK_32
    assert peer.read() == b"0123456789"
    assert peer.read() == b""


@pytest.mark.parametrize("checksum", [False, True])
def test_alone_it_is_understood(checksum):
    """A DATA_FIN on an ACK ends the stream, and is Data ACKed at once."""
    peer = ready(checksum=checksum)
    start = peer.next
    answers = peer.initial.data_fin()
    assert answers[-1].option(Dss).data_ack == (peer.idsn + start + 1) & MASK_64
    assert peer.read() == b""
    assert peer.made.closing.state is Closing.M_CLOSE_WAIT


def test_a_narrow_one_is_understood():
    """With a DSN of 32 bits too."""
    peer = ready()
    peer.initial.send(peer.initial.dss(fin=True, wide=False))
    assert peer.read() == b""


def test_it_is_data_acked_only_after_all_data():
    """Like a FIN it waits for what is missing before it."""
    peer = ready()
    line = peer.join()
    start = peer.next
    line.send(line.dss(fin=True, offset=start + 6))
    assert line.last.option(Dss).data_ack == (peer.idsn + start) & MASK_64
    assert peer.read() is None
    assert peer.made.closing.state is Closing.M_ESTAB
    peer.initial.data(b"before")
    assert peer.initial.last.option(Dss).data_ack == (peer.idsn + start + 7) & MASK_64
    assert peer.read() == b"before"
    assert peer.read() == b""


def test_it_is_repeated_until_it_is_data_acked():
    """A lost DATA_FIN comes again."""
    scene = Scene().exchange()
    scene.boxes.append(drop(is_data_fin, times=3))
    scene.close().run(5 * SECOND)
    assert scene.client.connection.closing.state is Closing.M_CLOSED
    assert scene.client.connection.error is None


@pytest.mark.parametrize("backup", [False, True])
def test_it_comes_again_on_another_subflow(backup):
    """A path that loses every one does not keep the connection from closing, be the other a backup or not."""
    scene = Scene(*({**settings, "backup": backup} for settings in TWO)).exchange(1000, 0)
    scene.run(SECOND)
    scene.boxes.append(drop(through(A1, is_data_fin)))
    scene.close().run(20 * SECOND)
    assert scene.client.connection.closing.state is Closing.M_CLOSED
    assert scene.client.connection.error is None


def test_it_comes_again_though_its_data_was_data_acked():
    """Repeated alone it names the same number."""
    peer = ready()
    peer.made.send(b"0123456789", peer.now)
    peer.made.shutdown(peer.now)
    peer.pull()
    peer.initial.send(peer.initial.ack_option(11))
    peer.wait(10 * SECOND)
    last = fin_options(peer.initial)[-1]
    assert (last.subflow_sequence, last.length) == (0, 1)
    assert last.dsn == (peer.endpoint_idsn + 11) & MASK_64


def test_one_beyond_the_window_ends_nothing():
    """A box may have changed its number: the true one counts when it comes."""
    peer = ready().confirm(b"hello")
    start = peer.next
    peer.initial.send(peer.initial.dss(fin=True, offset=start + (1 << 30)))
    assert peer.read() is None
    peer.initial.send(peer.initial.dss(fin=True, offset=start))
    assert peer.read() == b""


def test_it_is_one_direction_only():
    """After its DATA_FIN a host still receives, and its peer still sends."""
    scene = Scene().exchange()
    scene.client.finish()
    scene.run()
    assert scene.server.ended
    assert scene.client.connection.closing.state is Closing.M_FIN_WAIT_2
    scene.exchange(0, 50 * KIB)
    scene.server.finish()
    scene.run(5 * SECOND)
    assert scene.client.ended
    assert scene.client.connection.error is None


def test_data_beyond_a_data_fin_is_not_delivered():
    """The stream has ended there."""
    peer = ready()
    peer.initial.data(b"the end", fin=True)
    peer.initial.data(b"and more")
    assert peer.read() == b"the end"
    assert peer.read() == b""


@pytest.mark.parametrize("side", [CLIENT, SERVER])
@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_stream_without_a_single_octet_ends_too(side, lost):
    """A host that has nothing to send says so by a DATA_FIN, also right after the handshake."""
    scene = Scene().connect()
    scene.boxes.append(drop(lambda segment, sender: sender is side, times=lost))
    scene.host(side).finish()
    other = scene.server if side is CLIENT else scene.client
    scene.run(20 * SECOND, until=lambda: other.ended)
    assert not fins(scene, side)
    scene.close().run(5 * SECOND)
    for host in (scene.client, scene.server):
        assert host.connection.error is None
        assert host.endpoint.connections == []


@pytest.mark.parametrize("order", ["client first", "server first", "both"])
@pytest.mark.parametrize("lost", [0, 2, 4])
def test_both_streams_end_in_any_order(order, lost):
    """Whoever ends first, with loss or without, both read the end and the connection closes well."""
    scene = Scene(*TWO).joined()
    scene.boxes.append(drop(has(Dss), times=lost))
    for host in {"client first": (scene.client, scene.server), "server first": (scene.server, scene.client),
                 "both": ()}[order]:  # fmt: skip
        host.finish()
        scene.run(20 * SECOND)
    scene.close().run(60 * SECOND)
    for host in (scene.client, scene.server):
        assert host.connection.error is None
        assert host.connection.closing.state is Closing.M_CLOSED
        assert host.endpoint.connections == []
        assert host.endpoint.next_timer() is None


def test_ending_at_the_same_time_closes_both():
    """DATA_FINs that cross on the wire."""
    scene = Scene().exchange()
    scene.close()
    for host in (scene.client, scene.server):
        assert host.heard(Kind.STATE, "M_FIN_WAIT-1 -> M_CLOSING")
    scene.run(5 * SECOND)
    assert scene.client.connection.closing.state is Closing.M_CLOSED


# -- FINs of subflows ----------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [({}, {}), TWO])
def test_once_both_data_fins_are_acknowledged_all_subflows_end_with_fins(settings):
    """Both hosts send FINs on every subflow, and none before."""
    scene = Scene(*settings).exchange()
    scene.run()
    count = len(scene.client.subflows)
    assert not fins(scene, CLIENT) + fins(scene, SERVER)
    scene.close().run(5 * SECOND)
    for side in (CLIENT, SERVER):
        assert len({segment.flow for segment in fins(scene, side)}) == count
        assert not [segment for segment in scene.sent(side) if segment.rst]


def test_a_fin_ends_its_subflow_alone():
    """The connection goes on by the other subflow, and the FIN is answered with one."""
    peer = ready(scheduler="round-robin")
    line = peer.join()
    line.acknowledge()
    line.fin(line.ack_option())
    peer.wait()
    assert line.last.fin or any(segment.fin for segment in line.got)
    assert peer.read() is None
    assert peer.made.is_mptcp
    peer.initial.data(b"goes on")
    assert peer.read() == b"goes on"


def test_the_last_subflow_is_not_closed_while_data_is_outstanding():
    """No FIN goes out on all subflows before the DATA_FIN is acknowledged."""
    peer = ready()
    peer.made.send(octets(5000), peer.now)
    peer.made.shutdown(peer.now)
    peer.wait(3 * SECOND)
    assert not any(segment.fin for segment in peer.initial.got)
    peer.initial.send(peer.initial.ack_option(2000))
    peer.wait(3 * SECOND)
    assert not any(segment.fin for segment in peer.initial.got)


def test_a_subflow_with_data_that_went_another_way_may_be_reset():
    """Reason 4, "too much outstanding data": the DATA_FIN is acknowledged, the path still owes octets."""
    scene = Scene(*TWO).joined()
    scene.exchange(20 * KIB, 0)
    scene.boxes.append(drop(through(A2)))
    scene.exchange(50 * KIB, 0)
    scene.close().run()
    reasons = {option.reason for option in scene.options(CLIENT, MpTcprst)}
    assert reasons <= {4}
    scene.run(300 * SECOND)
    assert scene.client.connection.error is None
    assert scene.client.connection.closing.state is Closing.M_CLOSED
    assert scene.server.connection.error is None


def test_the_last_subflow_is_not_reset_after_a_loss():
    """Octets that were repeated and are acknowledged by the very segment that ends both streams are not owed.

    The peer has to learn that its DATA_FIN arrived, so that a FIN is due, and no RST.
    """
    peer = ready()
    peer.made.send(b"repeated", peer.now)
    peer.made.shutdown(peer.now)
    peer.wait(2 * SECOND)
    line = peer.initial
    answers = line.data_fin()
    assert not line.is_reset
    assert answers[-1].option(Dss).data_ack == (peer.idsn + peer.next) & MASK_64
    assert any(segment.fin for segment in answers)


def test_a_loss_before_the_end_is_no_error():
    """The same between two endpoints: the first copies of the last data are lost."""
    for seed in range(5):
        scene = Scene(seed=seed).connect()
        scene.boxes.append(drop(with_data, times=2))
        scene.client.write(b"x")
        scene.server.write(b"y")
        scene.close().run(60 * SECOND)
        assert (scene.client.connection.error, scene.server.connection.error) == (None, None)
        assert not [entry for entry in scene.log if entry.segment.rst]


# -- Break before make ---------------------------------------------------------------------------------


def lost_all(**settings) -> Scene:
    """Return a scene whose connection has just lost its only subflow on both sides, without a DATA_FIN."""
    scene = Scene({"subflows": 2, **settings}, {"subflows": 2, **settings}).exchange(20 * KIB, 20 * KIB)
    for host in (scene.client, scene.server):
        for subflow in list(host.subflows):
            subflow.abort(scene.now)
    return scene


def test_without_subflows_a_connection_lives_on_for_a_while():
    """A RST on the last subflow does not end the connection: a new one may still join."""
    scene = lost_all().run(SECOND // 2)
    for host in (scene.client, scene.server):
        assert host.connection.error is None
        assert host.connection.closing.state is Closing.M_ESTAB


@pytest.mark.parametrize("pending", [0, 50_000])
def test_a_join_makes_it_whole_again(pending):
    """A subflow that joins before the time is over carries on, with what was outstanding too."""
    scene = lost_all()
    if pending:
        scene.client.write(octets(pending, len(scene.server.got)))
    scene.run(SECOND // 2)
    assert scene.client.connection.join(A2, B1, PORT, scene.now) is not None
    already = len(scene.server.got)
    scene.run(10 * SECOND, until=lambda: len(scene.server.got) == already + pending)
    scene.run(5 * SECOND)
    assert scene.client.connection.error is None
    assert scene.sent(CLIENT, MpJoinSyn)
    scene.exchange(10_000, 10_000).close()


def test_outstanding_data_is_sent_by_the_new_subflow():
    """What the lost subflow had under way is not lost."""
    scene = Scene({"subflows": 2}, {"subflows": 2}).exchange()
    already = len(scene.server.got)
    scene.boxes.append(drop(through(A1)))
    scene.client.write(octets(30_000, already))
    scene.run(100_000)
    for host in (scene.client, scene.server):
        host.subflows[0].abort(scene.now)
    scene.run(100_000)
    scene.client.connection.join(A2, B1, PORT, scene.now)
    scene.run(20 * SECOND, until=lambda: len(scene.server.got) == already + 30_000)
    assert bytes(scene.server.got) == octets(already + 30_000)


def test_after_that_time_the_connection_is_closed_with_an_error():
    """Without a DATA_FIN and without subflows it ends only by a timeout."""
    scene = lost_all().run(20 * SECOND)
    for host in (scene.client, scene.server):
        assert host.connection.error is not None
        assert host.connection.closing.state is Closing.M_CLOSED
        assert host.endpoint.connections == []
    assert scene.client.connection.join(A2, B1, PORT, scene.now) is None


def test_subflows_that_ended_with_fins_alone_leave_a_connection_for_a_while():
    """All subflows closed by FINs, and no DATA_FIN: closed only after a timeout, with an error."""
    peer = ready()
    peer.initial.fin(peer.initial.ack_option())
    peer.wait(SECOND)
    assert peer.made.error is None
    assert peer.read() is None
    peer.wait(60 * SECOND)
    assert peer.made.error is not None
    assert peer.endpoint.connections == []


def test_no_fast_close_is_part_of_a_good_end():
    """Ends in good order have neither RST nor MP_FASTCLOSE, and leave TIME-WAIT to one side at least."""
    scene = Scene(*TWO).joined()
    scene.client.finish()
    scene.run()
    scene.server.finish()
    scene.run(10 * SECOND)
    for side in (CLIENT, SERVER):
        assert scene.sent(side, MpFastclose) == []
    assert scene.client.heard(Kind.STATE, str(Tcp.TIME_WAIT)) or scene.server.heard(
        Kind.STATE, str(Tcp.TIME_WAIT)
    )


def test_data_goes_on_over_a_last_subflow_that_is_half_closed():
    """Its FIN ends one direction; while the other's data is Data ACKed, the connection is not given up."""
    peer = ready()
    line = peer.initial
    peer.made.send(octets(200_000), peer.now)
    peer.pull()
    line.fin(line.ack_option())
    line.window = 3_000
    began, ends = peer.now, peer.now + 30 * SECOND
    while peer.expected < 1 + 200_000 and peer.now < ends:
        line.acknowledge()
        peer.wait(SECOND // 10)
        assert peer.made.error is None
    assert peer.expected == 1 + 200_000
    # Longer than a connection without any subflow, or any Data ACK, is kept.
    assert peer.now - began > 4 * SECOND
    # It is over once nothing comes any more, neither a Data ACK nor a DATA_FIN.
    peer.wait(60 * SECOND)
    assert peer.made.error is not None
    assert peer.endpoint.connections == []
