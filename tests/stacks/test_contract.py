"""What the harness asks of every stack."""

from __future__ import annotations

import inspect

import msgspec
import pytest

from mbtest.stacks import STACKS, Capability, Connection, ConnectionLost, Host, Settings, Stack
from mbtest.stacks.linux import LinuxHost, SocketConnection


def methods(protocol: type) -> dict[str, list[str]]:
    """Return the names of the parameters of each method that a protocol asks for."""
    return {
        name: list(inspect.signature(function).parameters)
        for name, function in vars(protocol).items()
        if inspect.isfunction(function) and not name.startswith("_")
    }


@pytest.mark.parametrize("name", STACKS)
def test_every_stack_has_what_is_asked(name: str) -> None:
    stack = STACKS[name]
    assert stack.name == name
    assert stack.summary
    assert "\n" not in stack.summary
    assert stack.capabilities() <= frozenset(Capability)
    for method, parameters in methods(Stack).items():
        assert list(inspect.signature(getattr(type(stack), method)).parameters) == parameters


@pytest.mark.parametrize(("form", "protocol"), [(LinuxHost, Host), (SocketConnection, Connection)])
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
