from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbtest.errors import UsageError
from mbtest.middlebox import Aim, Kind
from mbtest.middlebox.options import octets
from mbtest.wire import (
    ACK,
    SYN,
    Dss,
    EndOfOptionList,
    MpCapable,
    MptcpOption,
    NoOperation,
    SackPermitted,
    TcpOption,
    Timestamps,
    WindowScale,
)
from middleboxes.end_options import EndOptions
from tests.middlebox.bench import TO_CLIENT, TO_SERVER, Line, segment

STAMPS = Timestamps(1, 2)
OPTION = st.sampled_from((NoOperation(), SackPermitted(), STAMPS, WindowScale(3), Dss(5), MpCapable()))
OPTIONS = st.lists(OPTION, max_size=8).filter(lambda some: octets(some) <= 40)


@given(OPTIONS, st.sampled_from(("zeroed", "left")), st.binary(max_size=30))
def test_the_list_ends_where_the_first_named_option_stood(
    options: list[TcpOption], rest: Any, payload: bytes
) -> None:
    one = segment(payload=payload, options=options, ack=9, window=8)
    (out,) = Line(EndOptions(rest=rest)).put(one)
    assert out.checksum_is_right()
    assert out.with_options(()) == one.with_options(())
    assert len(out.option_block) == len(one.option_block)
    assert not any(isinstance(option, MptcpOption) for option in out.options)
    if one.option(MptcpOption) is None:
        assert out is one
        return
    end = next(option for option in out.options if isinstance(option, EndOfOptionList))
    kept = one.option_block[: -len(end.trailing) - 1]
    assert out.option_block.startswith(kept)
    hidden = one.option_block[len(kept) + 1 :]
    assert end.trailing == (hidden if rest == "left" else bytes(len(hidden)))


def test_the_options_that_are_named_end_the_list() -> None:
    options = [STAMPS, Dss(5)]
    (out,) = Line(EndOptions(Timestamps)).put(segment(options=options))
    assert set(out.option_block) == {0}
    (out,) = Line(EndOptions(TcpOption)).put(segment(options=[SackPermitted(), *options]))
    assert set(out.option_block) == {0}


def has_mptcp(line: Line, **told: Any) -> bool:
    (out,) = line.put(segment(options=[STAMPS, Dss(5)], **told), told.get("direction", TO_SERVER))
    return out.option(Dss) is not None


@pytest.mark.parametrize(("ways", "answers_pass"), [("both", False), ("one", True)])
def test_it_begins_with_the_first_segment_that_is_hit_and_goes_on(ways: Any, answers_pass: bool) -> None:
    line = Line(EndOptions(ways=ways, aim=Aim(from_byte=100, kinds=Kind.DATA)))
    line.put(segment(0, flags=SYN))
    line.put(segment(0, flags=SYN | ACK, direction=TO_CLIENT), TO_CLIENT)
    assert has_mptcp(line, seq=1, payload=bytes(100))
    assert has_mptcp(line, direction=TO_CLIENT)
    assert not has_mptcp(line, seq=101, payload=bytes(100))
    assert not has_mptcp(line, seq=1, payload=bytes(100)), (
        "what is sent again passes by the aim, and loses them"
    )
    assert not has_mptcp(line, seq=201)
    assert has_mptcp(line, direction=TO_CLIENT) is answers_pass


def test_other_flows_go_on_as_they_were() -> None:
    line = Line(EndOptions(aim=Aim(nth=1)))
    assert not has_mptcp(line)
    assert not has_mptcp(line)
    assert has_mptcp(line, ports=(40001, 80))


@pytest.mark.parametrize("told", [{"forms": 30}, {"rest": "gone"}, {"ways": "none"}])
def test_what_cannot_be_is_refused(told: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"^EndOptions: "):
        EndOptions(**told)
