from __future__ import annotations

import gc

import pytest

from mbtest.network.collector import at_rest


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
