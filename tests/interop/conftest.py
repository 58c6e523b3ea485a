"""Both roles, and a place for the capture of each test."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest

from mbtest import content
from mbtest.network import privileges
from mbtest.network.topology import Role
from mbtest.stacks import stack

pytest.register_assert_rewrite("tests.interop.scene", "tests.interop.wireshark")

from tests.interop.scene import Scene, playing  # noqa: E402 - after what makes its assertions speak

content.use()

Play = Callable[..., AbstractContextManager[Scene]]


@pytest.fixture(scope="session", autouse=True)
def _possible() -> None:
    privileges.enter()
    if (why := stack("linux").lacks()) is not None:
        pytest.skip(why)
    if shutil.which("tshark") is None:
        pytest.skip("tshark is not installed: apt-get install tshark")


@pytest.fixture(params=["client", "server"], ids=["ours-client", "ours-server"])
def ours(request: pytest.FixtureRequest) -> Role:
    """The side of the reference endpoint; the kernel has the other."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def play(ours: Role, tmp_path: Path) -> Play:
    """Return what has a connection between the endpoint and the kernel, and checks it at the end."""
    return partial(playing, tmp_path / "sent.pcapng", ours)
