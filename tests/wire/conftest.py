"""How hypothesis makes options, segments and hostile packets, and the option vectors."""

from __future__ import annotations

import tomllib
from functools import reduce
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st

from mbtest import wire
from mbtest.wire import (
    AddAddr,
    Address,
    Authentication,
    Dss,
    Experimental,
    FastOpen,
    MaximumSegmentSize,
    Md5Signature,
    MpCapable,
    MpExperimental,
    MpFail,
    MpFastclose,
    MpJoinAck,
    MpJoinSyn,
    MpJoinSynAck,
    MpPrio,
    MptcpOption,
    MpTcprst,
    NoOperation,
    Packet,
    RemoveAddr,
    Sack,
    SackPermitted,
    Segment,
    TcpOption,
    Timestamps,
    UnknownMptcp,
    UnknownOption,
    UserTimeout,
    WindowScale,
    decode,
)

# Shared machines stall now and then; that is no failure of a property.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


def _bits(count: int) -> st.SearchStrategy[int]:
    return st.integers(0, (1 << count) - 1)


def _octets(lowest: int, highest: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=lowest, max_size=highest)


FLAGS_4, RESERVED_12, KEY = _bits(4), _bits(12), _bits(64)


@st.composite
def _capable(draw: st.DrawFn) -> MpCapable:
    """MP_CAPABLE in one of its five lengths."""
    parts = draw(st.integers(0, 4))
    key, other, length, checksum = (
        draw(_bits(width)) if part < parts else None for part, width in enumerate((64, 64, 16, 16))
    )
    return MpCapable(draw(_bits(8)), key, other, length, checksum, draw(_bits(4)))


@st.composite
def _dss(draw: st.DrawFn) -> Dss:
    data_ack_64, dsn_64 = draw(st.booleans()), draw(st.booleans())
    data_ack = draw(st.none() | _bits(64 if data_ack_64 else 32))
    dsn = draw(st.none() | _bits(64 if dsn_64 else 32))
    subflow_sequence, length = (draw(_bits(32)), draw(_bits(16))) if dsn is not None else (0, 0)
    checksum = draw(st.none() | _bits(16)) if dsn is not None else None
    return Dss(data_ack, dsn, subflow_sequence, length, checksum, draw(st.booleans()), data_ack_64, dsn_64,
               draw(_bits(7)))  # fmt: skip


MPTCP_OPTIONS = st.one_of(
    _capable(),
    st.builds(MpJoinSyn, _bits(8), _bits(32), _bits(32), FLAGS_4),
    st.builds(MpJoinSynAck, _bits(8), KEY, _bits(32), FLAGS_4),
    st.builds(MpJoinAck, _octets(20, 20), RESERVED_12),
    _dss(),
    st.builds(
        AddAddr,
        _bits(8),
        _octets(4, 4).map(IPv4Address) | _octets(16, 16).map(IPv6Address),
        st.none() | _bits(16),
        st.none() | _octets(8, 8),
        FLAGS_4,
    ),
    st.builds(RemoveAddr, _octets(1, 10), FLAGS_4),
    st.builds(MpPrio, FLAGS_4),
    st.builds(MpFail, KEY, RESERVED_12),
    st.builds(MpFastclose, KEY, RESERVED_12),
    st.builds(MpTcprst, _bits(8), FLAGS_4),
    st.builds(MpExperimental, _octets(0, 12), FLAGS_4),
    st.builds(UnknownMptcp, _octets(0, 12)).filter(lambda one: MptcpOption.decode(one.encode()) == one),
)
OTHER_OPTIONS = st.one_of(
    st.just(NoOperation()),
    st.builds(MaximumSegmentSize, _bits(16)),
    st.builds(WindowScale, _bits(8)),
    st.just(SackPermitted()),
    st.builds(Sack, st.lists(st.tuples(_bits(32), _bits(32)), max_size=4).map(tuple)),
    st.builds(Timestamps, _bits(32), _bits(32)),
    st.builds(UserTimeout, st.booleans(), _bits(15)),
    st.builds(Md5Signature, _octets(0, 16)),
    st.builds(Authentication, _octets(0, 16)),
    st.builds(FastOpen, _octets(0, 16)),
    st.builds(Experimental, st.sampled_from((253, 254)), _bits(16), _octets(0, 8)),
    st.builds(UnknownOption, st.sampled_from((6, 7, 14, 25, 27, 29 + 2, 35, 252, 255)), _octets(0, 12)),
)


@st.composite
def _segments(draw: st.DrawFn) -> Segment:
    """A segment whose checksums and lengths are right; its options may be any octets."""
    v4 = draw(st.booleans())
    address: st.SearchStrategy[Address] = (
        _octets(4, 4).map(IPv4Address) if v4 else _octets(16, 16).map(IPv6Address)
    )
    segment = Segment.build(
        draw(address), draw(address), draw(_bits(16)), draw(_bits(16)), seq=draw(_bits(32)),
        ack=draw(_bits(32)), flags=draw(_bits(12)), window=draw(_bits(16)), urgent=draw(_bits(16)),
        payload=draw(_octets(0, 48)), ttl=draw(_bits(8)), traffic_class=draw(_bits(8)),
        identification=draw(_bits(16 if v4 else 20)),
    )  # fmt: skip
    block = draw(
        st.lists(MPTCP_OPTIONS | OTHER_OPTIONS, max_size=6).map(_fitting_block)
        | _octets(0, 10).map(lambda words: words * 4)
        | st.integers(0, 10).flatmap(lambda words: _octets(4 * words, 4 * words))
    )
    segment = segment.with_option_block(block)
    if draw(st.booleans()):
        return segment
    if v4:
        return segment.replace(ip_options=draw(_octets(0, 40)))
    return segment.replace(extension_headers=draw(EXTENSION_HEADERS))


def _fitting_block(options: list[TcpOption]) -> bytes:
    def add(block: bytes, option: TcpOption) -> bytes:
        return block + option.encode() if len(block) + len(option.encode()) <= 40 else block

    block = reduce(add, options, b"")
    return block + b"\1" * (-len(block) & 3)


def _extension_header(kind: int, words: int, octets: bytes) -> tuple[int, bytes]:
    if kind == 51:  # RFC 4302 §2.2: its length is in words of 32 bits, less two
        return kind, bytes((0, words * 2)) + octets[: words * 8 + 6]
    body = bytearray(octets[: words * 8 + 6])
    if kind == 43:
        body[:2] = octets[0] % 5, octets[1] & 1
    return kind, bytes((0, words)) + bytes(body)


EXTENSION_HEADERS = st.lists(
    st.builds(
        _extension_header,
        st.sampled_from((0, 43, 51, 60, 135, 139, 140)),
        st.integers(0, 4),
        _octets(38, 38),
    )
    | _octets(4, 4).map(lambda identifier: (44, bytes(4) + identifier)),
    max_size=3,
)


@st.composite
def _packets(draw: st.DrawFn) -> Packet:
    """Whatever `decode` accepts: segments with octets overwritten and behind them, TCP no more at times."""
    raw = bytearray(bytes(draw(_segments())) + draw(_octets(0, 8)))
    for _ in range(draw(st.integers(0, 4))):
        raw[draw(st.integers(0, len(raw) - 1))] = draw(_bits(8))
    try:
        return decode(bytes(raw))
    except wire.WireError:
        return decode(bytes(draw(_segments())))


st.register_type_strategy(MptcpOption, MPTCP_OPTIONS)
st.register_type_strategy(TcpOption, MPTCP_OPTIONS | OTHER_OPTIONS)
st.register_type_strategy(Segment, _segments())
st.register_type_strategy(Packet, _packets())


def _field(form: str, name: str, value: Any) -> Any:
    if isinstance(value, str):
        return ip_address(value) if (form, name) == ("AddAddr", "address") else bytes.fromhex(value)
    return tuple(map(tuple, value)) if isinstance(value, list) else value


def _vectors() -> list[tuple[bytes, TcpOption]]:
    text = (Path(__file__).parent / "vectors.toml").read_text()
    return [
        (
            bytes.fromhex(entry["octets"]),
            getattr(wire, entry["form"])(
                **{name: _field(entry["form"], name, value) for name, value in entry["fields"].items()}
            ),
        )
        for entry in tomllib.loads(text)["option"]
    ]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test with the argument `vector` or `mptcp_vector` each option that is written out by hand."""
    for name, form in (("vector", TcpOption), ("mptcp_vector", MptcpOption)):
        if name in metafunc.fixturenames:
            vectors = [(octets, option) for octets, option in _vectors() if isinstance(option, form)]
            metafunc.parametrize(name, vectors, ids=[octets.hex() for octets, _ in vectors])


@pytest.fixture(scope="session")
def option_vectors() -> list[tuple[bytes, TcpOption]]:
    """All the options that are written out by hand: their octets, and what they decode to."""
    return _vectors()
