"""Topologies by name."""

from __future__ import annotations

import re

import pytest

from mbtest import content
from mbtest.errors import UsageError
from mbtest.harness.topologies import topologies, topology

content.use()


def test_all_that_ship_are_found_by_their_files_names() -> None:
    found = {item.name for item in topologies()}
    assert {"one-path", "dual-homed-client", "dual-homed-both"} <= found
    assert all(topology(name).name == name for name in found)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("dual-homed-clinet", "no topology 'dual-homed-clinet'; did you mean 'dual-homed-client'?"),
        ("zzz", "no topology 'zzz'; there are dual-homed-both, dual-homed-client, "),
        ("../topologies/one-path", "no topology '../topologies/one-path'"),
    ],
)
def test_another_name_is_refused_with_a_hint(name: str, says: str) -> None:
    with pytest.raises(UsageError, match=re.escape(says)):
        topology(name)
