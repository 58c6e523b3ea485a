from __future__ import annotations

import os

import pytest

from mbtest.network.switch import Switch, borrow, give_back


def inode(switch: Switch) -> int:
    return os.fstat(switch.namespace.fileno()).st_ino


def test_a_switch_is_used_again() -> None:
    first = borrow()
    give_back(first)
    again = borrow()
    assert again is first
    give_back(again)


def test_two_borrowers_have_two_switches() -> None:
    one, other = borrow(), borrow()
    assert inode(one) != inode(other)
    give_back(one)
    give_back(other)


def test_a_port_has_a_number_that_none_had_before() -> None:
    switch = borrow()
    first = [switch.new_port() for _ in range(3)]
    give_back(switch)
    again = borrow()
    assert not {again.new_port() for _ in range(3)} & set(first)
    give_back(again)


def test_a_switch_that_is_closed_holds_nothing() -> None:
    switch = Switch()
    descriptors = [switch.namespace.fileno(), switch.packets.fileno()]
    switch.close()
    for descriptor in descriptors:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
