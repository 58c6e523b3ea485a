"""RFC 8684 §3.3.6: sending again, on the same subflow and on others."""

from __future__ import annotations

import pytest

from mbtest.endpoint import Kind
from mbtest.wire import Dss, MpTcprst
from tests.endpoint.crafted import Peer
from tests.endpoint.scene import (
    A1,
    A2,
    CLIENT,
    KIB,
    MASK_64,
    SECOND,
    SERVER,
    Scene,
    by,
    drop,
    octets,
    strip,
    through,
    with_data,
)

TWO = ({"join_from": (A2,), "subflows": 2, "scheduler": "round-robin"}, {"subflows": 2})


def two(**settings) -> Scene:
    return Scene({**TWO[0], **settings}, TWO[1]).joined()


@pytest.mark.parametrize("address", [A1, A2])
def test_data_of_a_path_that_went_dead_arrives_by_another(address):
    """What a silent path swallows is sent again on the other subflow, with the same DSNs."""
    scene = two().exchange(20 * KIB, 0)
    scene.boxes.append(drop(through(address)))
    scene.exchange(100 * KIB, 100 * KIB)
    assert scene.client.heard(Kind.REINJECTION)
    assert scene.client.connection.is_mptcp


def test_the_original_is_still_repeated_on_its_own_subflow():
    """Though the data has arrived another way, the first subflow sends it too: no hole may stay there."""
    scene = two().exchange(20 * KIB, 0)
    holes = drop(by(CLIENT, through(A2, with_data)), times=12)
    scene.boxes.append(holes)
    scene.exchange(60 * KIB, 0).run(20 * SECOND)
    ends: dict[int, bool] = {}
    for entry in scene.log:
        if entry.side is CLIENT and entry.segment.source == A2 and entry.segment.payload_length:
            ends[int(entry.segment.seq)] = False
    for entry in scene.arrived:
        if entry.side is CLIENT and int(entry.segment.seq) in ends and entry.segment.source == A2:
            ends[int(entry.segment.seq)] = True
    assert ends
    assert all(ends.values())


def test_a_receiver_ignores_what_it_has_by_another_way():
    """Octets that come by both subflows are delivered once."""
    scene = Scene({**TWO[0], "scheduler": "redundant"}, TWO[1]).joined()
    scene.exchange(100 * KIB, 0)
    carried = {A1: 0, A2: 0}
    for segment in scene.sent(CLIENT):
        carried[segment.source] += segment.payload_length
    assert min(carried.values()) > 90 * KIB
    assert bytes(scene.server.got[-100 * KIB :]) == octets(101 * KIB)[KIB:]


def test_octets_that_a_box_acknowledged_and_lost_are_sent_again():
    """A timer guards the head of the stream: acknowledged on the subflow is not Data ACKed."""
    peer = Peer(opens=True, subflows=2).open().confirm()
    line = peer.join()
    line.acknowledge()
    peer.write(octets(1000))
    first = peer.initial if any(s.payload_length for s in peer.initial.got) else line
    other = line if first is peer.initial else peer.initial
    first.send(first.ack_option(1))
    assert not [segment for segment in other.got if segment.payload_length]
    peer.wait(10 * SECOND)
    again = [segment for segment in other.got if segment.payload_length]
    assert again
    assert again[0].option(Dss).dsn == (peer.endpoint_idsn + 1) & MASK_64


def test_a_subflow_that_is_reset_gives_its_data_to_the_others():
    """On a RST the other subflows carry what was outstanding."""
    peer = Peer(opens=True, subflows=2, scheduler="round-robin").open().confirm()
    line = peer.join()
    line.acknowledge()
    peer.write(octets(8000))
    held = [segment for segment in line.got if segment.payload_length]
    assert held
    before = len(peer.initial.got)
    line.reset()
    peer.initial.acknowledge()
    for _ in range(20):
        peer.initial.acknowledge()
        peer.wait(SECOND)
    repeated = {segment.option(Dss).dsn for segment in peer.initial.got[before:] if segment.payload_length}
    assert {segment.option(Dss).dsn for segment in held} <= repeated
    assert peer.expected == 8001


def test_a_subflow_is_given_up_after_a_bound_of_timeouts():
    """Only then its data is deleted from it, and the connection goes on without it."""
    scene = two(retries=4).exchange(20 * KIB, 0)
    scene.boxes.append(drop(through(A2)))
    scene.exchange(50 * KIB, 0)
    scene.run(300 * SECOND)
    assert scene.client.heard(Kind.SUBFLOW_CLOSED, "ETIMEDOUT")
    assert scene.client.connection.describe()["subflows"] == 1
    scene.exchange(20 * KIB, 20 * KIB)


def test_the_last_subflow_is_given_up_too():
    """A single path that dies is given up after the same bound; the application learns of it."""
    scene = Scene({"retries": 3}, {"retries": 3}).exchange()
    scene.boxes.append(drop(lambda segment, side: True))
    scene.client.write(octets(1000))
    scene.run(100 * SECOND)
    assert scene.client.connection.error == "ETIMEDOUT"


def test_a_lossy_pair_of_paths_delivers_everything():
    """Loss on both paths, in both directions."""
    scene = two()
    count = [0]

    def lossy(segment, side):
        count[0] += 1
        return None if count[0] % 17 in (3, 9) else segment

    scene.boxes.append(lossy)
    scene.exchange(150 * KIB, 150 * KIB, 300 * SECOND).close()


def test_a_path_that_takes_every_option_away_is_left():
    """A window of data that a joined path swallows without a Data ACK ends in a RST, and arrives."""
    scene = Scene(TWO[0], {"subflows": 2, "unmapped_limit": 20_000}).joined().exchange(20 * KIB, 0)
    scene.boxes.append(strip(when=through(A2, lambda segment, side: not segment.syn)))
    scene.exchange(100 * KIB, 0, 120 * SECOND)
    scene.run(30 * SECOND)
    resets = [segment for side in (CLIENT, SERVER) for segment in scene.sent(side, MpTcprst, address=A2)]
    assert [segment.option(MpTcprst).reason for segment in resets[:1]] == [6]


@pytest.mark.parametrize("checksum", [False, True])
def test_a_mapping_of_which_a_part_is_missing_is_no_fault_of_the_path(checksum):
    """A box cut a segment and lost a piece: with a checksum nothing of the mapping can be Data ACKed yet.

    The rest is repeated on its subflow, which is not taken for one that loses options.
    """
    peer = Peer(opens=True, checksum=checksum, subflows=2).open().confirm()
    line = peer.initial
    peer.write(b"confirmed")
    line.acknowledge()
    (segment,) = peer.write(octets(1000))
    start = int(segment.seq) - line.irs
    line.send(line.ack_option(10), ack=start + 600)
    late = peer.wait(12 * SECOND)
    assert not line.is_reset
    assert any(each.payload == octets(1000)[600:] for each in late)
    line.send(line.ack_option(1010), ack=start + 1000)
    assert peer.made.describe()["unacknowledged"] == 0


@pytest.mark.parametrize("side", [CLIENT, SERVER])
def test_a_subflow_that_is_given_up_is_reset_with_the_reason(side):
    """MP_TCPRST, reason 5, unacceptable performance, and transient: the path may work again."""
    settings = {"subflows": 2, "scheduler": "round-robin", "retries": 3}
    scene = Scene({**settings, "join_from": (A2,)}, settings).joined()
    scene.boxes.append(drop(through(A2)))
    other = scene.server if side is CLIENT else scene.client
    already, size = len(other.got), 50 * KIB
    scene.host(side).write(octets(size, already))
    scene.run(60 * SECOND)
    assert bytes(other.got) == octets(already + size)
    (reset,) = [segment for segment in scene.sent(side, address=A2) if segment.rst]
    assert reset.option(MpTcprst) == MpTcprst(5, 1)
    assert len(scene.host(side).subflows) == 1
    assert scene.host(side).connection.is_mptcp


def test_a_join_whose_third_ack_is_never_answered_is_given_up_with_the_reason():
    """The same in the handshake of a further subflow."""
    scene = Scene({"join_from": (A2,), "subflows": 2, "retries": 3}, {"subflows": 2})
    scene.boxes.append(drop(through(A2, lambda segment, side: not segment.syn)))
    scene.exchange().run(60 * SECOND)
    resets = [segment for segment in scene.sent(CLIENT, address=A2) if segment.rst]
    # Those that follow answer the peer's SYN/ACKs, for which nothing is left.
    assert [segment.option(MpTcprst) for segment in resets[:2]] == [MpTcprst(5, 1), None]
    scene.exchange()


def test_regular_tcp_gives_up_with_a_plain_reset():
    """There is no option after a fallback, and none where there never was one."""
    scene = Scene({"mptcp": False, "retries": 3}, {}).exchange()
    scene.boxes.append(drop(by(SERVER)))
    scene.client.write(b"into the void")
    scene.run(60 * SECOND)
    (reset,) = [segment for segment in scene.sent(CLIENT) if segment.rst]
    assert reset.option(MpTcprst) is None
    assert scene.client.connection.error == "ETIMEDOUT"
