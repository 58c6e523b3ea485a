from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbtest.errors import UsageError
from mbtest.middlebox import Aim, Subflow
from mbtest.middlebox.bindings import endpoint
from mbtest.wire import ACK, SYN, AddAddr, MpJoinSyn, Packet, Segment, decode
from middleboxes.nat import TranslateAddresses
from tests.middlebox.bench import CLIENT, SERVER, TO_CLIENT, TO_SERVER, Line, segment, talk

VERSIONS = st.sampled_from((4, 6))
OUTSIDE = {4: ip_address("198.51.100.1"), 6: ip_address("2001:db8:ffff::1")}
OTHER_SERVER = {4: ip_address("203.0.113.9"), 6: ip_address("2001:db8:113::9")}


def answer(out: Segment, **changes: Any) -> Segment:
    """Return what the server sends back to where it sees the client."""
    return Segment.build(
        changes.get("source", out.destination),
        out.source,
        changes.get("source_port", out.destination_port),
        changes.get("destination_port", out.source_port),
        seq=500,
        ack=out.next_seq,
        flags=ACK,
        payload=b"answer",
    )


@given(VERSIONS, st.binary(max_size=30), st.integers(1024, 65535))
def test_the_client_is_seen_outside_and_the_answer_finds_it_inside(
    version: int, payload: bytes, port: int
) -> None:
    line = Line(TranslateAddresses())
    one = segment(7, payload, ports=(port, 80), version=version)
    (out,) = line.put(one)
    assert out == one.replace(source=OUTSIDE[version])
    assert out.checksum_is_right()
    back = answer(out)
    (inside,) = line.put(back, TO_CLIENT)
    assert inside == back.replace(destination=ip_address(CLIENT[version]), destination_port=port)
    assert inside.checksum_is_right()


@given(VERSIONS)
def test_only_addresses_and_ports_change(version: int) -> None:
    options = [AddAddr(3, ip_address(CLIENT[version]), 80, bytes(8))]
    one = segment(7, b"data", SYN, options=options, version=version, window=3)
    (out,) = Line(TranslateAddresses(ports="random")).put(one)
    assert out.replace(source=one.source, source_port=one.source_port) == one


@given(VERSIONS)
def test_what_comes_in_without_a_mapping_is_dropped(version: int) -> None:
    line = Line(TranslateAddresses())
    direct = segment(direction=TO_CLIENT, version=version)
    outside = direct.replace(destination=OUTSIDE[version])
    assert line.put(direct, TO_CLIENT) == []
    assert line.put(outside, TO_CLIENT) == []
    assert line.chain.comment(outside) == "TranslateAddresses dropped it: no mapping"
    (out,) = line.put(segment(version=version))
    assert line.put(answer(out, destination_port=9), TO_CLIENT) == []


@pytest.mark.parametrize(
    ("filtering", "same_address", "other_address"),
    [
        ("endpoint-independent", True, True),
        ("address-dependent", True, False),
        ("address-and-port-dependent", False, False),
    ],
)
@pytest.mark.parametrize("version", [4, 6])
def test_the_filter_lets_in_whom_it_should(
    version: int, filtering: Any, same_address: bool, other_address: bool
) -> None:
    line = Line(TranslateAddresses(filtering=filtering))
    (out,) = line.put(segment(version=version))
    assert line.put(answer(out), TO_CLIENT)
    assert bool(line.put(answer(out, source_port=81), TO_CLIENT)) is same_address
    stranger = answer(out, source=OTHER_SERVER[version])
    assert bool(line.put(stranger, TO_CLIENT)) is other_address
    if not other_address:
        assert line.chain.comment(stranger) == "TranslateAddresses dropped it: filtered"


@pytest.mark.parametrize(
    ("mapping", "count"),
    [("endpoint-independent", 1), ("address-dependent", 2), ("address-and-port-dependent", 3)],
)
def test_a_client_port_is_seen_as_the_mapping_says(mapping: Any, count: int) -> None:
    line = Line(TranslateAddresses(mapping=mapping))
    one = segment()
    targets = [
        one,
        one.replace(destination_port=81),
        one.replace(destination=OTHER_SERVER[4]),
    ]
    outs = [line.put(target)[0] for target in targets * 2]
    assert len({out.source_port for out in outs}) == count
    for target, out in zip(targets * 2, outs, strict=True):
        (back,) = line.put(answer(out), TO_CLIENT)
        assert (back.destination, back.destination_port) == (target.source, target.source_port)


@pytest.mark.parametrize(
    ("ports", "expected"), [("preserve", [40000, 40001, 40002]), ("sequential", [2000, 2001, 2002])]
)
def test_ports_are_preserved_or_counted(ports: Any, expected: list[int]) -> None:
    line = Line(TranslateAddresses(ports=ports, first_port=2000))
    assert [line.put(segment(ports=(port, 80)))[0].source_port for port in (40000, 40001, 40002)] == expected


def test_random_ports_are_those_of_the_seed() -> None:
    def ports(seed: int) -> list[int]:
        line = Line(TranslateAddresses(ports="random"), seed=seed)
        return [line.put(segment(ports=(port, 80)))[0].source_port for port in (40000, 40001)]

    assert ports(3) == ports(3) != ports(4)


def test_without_a_free_port_a_new_flow_is_dropped_and_an_old_one_goes_on() -> None:
    line = Line(TranslateAddresses(first_port=5000, last_port=5000))
    assert line.put(segment(ports=(40000, 80)))
    full = segment(ports=(40001, 80))
    assert line.put(full) == []
    assert line.chain.comment(full) == "TranslateAddresses dropped it: no port is free"
    assert line.put(segment(ports=(40000, 80)))


def test_the_addresses_outside_are_those_of_the_path_unless_they_are_told() -> None:
    assert Line(TranslateAddresses()).chain.addresses == set(OUTSIDE.values())
    second = {ip_address("198.51.100.2"), ip_address("2001:db8:ffff::2")}
    assert Line(TranslateAddresses(), index=1).chain.addresses == second
    told: dict[str, Any] = {"external_v4": "203.0.113.5", "external_v6": "2001:db8::5"}
    line = Line(TranslateAddresses(**told), index=1)
    assert line.chain.addresses == {ip_address(address) for address in told.values()}
    assert line.put(segment())[0].source == ip_address("203.0.113.5")


def test_an_aim_at_joined_subflows_leaves_the_initial_one_alone_in_both_directions() -> None:
    line = Line(TranslateAddresses(aim=Aim(subflow=Subflow.JOINED)))
    initial, joined = segment(flags=SYN), segment(flags=SYN, options=[MpJoinSyn(1, 2, 3)], ports=(40001, 80))
    assert line.put(initial)[0] is initial
    (out,) = line.put(joined)
    assert out.source == OUTSIDE[4]
    direct = segment(direction=TO_CLIENT)
    assert line.put(direct, TO_CLIENT)[0] is direct
    (back,) = line.put(answer(out), TO_CLIENT)
    assert (back.destination, back.destination_port) == (joined.source, 40001)


def unreachable(about: Segment, reporter: str) -> Packet:
    """Return an ICMP error that quotes the first 8 octets of TCP."""
    quote = about.raw[: about.transport + 8]
    addresses = ip_address(reporter).packed + about.source.packed
    if about.version == 4:
        head = bytearray.fromhex("4500000000000000400100000000000000000000")
        head[2:4] = (28 + len(quote)).to_bytes(2, "big")
        head[12:20] = addresses
        return decode(bytes(head) + bytes((3, 1, 0, 0)) + bytes(4) + quote)
    head = bytearray.fromhex("60000000") + (8 + len(quote)).to_bytes(2, "big") + bytes((58, 64)) + addresses
    return decode(bytes(head) + bytes((1, 0, 0, 0)) + bytes(4) + quote)


@given(VERSIONS)
def test_an_error_about_a_translated_segment_finds_the_client(version: int) -> None:
    line = Line(TranslateAddresses(ports="sequential"))
    one = segment(7, version=version)
    (out,) = line.put(one)
    line.put(unreachable(out, SERVER[version]), TO_CLIENT)
    error = line.out[-1][0]
    assert error.destination == one.source
    ends = endpoint(one.source, one.source_port), endpoint(one.destination, one.destination_port)
    assert ends[0][:-2] in error.raw[error.transport + 8 :]
    assert one.raw[one.transport : one.transport + 8] == error.raw[-8:]


@given(VERSIONS)
def test_an_error_of_the_client_about_an_answer_finds_the_server(version: int) -> None:
    line = Line(TranslateAddresses(ports="sequential"))
    (out,) = line.put(segment(7, version=version))
    back = answer(out)
    (inside,) = line.put(back, TO_CLIENT)
    line.put(unreachable(inside, CLIENT[version]), TO_SERVER)
    error = line.out[-1][0]
    assert error.source == OUTSIDE[version]
    assert error.raw[-8:] == back.raw[back.transport : back.transport + 8]


@given(VERSIONS)
def test_an_error_about_what_it_never_translated_is_not_let_in(version: int) -> None:
    line = Line(TranslateAddresses())
    stray = segment(version=version).replace(source=OUTSIDE[version])
    line.put(unreachable(stray, SERVER[version]), TO_CLIENT)
    assert line.out == []


@given(
    st.integers(0, 2**32), st.sampled_from((0.0, 0.3)), st.sampled_from(("preserve", "sequential", "random"))
)
@settings(deadline=None)
def test_streams_arrive_as_they_were_sent(seed: int, trouble: float, ports: Any) -> None:
    for connection in talk(TranslateAddresses(ports=ports), seed=seed, trouble=trouble):
        assert connection.server.received == connection.client.stream
        assert connection.client.received == connection.server.stream
        assert connection.outside is not None
        assert ip_address(connection.outside[0]) in OUTSIDE.values()


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"mapping": "symmetric"}, "mapping='symmetric' should be one of 'endpoint-independent'"),
        ({"first_port": 0}, "first_port=0 is out of range; give 1 to 65535"),
        ({"external_v4": "2001:db8::1"}, "external_v4='2001:db8::1' should be IPv4Address or None"),
        ({"first_port": 5000, "last_port": 4000}, "first_port=5000 is above last_port=4000"),
    ],
)
def test_impossible_parameters_are_refused(told: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=f"^TranslateAddresses: {words}"):
        TranslateAddresses(**told)


def carrier_grade() -> tuple[TranslateAddresses, TranslateAddresses]:
    """Return a home's translator and its operator's, each with an outside of its own."""
    told: dict[str, Any] = {"external_v4": "100.64.0.7", "external_v6": "2001:db8:64::7"}
    return TranslateAddresses(**told), TranslateAddresses(ports="sequential", first_port=5000)


@given(VERSIONS)
def test_two_translators_in_a_row_are_seen_as_the_outer_one(version: int) -> None:
    line = Line(*carrier_grade())
    one = segment(7, version=version)
    (out,) = line.put(one)
    assert (out.source, out.source_port) == (OUTSIDE[version], 5000)
    (inside,) = line.put(answer(out), TO_CLIENT)
    assert (inside.destination, inside.destination_port) == (one.source, one.source_port)
    line.put(unreachable(out, SERVER[version]), TO_CLIENT)
    assert line.out[-1][0].destination == one.source
    assert OUTSIDE[version] in line.chain.addresses
    assert len(line.chain.addresses) == 4


@given(st.integers(0, 2**32))
@settings(deadline=None)
def test_streams_pass_two_translators_in_a_row(seed: int) -> None:
    for connection in talk(*carrier_grade(), seed=seed, trouble=0.3):
        assert connection.server.received == connection.client.stream
        assert connection.client.received == connection.server.stream
