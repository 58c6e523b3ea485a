"""Each profile departs in what its summary says, and in nothing else."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import replace

from mbtest.endpoint import PROFILES, Kind, Profile
from mbtest.wire import AddAddr, Dss, MpCapable, MpFail, MpJoinAck, MpJoinSynAck
from tests.endpoint.scene import (
    A2,
    B2,
    CLIENT,
    KIB,
    MASK_32,
    MASK_64,
    SECOND,
    SERVER,
    Scene,
    Side,
    by,
    corrupt,
    octets,
)

CHECKSUM = {"checksum": True}


def usual(name: str, **settings) -> Scene:
    """Run the same small exchange with a profile on the client."""
    scene = Scene({**settings, "profile": PROFILES[name]}, {})
    scene.exchange(5000, 5000)
    return scene


def stream(scene: Scene, side: Side) -> list[tuple[object, ...]]:
    """Return what a side sent: of each segment the flags, the payload's length and the MPTCP options."""
    return [
        (segment.flags, segment.payload_length, option)
        for segment in scene.sent(side)
        for option in segment.options
        if option.kind == 30
    ]


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_has_a_name_and_cites_its_clause(name):
    profile = PROFILES[name]
    assert profile.name == name
    assert profile.summary
    assert profile is Profile or re.search(r"§3\.\d", profile.summary)


def test_names_are_unique():
    assert len({profile.name for profile in PROFILES.values()}) == len(PROFILES)
    assert PROFILES["strict"] is Profile


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_is_deterministic(name):
    first, second = usual(name, **CHECKSUM), usual(name, **CHECKSUM)
    assert [entry.segment.raw for entry in first.log] == [entry.segment.raw for entry in second.log]


# -- Where one option is turned into another ------------------------------------------------------


def on_acks(option, payload_length):
    if isinstance(option, Dss) and not payload_length:
        return replace(option, data_ack=None, data_ack_64=False) if option.has_mapping else None
    return option


def without_data_ack(option, payload_length):
    if isinstance(option, Dss):
        return replace(option, data_ack=None, data_ack_64=False) if option.has_mapping else None
    return option


def narrow(option, payload_length):
    if isinstance(option, Dss) and option.dsn is not None:
        return replace(option, dsn=option.dsn & MASK_32, dsn_64=False)
    return option


def narrow_ack(option, payload_length):
    if isinstance(option, Dss) and option.data_ack is not None:
        return replace(option, data_ack=option.data_ack & MASK_32, data_ack_64=False)
    return option


def wide(option, payload_length):
    return replace(option, data_ack_64=True, dsn_64=True) if isinstance(option, Dss) else option


@pytest.mark.parametrize(
    ("name", "departs"),
    [
        ("strict", lambda option, payload_length: option),
        ("no-data-acks-on-acks", on_acks),
        ("no-data-acks", without_data_ack),
        ("narrow-numbers", narrow),
        ("narrow-data-acks", narrow_ack),
        ("wide-numbers", wide),
    ],
)
def test_the_first_flight_differs_by_the_departure_alone(name, departs):
    """Up to the first segment of the peer that answers the departure both runs are alike but for it."""
    strict, departed = usual("strict"), usual(name)
    until = min(entry.time for entry in strict.log if entry.segment.payload_length) + 10_000

    def early(scene: Scene) -> Scene:
        scene.log = [entry for entry in scene.log if entry.time <= until]
        return scene

    expected = []
    for flags, length, option in stream(early(strict), CLIENT):
        out = departs(option, length)
        if out is not None:
            expected.append((flags, length, decoded(out)))
    assert [
        (flags, length, decoded(option)) for flags, length, option in stream(early(departed), CLIENT)
    ] == (expected)


def decoded(option):
    """Return an option as its receiver reads it: flags for what is absent may differ."""
    return type(option).decode(option.encode())


@pytest.mark.parametrize("name", ["long-mappings", "sparse-mappings"])
def test_long_mappings_cover_up_to_eight_segments(name):
    scene = usual(name)
    since = scene.now
    scene.exchange(100 * KIB, 0)
    segments = [segment for segment in scene.sent(CLIENT, since=since) if segment.payload_length]
    lengths = {option.length for option in scene.options(CLIENT, Dss, since=since)}
    assert max(lengths) == 8 * max(segment.payload_length for segment in segments)
    mapped = [segment for segment in segments if segment.option(Dss) and segment.option(Dss).length]
    if name == "long-mappings":
        assert len(mapped) == len(segments)
    else:
        numbers = [segment.option(Dss).subflow_sequence for segment in mapped]
        assert len(numbers) == len(set(numbers))
        assert len(mapped) < len(segments) / 4


# -- MP_FAIL and infinite mappings -------------------------------------------------------------------


def failed(name: str, sender: Side = CLIENT) -> Scene:
    """Have a segment of one side's damaged in a run with a profile on the client."""
    scene = Scene({"checksum": True, "profile": PROFILES[name]}, {}).exchange(3000, 3000)
    scene.boxes.append(corrupt(by(sender), 2))
    scene.host(sender).write(octets(20 * KIB))
    scene.run(6 * SECOND)
    return scene


def first_time(scene: Scene, side: Side, form: type) -> int:
    return next(entry.time for entry in scene.log if entry.side is side and entry.segment.option(form))


def test_a_late_answer_to_mp_fail_comes_after_half_a_second():
    times = {}
    for name in ("strict", "late-mp-fail"):
        scene = failed(name)
        times[name] = first_time(scene, CLIENT, MpFail) - first_time(scene, SERVER, MpFail)
        assert not scene.server.connection.is_mptcp
    assert times["strict"] < 100_000
    assert 500_000 <= times["late-mp-fail"] < 600_000


@pytest.mark.parametrize("sender", [CLIENT, SERVER])
def test_no_mp_fail_is_none_at_all(sender):
    assert failed("no-mp-fail", sender).options(CLIENT, MpFail) == []
    assert failed("strict", sender).options(CLIENT, MpFail)


def infinite(scene: Scene) -> list[Dss]:
    return [option for option in scene.options(CLIENT, Dss) if option.infinite]


def test_no_infinite_mapping_is_none_at_all():
    assert infinite(failed("strict"))
    assert infinite(failed("no-infinite-mapping")) == []


def test_an_infinite_mapping_may_have_a_checksum():
    assert {option.checksum for option in infinite(failed("strict"))} == {0}
    assert {option.checksum for option in infinite(failed("infinite-checksum"))} == {0xBEEF}


@pytest.mark.parametrize(("name", "place"), [("wrong-checksum-once", 4), ("first-checksum-wrong", 1)])
def test_one_mapping_has_a_wrong_checksum(name, place):
    scene = Scene({"checksum": True, "profile": PROFILES[name]}, {}).connect()
    for at in range(1, 6):
        scene.client.write(b"some octets")
        scene.run(500_000)
        assert bool(scene.server.heard(Kind.CHECKSUM)) is (at >= place)
    assert bytes(scene.server.got) == b"some octets" * 5
    assert not scene.server.connection.is_mptcp


# -- Handshakes -----------------------------------------------------------------------------------------


def test_no_echoed_keys():
    scene = usual("no-echoed-keys")
    assert [segment.syn for segment in scene.sent(CLIENT, MpCapable)] == [True]
    assert not scene.server.connection.is_mptcp


def test_a_wrong_echoed_key():
    scene = usual("wrong-echoed-key")
    keys = {option.receiver_key for option in scene.options(CLIENT, MpCapable)} - {None}
    assert keys == {scene.server.connection.own_key ^ 1}
    assert not scene.server.connection.is_mptcp


@pytest.mark.parametrize(
    ("name", "version", "flags", "agreed"),
    [
        ("strict", 1, 0x81, True),
        ("version-0", 0, 0x81, False),
        ("version-2", 2, 0x81, True),
        ("flag-b", 1, 0xC1, False),
        ("no-algorithm", 1, 0x80, False),
        ("checksum-flag-lost", 1, 0x81, False),
    ],
)
def test_syns_to_order(name, version, flags, agreed):
    scene = usual(name, **CHECKSUM)
    syn, *others = scene.options(CLIENT, MpCapable)
    assert (syn.version, syn.flags) == (version, flags)
    assert scene.server.connection.is_mptcp is agreed
    later = {option.flags for option in others}
    assert later <= ({0x01} if name == "checksum-flag-lost" else {0x81})


@pytest.mark.parametrize("who", [CLIENT, SERVER])
def test_wrong_join_hmacs_have_the_subflow_refused(who):
    profile = {"profile": PROFILES["wrong-join-hmac"]}
    scene = Scene(
        {"join_from": (A2,), "subflows": 2} | (profile if who is CLIENT else {}),
        {"subflows": 2} | (profile if who is SERVER else {}),
    )
    scene.exchange().run(5 * SECOND)
    assert scene.options(who, MpJoinAck if who is CLIENT else MpJoinSynAck)
    assert len(scene.client.subflows) == len(scene.server.subflows) == 1
    assert scene.client.connection.is_mptcp


# -- Addresses ----------------------------------------------------------------------------------------


def test_no_add_addr_echo_has_it_repeated():
    profile = {"profile": PROFILES["no-add-addr-echo"]}
    scene = Scene(profile | {"subflows": 2}, {"signal": (B2,), "subflows": 2}).exchange()
    scene.run(10 * SECOND)
    assert scene.options(CLIENT, AddAddr) == []
    assert len(scene.options(SERVER, AddAddr)) == 3


def test_a_wrong_add_addr_hmac_is_ignored():
    profile = {"profile": PROFILES["wrong-add-addr-hmac"]}
    scene = Scene({"subflows": 2, "accept_signals": 2}, profile | {"signal": (B2,), "subflows": 2}).exchange()
    scene.run(10 * SECOND)
    assert scene.options(SERVER, AddAddr)
    assert scene.options(CLIENT, AddAddr) == []
    assert len(scene.client.subflows) == 1


# -- Two profiles, one against the other -------------------------------------------------------------------


@pytest.mark.parametrize("other", ["narrow-numbers", "narrow-data-acks", "strict", "wide-numbers"])
@pytest.mark.parametrize("side", [CLIENT, SERVER])
def test_wide_numbers_are_right_in_all_64_bits(side, other):
    """Also where the peer's have 32, so that the upper half of a Data ACK was never on the wire."""
    profiles = {side: PROFILES["wide-numbers"], SERVER if side is CLIENT else CLIENT: PROFILES[other]}
    scene = Scene({"profile": profiles[CLIENT]}, {"profile": profiles[SERVER]})
    scene.exchange(20_000, 20_000).close()
    peer = scene.host(SERVER if side is CLIENT else CLIENT).connection
    acknowledged = [option.data_ack for option in scene.options(side, Dss) if option.data_ack is not None]
    assert all(option.data_ack_64 for option in scene.options(side, Dss) if option.data_ack is not None)
    assert {(number - peer.own_idsn) & MASK_64 for number in acknowledged} <= set(range(1, 20_003))
    for host in (scene.client, scene.server):
        assert host.connection.error is None
        assert not host.heard(Kind.IGNORED)
        assert not host.heard(Kind.FALLBACK)


@pytest.mark.parametrize("second", PROFILES)
@pytest.mark.parametrize("first", ["strict", "wide-numbers", "narrow-numbers", "narrow-data-acks"])
def test_any_two_profiles_deliver_or_say_why_not(first, second):
    """Whatever the client and the server depart in: octets arrive as they are, or both are told an error."""
    scene = Scene(
        {"checksum": True, "profile": PROFILES[first]}, {"checksum": True, "profile": PROFILES[second]}
    )
    scene.connect()
    scene.client.write(octets(20_000))
    scene.server.write(octets(20_000))
    scene.run(300 * SECOND)
    hosts = (scene.client, scene.server)
    for host in hosts:
        assert octets(20_000).startswith(bytes(host.got))
    complete = all(len(host.got) == 20_000 for host in hosts)
    assert complete or None not in [host.connection.error for host in hosts]
