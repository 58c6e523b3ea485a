"""Octets that boxes altered, on whichever subflow, and octets that are simply wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mbtest.harness.alterations import first_wrong
from mbtest.harness.fixture import RunFixture
from mbtest.harness.workload import KIB, Workload
from mbtest.middlebox import Aim
from mbtest.observe import SERVER
from mbtest.results import Outcome
from middleboxes.rewrite_payload import RewritePayload

Make = Callable[..., RunFixture]
WORK = Workload(client_sends=64 * KIB)


@pytest.fixture
def altered(fixture: Make) -> RunFixture:
    """A run without checksums whose second path alters octets of its own numbering: MPTCP notices nothing."""
    run = fixture(topology_name="dual-homed-client", stacks=("reference", "reference"), network="simulated")
    run(RewritePayload(at=100, every=1000, aim=Aim(path=1)), workload=WORK)
    return run


def test_what_a_box_altered_on_another_path_is_not_the_stacks(altered: RunFixture) -> None:
    session = altered.session
    assert session is not None
    stream = session.streams[0]
    assert session.boxes[0].deeds
    assert stream.first_difference is not None
    assert (stream.wrong_at, stream.expected_difference) == (None, True)
    assert altered.result(None).outcome is Outcome.MULTIPATH


def test_an_octet_that_nobody_altered_on_the_way_is_wrong(altered: RunFixture) -> None:
    session = altered.session
    assert session is not None
    sent = session.plan.workload.stream("client", session.plan.seed)
    read = bytearray(session.received["to_server"])
    assert first_wrong(session.observation, SERVER, bytes(read), sent, sent, 0) is None
    # As if the stack had put another octet there, and two octets too many at the end.
    at = next(place for place in range(5_000, len(read)) if read[place] == sent[place])
    read[at] ^= 1
    assert first_wrong(session.observation, SERVER, bytes(read), sent, sent, 0) == at
    read[at] ^= 1
    assert first_wrong(session.observation, SERVER, bytes(read) + b"xx", sent, sent, 0) == len(sent)
