"""Work that is spread over the processors."""

import os

import pytest

from mbtest.network.processes import ITEMS_PER_PROCESS, processors, spread


def test_answers_are_in_the_order_of_the_items() -> None:
    items = [str(number) for number in range(10 * ITEMS_PER_PROCESS)]
    assert spread(lambda item: item + "!", items, most=3) == [f"{item}!" for item in items]
    assert spread(lambda item: item, [], most=3) == []


def test_several_processes_work_where_there_is_enough_to_do() -> None:
    many = range(10 * ITEMS_PER_PROCESS)
    assert os.getpid() not in spread(lambda _: os.getpid(), many, most=2)
    assert set(spread(lambda _: os.getpid(), many[:2], most=2)) == {os.getpid()}
    assert set(spread(lambda _: os.getpid(), many, most=1)) == {os.getpid()}


def test_what_goes_wrong_in_a_process_is_told_here() -> None:
    with pytest.raises(ZeroDivisionError):
        spread(lambda item: 1 // item, range(10 * ITEMS_PER_PROCESS), most=2)


def test_processors_are_those_that_may_be_used() -> None:
    assert processors() == len(os.sched_getaffinity(0))
