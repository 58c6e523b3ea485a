"""Runs over real namespaces for the tests of the harness."""

import pytest

from mbtest import content
from mbtest.harness.case import Case, Variant
from mbtest.harness.fixture import RunFixture
from mbtest.harness.topologies import topology
from mbtest.middlebox import Direction
from mbtest.results import Level

content.use()


@pytest.fixture
def fixture():
    """Return a maker of run fixtures that carry runs out like those of a case."""

    def make(
        *,
        family="v4",
        direction=Direction.TO_SERVER,
        checksum=False,
        topology_name="one-path",
        stacks=("linux", "linux"),
    ):
        found = Case(
            id="test.harness", title="It holds.", topic="harness", requirements=(), level=Level.MUST,
            families=(family,), directions=(direction,), checksums=(checksum,), topology=topology_name,
            needs=frozenset(), waits=0.0,
        )  # fmt: skip
        variant = Variant(
            client=stacks[0],
            server=stacks[1],
            family=family,
            direction=direction,
            checksum=checksum,
            topology=topology_name,
        )
        return RunFixture(found, variant, 1, topology, ())

    return make
