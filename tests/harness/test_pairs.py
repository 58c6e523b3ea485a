"""Which stacks speak to each other."""

from __future__ import annotations

from typing import ClassVar

import msgspec
import pytest

from mbtest.errors import UsageError
from mbtest.harness.case import Case, Variant
from mbtest.harness.pairs import is_control, lacking, names, pairs_of, require, unmet, uses_kernel
from mbtest.middlebox import Direction
from mbtest.network.topology import Role
from mbtest.results import Level
from mbtest.stacks import Capability
from mbtest.stacks.linux import Linux


@pytest.mark.parametrize(
    ("backend", "client", "server", "pairs"),
    [
        ("namespaces", None, None, "linux:linux linux:reference reference:linux"),
        ("namespaces", "tcp", None, "tcp:linux"),
        ("namespaces", None, "reference", "linux:reference"),
        ("namespaces", "reference", "reference", "reference:reference"),
        ("simulated", None, None, "reference:reference"),
        ("simulated", "reference+other", None, "reference+other:reference"),
        ("simulated", None, "reference+other", "reference:reference+other"),
    ],
)
def test_what_is_not_chosen_depends_on_the_network(
    backend: str, client: str | None, server: str | None, pairs: str
) -> None:
    found = pairs_of(backend, client, server)  # type: ignore[arg-type]
    assert [f"{client}:{server}" for client, server in found] == pairs.split()


def test_a_kernel_is_not_simulated() -> None:
    require("namespaces", [("linux", "tcp"), ("reference", "linux")])
    require("simulated", [("reference", "reference")])
    with pytest.raises(UsageError) as refused:
        require("simulated", [("reference", "linux")])
    assert str(refused.value) == (
        "stack linux runs on --network namespaces only; name --client reference --server reference, "
        "or leave out --network simulated"
    )


def test_a_stack_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="no stack 'bsd'; there are linux, tcp, reference"):
        require("namespaces", [("linux", "bsd")])


def test_a_kernel_is_used_or_not() -> None:
    assert uses_kernel([("reference", "reference"), ("reference", "tcp")])
    assert not uses_kernel([("reference", "reference")])


def test_each_stack_is_named_once() -> None:
    assert names([("linux", "linux"), ("linux", "reference")]) == ["linux", "reference"]


# -- what a run needs -----------------------------------------------------------------------------


class Older(Linux):
    """A kernel that is held back: it opens no subflows, and knows no checksums."""

    name: ClassVar[str] = "older"

    def capabilities(self) -> frozenset[Capability]:
        return frozenset({Capability.MPTCP, Capability.SIGNAL})


def needing(*needs: Capability) -> Case:
    return Case(
        id="test.needs", title="It holds.", topic="test", requirements=(), level=Level.MUST,
        families=("v4",), directions=(Direction.TO_SERVER,), checksums=(False,), topology="one-path",
        needs=frozenset(needs), waits=0.0,
    )  # fmt: skip


def between(client: str, server: str, checksum: bool = False) -> Variant:
    return Variant(
        client=client, server=server, family="v4", direction=Direction.TO_SERVER, checksum=checksum,
        topology="one-path",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("needs", "says"),
    [
        ({Capability.MPTCP, Capability.SIGNAL}, ""),
        ({Capability.JOIN}, "stack older lacks join, which the case needs"),
        ({Capability.JOIN, Capability.CHECKSUM}, "stack older lacks checksum, join, which the case needs"),
    ],
)
def test_what_a_stack_lacks_is_told(needs: set[Capability], says: str) -> None:
    assert unmet(frozenset(needs), [Linux(), Older()]) == says


@pytest.mark.parametrize("checksum", [False, True])
@pytest.mark.parametrize("pair", [("linux", "linux"), ("tcp", "linux"), ("tcp", "tcp")])
def test_nothing_is_lacking_where_all_is_there_or_nothing_is_expected(
    pair: tuple[str, str], checksum: bool
) -> None:
    assert lacking(needing(*set(Capability) - {Capability.KEY}), between(*pair, checksum)) == ""


@pytest.mark.parametrize(
    ("client", "server", "direction", "says"),
    [
        ("linux", "reference", Direction.TO_SERVER, "stack linux lacks key, which the case needs"),
        ("linux", "reference", Direction.TO_CLIENT, ""),
        ("reference", "linux", Direction.TO_SERVER, ""),
        ("reference", "linux", Direction.TO_CLIENT, "stack linux lacks key, which the case needs"),
    ],
)
def test_what_the_sender_alone_needs_is_asked_of_it_alone(
    client: str, server: str, direction: Direction, says: str
) -> None:
    case = msgspec.structs.replace(needing(Capability.MPTCP), sender_needs=frozenset({Capability.KEY}))
    variant = msgspec.structs.replace(between(client, server), direction=direction)
    assert lacking(case, variant) == says


def test_a_run_with_regular_tcp_is_a_control() -> None:
    assert is_control(between("linux", "tcp"))
    assert is_control(between("tcp", "linux"))
    assert not is_control(between("linux", "linux"))


def test_what_one_host_needs_besides_is_not_asked_of_the_other() -> None:
    besides: dict[Role, frozenset[Capability]] = {"client": frozenset({Capability.LOSE})}
    assert lacking(needing(), between("linux", "reference"), besides) == ""
    told = "stack reference lacks lose, which the case needs"
    assert lacking(needing(), between("reference", "linux"), besides) == told
