"""What a wire, or somebody on it, may do to segments: nothing raises, nothing false is delivered."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mbtest.errors import LocalProtocolError
from mbtest.wire import FIN, Segment
from mbtest.wire.mptcp import Dss, MpFail, MpFastclose, MptcpOption, MpTcprst
from mbtest.wire.options import (
    MaximumSegmentSize,
    NoOperation,
    Sack,
    TcpOption,
    Timestamps,
    UnknownOption,
    WindowScale,
)
from tests.endpoint.pair import CLIENT, FURTHER, SECOND, SERVER, Pair

DATA = Random(9).randbytes(60_000)
SETTINGS = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
OPTIONS: tuple[Callable[[Random], TcpOption], ...] = (
    lambda chance: Sack(tuple((chance.getrandbits(32), chance.getrandbits(32)) for _ in range(3))),
    lambda chance: Timestamps(chance.getrandbits(32), chance.getrandbits(32)),
    lambda chance: WindowScale(chance.getrandbits(8)),
    lambda chance: MaximumSegmentSize(chance.getrandbits(16)),
    lambda chance: UnknownOption(chance.randrange(2, 255), chance.randbytes(chance.randrange(9))),
    lambda chance: NoOperation(),
)
SIGNALS: tuple[Callable[[Random], TcpOption], ...] = (
    lambda chance: Dss(chance.getrandbits(32), data_ack_64=False),
    lambda chance: Dss(None, chance.getrandbits(32), chance.getrandbits(16), chance.getrandbits(12)),
    lambda chance: MpFail(chance.getrandbits(64)),
    lambda chance: MpFastclose(chance.getrandbits(64)),
    lambda chance: MpTcprst(chance.getrandbits(8)),
    lambda chance: UnknownOption(30, chance.randbytes(chance.randrange(14))),
)
CONFIGURED = pytest.mark.parametrize(
    "configured", [{"mptcp": False}, {}, {"checksum": True}], ids=["regular", "multipath", "checksum"]
)


def number(value: int, chance: Random) -> int:
    """Return a sequence number that is near, or at an edge, or anywhere."""
    near = chance.choice(
        (chance.randrange(-5, 6), chance.randrange(-70_000, 70_000), 1 << 31, chance.getrandbits(32))
    )
    return (value + near) & 0xFFFF_FFFF


def mutated(segment: Segment, chance: Random, options: tuple[Callable[[Random], TcpOption], ...]) -> bytes:
    """Return a segment of which something is wrong; its checksum is right, or it would go no further."""
    match chance.randrange(7):
        case 0:
            return segment.replace(seq=number(int(segment.seq), chance)).raw
        case 1:
            return segment.replace(ack=number(int(segment.ack), chance)).raw
        case 2:
            return segment.replace(flags=chance.getrandbits(12)).raw
        case 3:
            return segment.replace(window=chance.choice((0, 1, 100, chance.getrandbits(16)))).raw
        case 4:
            try:
                return segment.replace(options=[chance.choice(options)(chance) for _ in range(3)]).raw
            except LocalProtocolError:
                return segment.raw
        case 5:
            # Without a payload, or with one that ends early: the rest comes again.
            return segment.replace(
                payload=segment.payload[: chance.randrange(1 + segment.payload_length)]
            ).raw
        case _:
            return segment.replace(flags=segment.flags | chance.choice((1, 2, 4, 8, 0x20)), urgent=3).raw


def without_lies(segment: Segment, raw: bytes) -> bytes:
    """Return a changed segment that puts no octets and no FIN where they are not: TCP cannot tell those.

    Nor does it take MPTCP options away, which is a matter of falling back.
    """
    copy = Segment(raw)
    signals = [option for option in segment.options if isinstance(option, MptcpOption)]
    if signals and copy.option(MptcpOption) is None:
        copy = copy.replace(options=signals)
    if copy.seq != segment.seq:
        copy = copy.replace(payload=b"")
    if copy.next_seq != segment.next_seq or not segment.fin:
        copy = copy.replace(flags=copy.flags & ~FIN)
    return copy.raw


def deliver(pair: Pair, raw: bytes, receiver: int) -> None:
    pair.endpoints[receiver].receive(raw, pair.now)


def bounded(pair: Pair) -> None:
    """Nothing that a peer can send takes more memory than was configured."""
    for endpoint in pair.endpoints:
        configuration = endpoint.configuration
        assert len(endpoint.connections) <= configuration.connection_limit
        for connection in endpoint.connections:
            assert connection.incoming.unread <= configuration.receive_buffer
            for subflow in connection.subflows:
                assert subflow.held.held <= configuration.receive_buffer
                assert len(subflow.mappings) <= configuration.mapping_limit
                assert len(subflow.inbox) <= configuration.unmapped_limit + configuration.receive_buffer
                assert sum(len(chunk.payload) for chunk in subflow.out.under_way) <= configuration.send_buffer


@CONFIGURED
@SETTINGS
@given(st.integers(0, 1 << 32))
def test_segments_that_were_tampered_with_corrupt_nothing(configured: dict[str, bool], seed: int) -> None:
    """Each segment goes on as it is, and now and then a changed copy goes before it: octets stay right."""
    chance = Random(seed)
    pair = Pair({**configured}, {**configured}, seed=seed)

    def tamper(segment: Segment, sender: int) -> list[Segment]:
        if chance.random() < 0.1:
            copy = mutated(segment, chance, OPTIONS)
            deliver(pair, without_lies(segment, copy), 1 - sender)
        return [segment]

    client, server = pair.connect(DATA, DATA[:20_000])
    pair.hook = tamper
    pair.run(lambda: client.ended and server.ended, seconds=300)
    bounded(pair)
    complete = bytes(server.got) == DATA and bytes(client.got) == DATA[:20_000]
    assert DATA.startswith(bytes(server.got))
    assert DATA.startswith(bytes(client.got))
    assert complete or client.connection.error or server.connection.error


@CONFIGURED
@SETTINGS
@given(st.integers(0, 1 << 32))
def test_octets_at_random_never_raise(configured: dict[str, bool], seed: int) -> None:
    """Cut off, flipped, with another options' content: whatever reads it copes, and timers go on."""
    chance = Random(seed)
    further = {"subflows": 1, "join_from": (FURTHER,)} if configured.get("mptcp", True) else {}
    pair = Pair({**configured, **further}, {**configured, "subflows": 1}, seed=seed)

    def spoil(segment: Segment, sender: int) -> list[Segment]:
        if chance.random() < 0.3:
            raw = bytearray(mutated(segment, chance, OPTIONS + SIGNALS))
            for _ in range(chance.randrange(3)):
                raw[chance.randrange(len(raw))] = chance.getrandbits(8)
            del raw[chance.choice((len(raw), len(raw), chance.randrange(len(raw)))) :]
            deliver(pair, bytes(raw), 1 - sender)
        return [segment] if chance.random() < 0.98 else []

    client, server = pair.connect(DATA, DATA[:20_000])
    pair.hook = spoil
    pair.run(lambda: client.ended and server.ended, seconds=60)
    bounded(pair)


@SETTINGS
@given(st.integers(0, 1 << 32))
def test_damaged_octets_and_lost_options_never_raise(seed: int) -> None:
    """Checksums fail while boxes take options from ACKs, from data, or from all, one side's or both."""
    chance = Random(seed)
    further = {"subflows": 1, "join_from": (FURTHER,)} if chance.random() < 0.5 else {}
    pair = Pair({"checksum": True, **further}, {"checksum": True, "subflows": 1}, seed=seed)
    damages, strips = chance.choice((0.02, 0.1)), chance.choice((0.05, 0.3, 1.0))
    begins, whose = (
        chance.randrange(2 * SECOND // 10),
        chance.choice(((CLIENT,), (SERVER,), (CLIENT, SERVER))),
    )
    which = chance.choice(((False,), (True,), (False, True)))

    def box(segment: Segment, sender: int) -> list[Segment]:
        if segment.syn or pair.now < begins:
            return [segment]
        if segment.payload_length and chance.random() < damages:
            payload = bytearray(segment.payload)
            payload[chance.randrange(len(payload))] ^= 1 + chance.randrange(255)
            segment = segment.replace(payload=bytes(payload))
        if sender in whose and bool(segment.payload_length) in which and chance.random() < strips:
            segment = segment.without_options(MptcpOption)
        return [segment]

    pair.hook = box
    client, server = pair.connect(DATA, DATA[:20_000])
    pair.run(lambda: client.ended and server.ended, seconds=300)
    bounded(pair)
    # Octets may be changed, once the connection is regular TCP; how many there are is right.
    assert len(server.got) <= len(DATA)
    assert len(client.got) <= 20_000
    assert (client.ended and server.ended) or client.connection.error or server.connection.error


@SETTINGS
@given(st.integers(0, 1 << 32))
def test_handshakes_that_were_tampered_with_never_raise(seed: int) -> None:
    chance = Random(seed)
    pair = Pair(seed=seed)
    pair.hook = lambda segment, sender: [
        Segment(mutated(segment, chance, OPTIONS + SIGNALS)) if chance.random() < 0.5 else segment
    ]
    connection = pair.endpoints[CLIENT].connect(pair.there, 80, 0)
    pair.run(lambda: connection.established or bool(connection.error), seconds=200)
    bounded(pair)


@pytest.mark.parametrize("receiver", [CLIENT, SERVER])
def test_a_flood_of_strangers_takes_no_memory(receiver: int) -> None:
    pair = Pair()
    pair.connect(ends=False)
    pair.run(seconds=1)
    chance = Random(1)
    for _ in range(3_000):
        _, _, segment = chance.choice([entry for entry in pair.log if entry[1] != receiver])
        copy = segment.replace(source_port=chance.getrandbits(16), flags=chance.choice((2, 16, 18, 24)))
        deliver(pair, copy.raw, receiver)
    endpoint = pair.endpoints[receiver]
    assert len(endpoint.connections) <= endpoint.configuration.half_open_limit + 1
    pair.hook = lambda segment, sender: []
    pair.run(seconds=400)
    assert len(endpoint.connections) <= 1


def test_every_other_octet_takes_bounded_memory() -> None:
    pair = Pair({"mptcp": False}, {"mptcp": False})
    client, server = pair.connect(ends=False)
    pair.run(seconds=1)
    template = next(segment for _, who, segment in pair.log if who == CLIENT and not segment.syn)
    subflow = server.connection.subflows[0]
    for n in range(20_000):
        deliver(pair, template.replace(seq=int(template.seq) + 2 + 2 * n, payload=b"x").raw, SERVER)
        pair.endpoints[SERVER].packets_to_send(pair.now)
    assert subflow.held.held <= 2_000
    assert client.connection.error is None
    assert pair.now < 60 * SECOND
