"""What the harness asks of every stack."""

from __future__ import annotations

import inspect

import msgspec
import pytest

from mbtest.errors import UsageError
from mbtest.network.contract import BACKENDS
from mbtest.stacks import STACKS, Capability, Connection, ConnectionLost, Host, Settings, Stack, stack
from mbtest.stacks.linux import LinuxHost, SocketConnection
from mbtest.stacks.reference import ReferenceConnection, ReferenceHost


def methods(protocol: type) -> dict[str, list[str]]:
    """Return the names of the parameters of each method that a protocol asks for."""
    return {
        name: list(inspect.signature(function).parameters)
        for name, function in vars(protocol).items()
        if inspect.isfunction(function) and not name.startswith("_")
    }


@pytest.mark.parametrize("name", STACKS)
def test_every_stack_has_what_is_asked(name: str) -> None:
    found = stack(name)
    assert found is stack(name)
    assert found.name == name
    assert found.summary
    assert "\n" not in found.summary
    assert found.capabilities() <= frozenset(Capability)
    assert frozenset() < found.backends <= frozenset(BACKENDS)
    # A kernel lives in a namespace, and nothing else does.
    assert found.attached == ("simulated" in found.backends)
    for method, parameters in methods(Stack).items():
        assert list(inspect.signature(getattr(type(found), method)).parameters) == parameters


def test_a_stack_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(UsageError, match="no stack 'bsd'; there are linux, tcp, reference"):
        stack("bsd+profile")


@pytest.mark.parametrize(
    ("form", "protocol"),
    [
        (LinuxHost, Host),
        (SocketConnection, Connection),
        (ReferenceHost, Host),
        (ReferenceConnection, Connection),
    ],
)
def test_what_a_stack_makes_has_what_is_asked(form: type, protocol: type) -> None:
    for method, parameters in methods(protocol).items():
        assert list(inspect.signature(getattr(form, method)).parameters) == parameters


def test_settings_ask_for_nothing_unless_told() -> None:
    settings = Settings()
    assert not any(getattr(settings, field) for field in Settings.__struct_fields__)
    with pytest.raises(AttributeError):
        settings.checksum = True  # type: ignore[misc]
    assert msgspec.structs.replace(settings, subflows=2).subflows == 2


def test_a_lost_connection_says_why() -> None:
    lost = ConnectionLost("ECONNRESET")
    assert lost.reason == str(lost) == "ECONNRESET"
