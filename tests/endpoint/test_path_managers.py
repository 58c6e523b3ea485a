"""What is opened and what is announced, by each path manager."""

from __future__ import annotations

import pytest

from mbtest.endpoint.path_managers import PATH_MANAGERS
from mbtest.errors import LocalProtocolError
from mbtest.wire import AddAddr, MpJoinSyn
from tests.endpoint.scene import A1, A2, A3, B1, B2, B3, CLIENT, SECOND, SERVER, Scene, by, drop, has


def ways(client: dict, server: dict) -> tuple[set, set]:
    """Return the pairs of addresses that were joined, and the addresses that the server announced."""
    scene = Scene({"subflows": 8, **client}, {"subflows": 8, **server}).exchange()
    scene.run(5 * SECOND)
    pairs = {(segment.source, segment.destination) for segment in scene.sent(CLIENT, MpJoinSyn)}
    pairs |= {(segment.source, segment.destination) for segment in scene.sent(SERVER, MpJoinSyn)}
    return pairs, {option.address for option in scene.options(SERVER, AddAddr) if not option.echo}


def test_by_itself_nothing_is_opened():
    assert ways({}, {}) == (set(), set())


@pytest.mark.parametrize("name", ["none", "by-hand", "signal"])
def test_some_never_open_anything(name):
    settings = {"join_from": (A2,), "accept_signals": 4, "path_manager": name}
    assert ways(settings, {"signal": (B2,)}) == (set(), {B2})


@pytest.mark.parametrize("name", ["none", "by-hand"])
def test_those_announce_nothing_either(name):
    assert ways({"accept_signals": 4}, {"signal": (B2,), "path_manager": name}) == (set(), set())


def test_signal_announces():
    assert ways({}, {"signal": (B2, B3), "path_manager": "signal"}) == (set(), {B2, B3})


def test_default_joins_from_its_addresses_to_the_first():
    assert ways({"join_from": (A2, A3)}, {}) == ({(A2, B1), (A3, B1)}, set())


def test_default_does_not_join_from_the_first_address_again():
    assert ways({"join_from": (A1, A2)}, {}) == ({(A2, B1)}, set())


def test_default_joins_announced_addresses_from_the_first():
    assert ways({"accept_signals": 4}, {"signal": (B2, B3)}) == ({(A1, B2), (A1, B3)}, {B2, B3})


@pytest.mark.parametrize("limit", [0, 1, 2])
def test_default_follows_as_many_announcements_as_it_may(limit):
    pairs, _ = ways({"accept_signals": limit}, {"signal": (B2, B3)})
    assert len(pairs) == limit


def test_full_mesh_joins_from_everywhere_to_everywhere():
    pairs, _ = ways({"accept_signals": 4, "path_manager": "full-mesh", "join_from": (A2,)}, {"signal": (B2,)})
    assert pairs == {(A2, B1), (A1, B2), (A2, B2), (A3, B2)}


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_the_limit_of_subflows_is_held(limit):
    settings = {"subflows": limit, "join_from": (A2, A3), "accept_signals": 4}
    pairs, _ = ways(settings, {"signal": (B2, B3)})
    assert len(pairs) == limit


def test_an_announcement_that_overtakes_the_first_dss_is_followed_later():
    scene = Scene({"subflows": 4, "accept_signals": 4}, {"subflows": 4, "signal": (B2,)})
    scene.boxes.append(drop(by(SERVER, lambda segment, side: not has(AddAddr)(segment, side)
                                                             and not segment.syn), times=4))  # fmt: skip
    scene.exchange().run(10 * SECOND)
    assert {segment.destination for segment in scene.sent(CLIENT, MpJoinSyn)} == {B2}


def test_an_unknown_name_says_what_there_is():
    with pytest.raises(LocalProtocolError, match=r"no path manager 'best'; there are default, "):
        PATH_MANAGERS["best"]
