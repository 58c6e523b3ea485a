from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from mbtest.errors import UsageError
from mbtest.network.namespace import Namespace, set_sysctl


def here() -> int:
    return os.stat("/proc/thread-self/ns/net").st_ino


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    namespace = Namespace()
    yield namespace
    namespace.close()


def test_making_a_namespace_leaves_the_thread_where_it_is() -> None:
    before = here()
    Namespace().close()
    assert here() == before


def test_a_block_runs_in_the_namespace_and_comes_back(namespace: Namespace) -> None:
    before = here()
    with namespace.entered():
        assert here() == os.fstat(namespace.fileno()).st_ino
        assert socket.if_nameindex() == [(1, "lo")]
    assert here() == before


def test_a_block_that_raises_comes_back_too(namespace: Namespace) -> None:
    before = here()
    with pytest.raises(ValueError, match="within"), namespace.entered():
        raise ValueError("within")
    assert here() == before


def test_namespaces_nest(namespace: Namespace) -> None:
    other = Namespace()
    with namespace.entered():
        inside = here()
        with other.entered():
            assert here() not in (inside, 0)
        assert here() == inside
    other.close()


def test_nothing_names_the_namespace(namespace: Namespace) -> None:
    inode = os.fstat(namespace.fileno()).st_ino
    names = Path("/var/run/netns")
    assert not names.exists() or all(path.stat().st_ino != inode for path in names.iterdir())


def test_a_sysctl_is_set_in_its_namespace_alone(namespace: Namespace) -> None:
    path = Path("/proc/sys/net/ipv4/tcp_sack")
    before = path.read_text()
    with namespace.entered():
        set_sysctl("net.ipv4.tcp_sack", 0)
        assert path.read_text() == "0\n"
    assert path.read_text() == before


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("net.ipv4.no_such", 1, "this kernel does not have it"),
        ("net.ipv4.tcp_sack", "much", "Invalid argument; give a value that it takes"),
    ],
)
def test_a_sysctl_that_cannot_be_set_says_which(
    namespace: Namespace, name: str, value: object, remedy: str
) -> None:
    with namespace.entered(), pytest.raises(UsageError) as caught:
        set_sysctl(name, value)
    assert str(caught.value).startswith(f"sysctl {name}")
    assert remedy in str(caught.value)
