from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Any, Literal

import pytest

from mbtest.errors import UsageError
from mbtest.middlebox import Aim, Middlebox, Parameter, ParameterInfo, parameters
from mbtest.middlebox.parameters import written
from mbtest.wire import MpCapable, MptcpOption, TcpOption


class Knobs(Middlebox):
    """Has a parameter of every sort."""

    size: Annotated[int, Parameter("size of a piece", "octets", 1, 100)]
    places: Annotated[tuple[int, ...], Parameter("where", "octets", low=0)] = ()
    way: Annotated[Literal["up", "down"], Parameter("which way")] = "up"
    share: Annotated[float, Parameter("how much", high=1)] = 0.5
    count: Annotated[int | None, Parameter("how many; none: all", low=2)] = None
    form: type[TcpOption] = MptcpOption
    address: IPv4Address | None = None
    data: bytes = b""
    loud: bool = False


def test_parameters_are_told_in_the_order_of_the_constructor() -> None:
    found = parameters(Knobs)
    assert [info.name for info in found] == [
        "size", "places", "way", "share", "count", "form", "address", "data", "loud", "aim",
    ]  # fmt: skip
    assert found[0] == ParameterInfo("size", "", (), "size of a piece", "octets", "1 to 100 octets")
    assert found[1] == ParameterInfo("places", "()", (), "where", "octets", "at least 0 octets")
    assert found[2] == ParameterInfo("way", "'up'", ("up", "down"), "which way", "", "")
    assert found[3].limits == "at most 1"
    assert found[5].default == "MptcpOption"


@pytest.mark.parametrize(
    "given",
    [
        {"size": 1},
        {"size": 100, "places": (0, 10**9), "way": "down", "share": 1, "count": None, "form": MpCapable},
        {
            "size": 5,
            "share": -3.5,
            "count": 2,
            "address": IPv4Address("192.0.2.1"),
            "data": b"x",
            "loud": True,
        },
        {"size": 5, "aim": Aim(nth=1)},
    ],
)
def test_values_of_the_right_type_and_range_are_taken(given: dict[str, Any]) -> None:
    box = Knobs(**given)
    assert {name: getattr(box, name) for name in given} == given


def test_what_a_text_file_says_is_taken_too() -> None:
    box = Knobs(5, places=[1, 2], address="192.0.2.7")  # type: ignore[arg-type]
    assert box.places == (1, 2)
    assert box.address == IPv4Address("192.0.2.7")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"size": 0}, "size=0 is out of range; give 1 to 100 octets"),
        ({"size": 101}, "size=101 is out of range; give 1 to 100 octets"),
        ({"size": "7"}, "size='7' should be a whole number; give 1 to 100 octets"),
        ({"size": 7.5}, "size=7.5 should be a whole number; give 1 to 100 octets"),
        ({"size": True}, "size=True should be a whole number; give 1 to 100 octets"),
        ({"size": None}, "size=None should be a whole number; give 1 to 100 octets"),
        ({"size": 1, "places": (1, -1)}, "places=(1, -1) is out of range; give at least 0 octets"),
        ({"size": 1, "places": 5}, "places=5 should be a tuple of these: a whole number"),
        ({"size": 1, "way": "left"}, "way='left' should be 'up' or 'down'"),
        ({"size": 1, "share": 1.5}, "share=1.5 is out of range; give at most 1"),
        ({"size": 1, "count": 1}, "count=1 is out of range; give at least 2"),
        ({"size": 1, "count": "x"}, "count='x' should be a whole number or None"),
        ({"size": 1, "form": int}, "form=<class 'int'> should be"),
        ({"size": 1, "address": "192.0.2"}, "address='192.0.2' should be IPv4Address or None"),
        ({"size": 1, "address": IPv6Address("::1")}, "should be IPv4Address or None"),
        ({"size": 1, "data": "text"}, "data='text' should be bytes"),
        ({"size": 1, "loud": 1}, "loud=1 should be True or False"),
        ({"size": 1, "aim": "SYN"}, "aim='SYN' should be Aim or None"),
    ],
)
def test_other_values_end_in_one_line_that_names_box_parameter_and_remedy(
    given: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError) as caught:
        Knobs(**given)
    message = str(caught.value)
    assert message.startswith("Knobs: ")
    assert words in message
    assert "\n" not in message


def test_a_long_value_is_cut_in_the_message() -> None:
    with pytest.raises(UsageError) as caught:
        Knobs(1, data="x" * 1000)  # type: ignore[arg-type]
    assert len(str(caught.value)) < 120


def test_an_annotation_that_cannot_be_read_is_the_users_mistake() -> None:
    class Puzzling(Middlebox):
        """Says what it does not know."""

        size: Nowhere = 0  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(UsageError, match=r"Puzzling: .*Nowhere"):
        Puzzling()


def test_values_are_written_as_in_a_constructor() -> None:
    assert written((MpCapable,)) == "(MpCapable,)"
    assert written((MpCapable, 5)) == "(MpCapable, 5)"
    assert written(IPv4Address("192.0.2.1")) == "'192.0.2.1'"
    assert written("word") == "'word'"
