from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbtest.errors import UsageError
from mbtest.middlebox import SECOND, Aim, Middlebox
from mbtest.wire import RST, SYN, Segment
from middleboxes.forget_mappings import FORGOT, ForgetMappings
from middleboxes.nat import TranslateAddresses
from tests.middlebox.bench import TO_CLIENT, TO_SERVER, Line, segment, segments, talk

AT_DATA = Aim(where=lambda one: one.payload_length > 0)


def answer(out: Segment) -> Segment:
    return segment(500, b"answer", direction=TO_CLIENT).replace(
        destination=out.source, destination_port=out.source_port
    )


def test_a_flow_that_goes_on_comes_from_another_port() -> None:
    line = Line(ForgetMappings(ports="sequential", first_port=2000, aim=AT_DATA))
    (syn,) = line.put(segment(flags=SYN))
    assert line.put(answer(syn), TO_CLIENT) == []  # it has data, and all is forgotten
    (first,) = line.put(segment(1, b"data"))
    (second,) = line.put(segment(5, b"more"))
    assert [one.source_port for one in (syn, first, second)] == [2000, 2001, 2001]
    assert line.put(answer(first), TO_CLIENT)


def test_it_counts_the_mappings_that_it_forgot_and_no_translation() -> None:
    line = Line(ForgetMappings(ports="random", idle=SECOND, aim=Aim(from_byte=8)))
    line.put(segment(flags=SYN))
    line.put(segment(1, b"data"))
    assert (line.chain.did(ForgetMappings, FORGOT), line.chain.deeds(ForgetMappings)) == (0, 2)
    line.put(segment(5, b"more"))
    assert line.chain.did(ForgetMappings, FORGOT) == 0
    line.put(segment(9, b"data"))
    assert line.chain.did(ForgetMappings, FORGOT) == 1
    line.wait(2 * SECOND)
    line.put(segment(13, b"more"))
    assert line.chain.did(ForgetMappings, FORGOT) == 2


def test_a_port_that_is_preserved_comes_back() -> None:
    line = Line(ForgetMappings(aim=AT_DATA))
    assert {line.put(one)[0].source_port for one in (segment(flags=SYN), segment(1, b"data"))} == {40000}


@pytest.mark.parametrize("unbound", ["drop", "reset"])
def test_a_flow_can_end_there(unbound: Any) -> None:
    line = Line(ForgetMappings(unbound=unbound, aim=AT_DATA))
    assert line.put(segment(0, flags=SYN))
    data = segment(1, b"data", ack=900)
    assert line.put(data) == []
    assert line.chain.comment(data) == "ForgetMappings dropped it: no mapping"
    resets = segments(line.out, TO_CLIENT)
    assert [(one.flags, one.seq, one.flow) for one in resets] == (
        [(RST, 900, data.flow[::-1])] if unbound == "reset" else []
    )
    assert line.put(segment(900, flags=RST)) == []
    assert segments(line.out, TO_CLIENT) == resets
    assert line.put(segment(0, flags=SYN))


def test_a_mapping_is_forgotten_after_idleness_and_not_before() -> None:
    line = Line(ForgetMappings(idle=SECOND, unbound="drop"))
    (out,) = line.put(segment(flags=SYN))
    for way, one in ((TO_SERVER, segment(1)), (TO_CLIENT, answer(out)), (TO_SERVER, segment(1))):
        line.wait(SECOND)
        assert line.put(one, way)
    line.wait(SECOND + 1)
    assert line.put(answer(out), TO_CLIENT) == []
    assert line.put(segment(1)) == []


@given(st.integers(0, 2**32))
@settings(deadline=None)
def test_without_a_moment_it_is_the_plain_translator(seed: int) -> None:
    boxes: list[Middlebox] = [ForgetMappings(ports="random"), TranslateAddresses(ports="random")]
    seen = [[one.outside for one in talk(box, seed=seed, trouble=0.2)] for box in boxes]
    assert seen[0] == seen[1]


def test_impossible_parameters_are_refused() -> None:
    with pytest.raises(UsageError, match=r"^ForgetMappings: idle=0 is out of range; give at least 1"):
        ForgetMappings(idle=0)
    told: dict[str, Any] = {"unbound": "keep"}
    with pytest.raises(UsageError, match=r"^ForgetMappings: unbound='keep' should be one of 'bind', 'drop'"):
        ForgetMappings(**told)
