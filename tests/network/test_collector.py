from __future__ import annotations

import gc

import pytest

from mbtest.network.collector import SELDOM, at_rest, collect_seldom


def fail() -> None:
    with at_rest():
        assert not gc.isenabled()
        raise ValueError("a box")


def test_it_rests_and_works_again_whatever_happens() -> None:
    assert gc.isenabled()
    with pytest.raises(ValueError, match="a box"):
        fail()
    assert gc.isenabled()


def test_what_rested_before_rests_after() -> None:
    gc.disable()
    try:
        with at_rest():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_process_of_many_runs_collects_seldom() -> None:
    before = gc.get_threshold()
    try:
        collect_seldom()
        assert gc.get_threshold()[0] == SELDOM
        assert gc.get_freeze_count()
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
