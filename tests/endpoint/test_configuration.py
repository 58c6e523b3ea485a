"""Each setting that cannot be is refused by its name."""

from __future__ import annotations

import pytest

from mbtest.endpoint import Configuration
from mbtest.errors import LocalProtocolError
from tests.endpoint.crafted import Peer


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("mtu", 575),
        ("mtu", 65_536),
        ("subflows", -1),
        ("subflows", 65),
        ("send_buffer", 2303),
        ("receive_buffer", 0),
        ("unmapped_limit", 100),
        ("key", -1),
        ("key", 2**64),
    ],
)
def test_what_cannot_be_is_refused(setting, value):
    with pytest.raises(LocalProtocolError) as raised:
        Configuration(**{setting: value})
    assert f"{setting}={value}" in str(raised.value)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("mtu", 576), ("mtu", 65_535), ("subflows", 0), ("subflows", 64), ("send_buffer", 2304)],
)
def test_what_just_can_be_is_taken(setting, value):
    assert getattr(Configuration(**{setting: value}), setting) == value


@pytest.mark.parametrize("setting", ["scheduler", "path_manager", "congestion"])
def test_an_unknown_name_is_refused_with_those_there_are(setting):
    with pytest.raises((LocalProtocolError, KeyError)) as raised:
        Peer(opens=False, **{setting: "no such thing"})
    assert isinstance(raised.value, LocalProtocolError)
    assert "no such thing" in str(raised.value)


def test_it_cannot_be_changed():
    with pytest.raises(AttributeError):
        Configuration().mtu = 9000
