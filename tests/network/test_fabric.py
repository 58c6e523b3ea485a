from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

import msgspec
import pytest

from mbtest.middlebox import Chain, Direction, Middlebox
from mbtest.network.capture import Capture
from mbtest.network.fabric import Fabric, capture_points
from mbtest.network.topology import Topology
from mbtest.wire import Segment

if TYPE_CHECKING:
    from tests.network.conftest import JumpingClock

C1, C2, S1, S2 = "198.18.1.2", "198.18.2.2", "198.19.1.2", "198.19.2.2"
C1_V6, S1_V6 = "2001:db8:c1::2", "2001:db8:51::2"
OUTSIDE = "198.18.200.1"


def packet(source: str, destination: str, payload: bytes = b"data") -> bytes:
    return Segment.build(source, destination, 4000, 80, payload=payload).raw


class Halves(Middlebox):
    """Sends each payload in two halves."""

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        middle = segment.payload_length // 2
        return (
            segment.replace(payload=segment.payload[:middle]),
            segment.replace(seq=segment.seq + middle, payload=segment.payload[middle:]),
        )


class Hold(Middlebox):
    """Holds everything for a millisecond."""

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        self.call_later(1_000, lambda: self.send(segment, direction, "let go after 1 ms"))
        return ()


class Swallow(Middlebox):
    """Lets nothing pass."""

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        self.note(segment, "swallowed it")
        return ()


class Answer(Middlebox):
    """Sends everything back."""

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        self.send(
            segment.replace(source=segment.destination, destination=segment.source), direction.reverse, "echo"
        )
        return ()


class Owner(Middlebox):
    """Owns an address, from the start or from the first packet on."""

    late: bool = False

    def start(self) -> None:
        self._owned = frozenset[IPv4Address | IPv6Address](() if self.late else (IPv4Address(OUTSIDE),))

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        self._owned = frozenset((IPv4Address(OUTSIDE),))
        return (segment,)

    @property
    def addresses(self) -> frozenset[IPv4Address | IPv6Address]:
        return self._owned


class Bench:
    """A fabric on a clock that jumps; what it sends to each interface is kept."""

    def __init__(
        self,
        topology: Topology,
        clock: JumpingClock,
        boxes: dict[str, Sequence[Middlebox]] | None = None,
        seed: int = 1,
        captured: bool = True,
    ) -> None:
        self.sent: dict[str, list[bytes]] = {i.name: [] for i in topology.client + topology.server}
        self.capture = Capture(capture_points(topology)) if captured else None
        names = [path.name for path in topology.paths]
        chains = {name: Chain(placed, name, names.index(name)) for name, placed in (boxes or {}).items()}
        transmit = {name: self.sent[name].append for name in self.sent}
        self.fabric = Fabric(topology, chains, clock, seed, transmit, self.capture)

    def enter(self, interface: str, *packets: bytes) -> None:
        ingress = self.fabric.ingress(interface)
        for raw in packets:
            ingress(raw)

    def frames(self) -> list[tuple[str, bool, int | None]]:
        assert self.capture is not None
        return [(frame.point, frame.outbound, frame.origin) for frame in self.capture]


Load = Callable[[str], Topology]


@pytest.mark.parametrize("captured", [True, False])
@pytest.mark.parametrize("boxed", [True, False])
def test_packets_cross_a_path_as_the_bytes_that_they_were(
    topology: Load, clock: JumpingClock, captured: bool, boxed: bool
) -> None:
    boxes: dict[str, Sequence[Middlebox]] = {"c1-s1": [Owner()]} if boxed else {}
    bench = Bench(topology("one-path"), clock, boxes, captured=captured)
    there, back = packet(C1, S1), packet(S1_V6, C1_V6)
    bench.enter("c1", there)
    bench.enter("s1", back)
    assert bench.sent == {"c1": [back], "s1": [there]}


def test_the_way_follows_interface_and_destination(topology: Load, clock: JumpingClock) -> None:
    bench = Bench(topology("dual-homed-both"), clock)
    bench.enter("c1", packet(C1, S1), packet(C1, S2))
    bench.enter("s2", packet(S2, C1), packet(S2, C2))
    assert bench.frames() == [
        ("c1-s1/client", False, None), ("c1-s1/server", True, 1),
        ("c1-s2/client", False, None), ("c1-s2/server", True, 3),
        ("c1-s2/server", False, None), ("c1-s2/client", True, 5),
        ("c2-s2/server", False, None), ("c2-s2/client", True, 7),
    ]  # fmt: skip


def test_what_has_no_way_is_counted_by_its_reason(topology: Load, clock: JumpingClock) -> None:
    bench = Bench(topology("dual-homed-both"), clock)
    bench.enter("c1", packet(C1, OUTSIDE), packet(C1, OUTSIDE), packet(C1_V6, "2001:db8::99"), b"")
    assert bench.fabric.unroutable == {
        f"c1: no path to {OUTSIDE}": 2,
        "c1: no path to 2001:db8::99": 1,
        "c1: no path to nowhere": 1,
    }
    assert bench.frames() == []


@pytest.mark.parametrize("late", [True, False])
def test_an_address_that_a_box_owns_leads_to_its_path(
    topology: Load, clock: JumpingClock, late: bool
) -> None:
    bench = Bench(topology("dual-homed-client"), clock, {"c2-s1": [Owner(late=late)]})
    bench.enter("c2", packet(C2, S1))
    bench.enter("s1", packet(S1, OUTSIDE))
    assert bench.frames()[-1] == ("c2-s1/client", True, 3)
    assert not bench.fabric.unroutable


@pytest.mark.parametrize("captured", [True, False])
def test_what_boxes_cannot_read_passes_around_them_and_is_counted(
    topology: Load, clock: JumpingClock, captured: bool
) -> None:
    bench = Bench(topology("one-path"), clock, {"c1-s1": [Swallow()]}, captured=captured)
    cut_off = packet(C1, S1)[:30]
    bench.enter("c1", cut_off)
    assert bench.sent["s1"] == [cut_off]
    assert sum(bench.fabric.undecodable.values()) == 1
    if bench.capture is not None:
        assert "passed around the boxes" in bench.capture.comments(1)[0]


def test_pieces_come_from_the_frame_that_was_split(topology: Load, clock: JumpingClock) -> None:
    bench = Bench(topology("one-path"), clock, {"c1-s1": [Halves()]})
    bench.enter("c1", packet(C1, S1, b"abcdef"))
    assert bench.frames()[1:] == [("c1-s1/server", True, 1)] * 2
    assert bench.capture is not None
    assert "Halves made 2 segments of it" in bench.capture.comments(2)[0]
    assert bench.capture.comments(1) == ()


def test_a_packet_that_a_box_drops_says_so_where_it_entered(topology: Load, clock: JumpingClock) -> None:
    bench = Bench(topology("one-path"), clock, {"c1-s1": [Swallow()]})
    bench.enter("c1", packet(C1, S1))
    assert bench.frames() == [("c1-s1/client", False, None)]
    assert bench.capture is not None
    assert bench.capture.comments(1) == ("Swallow swallowed it",)


def test_a_packet_that_a_box_holds_leaves_later_and_knows_whence(topology: Load, clock: JumpingClock) -> None:
    bench = Bench(topology("one-path"), clock, {"c1-s1": [Hold()]})
    raw = packet(C1, S1)
    bench.enter("c1", raw)
    assert bench.sent["s1"] == []
    clock.run_until(2_000)
    assert bench.sent["s1"] == [raw]
    assert bench.capture is not None
    left = list(bench.capture)[1]
    assert (left.time_us, left.origin) == (1_000, 1)
    assert "let go after 1 ms" in left.comments[0]


def test_a_box_can_send_toward_the_sender(topology: Load, clock: JumpingClock) -> None:
    bench = Bench(topology("one-path"), clock, {"c1-s1": [Answer()]})
    bench.enter("c1", packet(C1, S1))
    assert bench.frames() == [("c1-s1/client", False, None), ("c1-s1/client", True, None)]
    assert len(bench.sent["c1"]) == 1


def stated(topology: Topology, **values: object) -> Topology:
    paths = tuple(msgspec.structs.replace(path, **values) for path in topology.paths)
    return msgspec.structs.replace(topology, paths=paths)


@pytest.mark.parametrize("captured", [True, False])
def test_a_path_delays_what_its_boxes_let_out(topology: Load, clock: JumpingClock, captured: bool) -> None:
    slow = stated(topology("one-path"), delay_us=5_000)
    bench = Bench(slow, clock, {"c1-s1": [Halves()]}, captured=captured)
    bench.enter("c1", packet(C1, S1))
    clock.run_until(4_999)
    assert bench.sent["s1"] == []
    clock.run_until(5_000)
    assert len(bench.sent["s1"]) == 2
    if bench.capture is not None:
        assert [frame.time_us for frame in bench.capture] == [0, 5_000, 5_000]


def test_a_packet_that_a_link_loses_says_so_where_it_entered(topology: Load, clock: JumpingClock) -> None:
    bench = Bench(stated(topology("one-path"), loss=1.0), clock)
    bench.enter("c1", packet(C1, S1))
    assert bench.capture is not None
    assert bench.capture.comments(1) == ("lost by the link (stated loss 100 %)",)
    assert bench.fabric.lost == {"c1-s1 to_server: lost by the link (stated loss 100 %)": 1}


def test_what_a_link_does_beside_losing_says_so_where_it_entered(topology: Load, clock: JumpingClock) -> None:
    stated_path = stated(topology("one-path"), duplicate=1.0, reorder=1.0, reorder_by_us=500)
    bench = Bench(stated_path, clock)
    raw = packet(C1, S1)
    bench.enter("c1", raw)
    clock.run_until(1_000)
    assert bench.sent["s1"] == [raw, raw]
    assert bench.frames()[1:] == [("c1-s1/server", True, 1)] * 2
    assert bench.capture is not None
    held = "held back by the link for 500 us (stated reordering 100 %)"
    assert bench.capture.comments(1) == ("doubled by the link (stated duplication 100 %)", held, held)
    assert not bench.fabric.lost


def test_the_same_seed_loses_the_same_packets_each_way(topology: Load, clock: JumpingClock) -> None:
    lossy = stated(topology("one-path"), loss=0.5)
    fates = []
    for seed in (1, 1, 2):
        bench = Bench(lossy, clock, seed=seed)
        bench.enter("c1", *[packet(C1, S1, b"%d" % n) for n in range(50)])
        bench.enter("s1", *[packet(S1, C1, b"%d" % n) for n in range(50)])
        fates.append((bench.sent["s1"], bench.sent["c1"]))
    assert fates[0] == fates[1] != fates[2]
    assert len(fates[0][0]) < 50
