"""The wire codec: microseconds for what the path of every frame does, and for what some frames need."""

from __future__ import annotations

import timeit
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

from benchmarks.record import record
from mbtest.wire import Dss, MpCapable, MptcpOption, NoOperation, Sack, Segment, Timestamps, decode
from mbtest.wire.describe import one_line

ROUNDS, CALLS = 7, 20_000


def microseconds(call: Callable[[], object]) -> float:
    """Return what one call takes, of the fastest of some rounds: the others shared the machine."""
    return min(timeit.repeat(call, number=CALLS, repeat=ROUNDS)) / CALLS * 1e6


def measure(version: int, source: str, destination: str) -> None:
    """Measure on a full-sized data segment: timestamps, a DSS, and 1280 octets of payload."""
    clock = (NoOperation(), NoOperation(), Timestamps(1, 2))
    dss = Dss(data_ack=5, dsn=7, subflow_sequence=1, length=1280, data_ack_64=True, dsn_64=True)
    payload = bytes(range(256)) * 5
    one = Segment.build(source, destination, 40000, 80, seq=5, ack=6, options=(*clock, dss), payload=payload)
    plain = one.with_options(clock)
    raw, address = bytes(one), ip_address(destination)
    read: Callable[[bytes], Any] = decode
    # The options of `one` stay undecoded, as those of a frame that just came in.
    calls: dict[str, Callable[[], object]] = {
        "decode": lambda: read(raw),
        "decode and strip MPTCP": lambda: read(raw).without_options(MptcpOption).raw,
        "strip MPTCP": lambda: one.without_options(MptcpOption),
        "strip MPTCP where there is none": lambda: plain.without_options(MptcpOption),
        "strip MP_CAPABLE where there is a DSS": lambda: one.without_options(MpCapable),
        "replace seq": lambda: one.replace(seq=77),
        "replace seq and ack": lambda: one.replace(seq=77, ack=78),
        "replace source and port": lambda: one.replace(source=address, source_port=9),
        "replace payload": lambda: one.replace(payload=payload),
        "replace options": lambda: one.replace(options=clock),
        "decode all options": lambda: read(raw).options,
        "look for SACK": lambda: read(raw).option(Sack),
        "flow": lambda: one.flow,
        "seq": lambda: one.seq,
        "check the checksum": one.checksum_is_right,
        "describe in one line": lambda: one_line(read(raw)),
    }
    for name, call in calls.items():
        record(f"wire v{version}: {name}", round(microseconds(call), 3), "µs")


def main() -> None:
    """Measure both IP versions."""
    measure(4, "192.0.2.1", "192.0.2.2")
    measure(6, "2001:db8::1", "2001:db8::2")


if __name__ == "__main__":
    main()
