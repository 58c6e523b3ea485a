"""What stacks and the harness ask of a network, and that both kinds have it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import get_args

import pytest

from mbtest.network.backends import make_network
from mbtest.network.contract import BACKENDS, Backend, Network, RunLoop
from mbtest.network.loop import Loop
from mbtest.network.topology import ROLES, Topology
from mbtest.network.virtual import VirtualLoop


def methods(protocol: type) -> dict[str, list[str]]:
    return {
        name: list(inspect.signature(function).parameters)
        for name, function in vars(protocol).items()
        if inspect.isfunction(function) and not name.startswith("_")
    }


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_kind_of_network_has_what_is_asked(topology: Callable[[str], Topology], backend: str) -> None:
    one_path = topology("one-path")
    made: AbstractContextManager[Network] = make_network(backend, one_path, "v4", {}, 7, ROLES)  # type: ignore[arg-type]
    with made as network:
        assert (network.topology, network.family, network.seed) == (one_path, "v4", 7)
        assert network.capture is not None
        assert network.loop.now >= 0
        for name, parameters in methods(Network).items():
            assert list(inspect.signature(getattr(type(network), name)).parameters) == parameters


@pytest.mark.parametrize("loop", [Loop, VirtualLoop])
def test_every_loop_has_what_is_asked(loop: type) -> None:
    for name, parameters in methods(RunLoop).items():
        assert list(inspect.signature(getattr(loop, name)).parameters) == parameters


def test_every_kind_is_listed() -> None:
    assert set(BACKENDS) == set(get_args(Backend))
