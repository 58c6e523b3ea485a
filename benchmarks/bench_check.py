"""`mbtest check` on long captures: octets of a file per CPU second, and whether memory grows with it."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.record import record
from mbtest.network.capture import Capture
from mbtest.wire import ACK, FIN, PSH, SYN, Dss, MaximumSegmentSize, MpCapable, Segment, TcpOption, Timestamps
from mbtest.wire.keys import initial_data_sequence_number

MB = 1_000_000
PIECE = 1_400
KEYS = {"client": 0x0123456789ABCDEF, "server": 0xFEDCBA9876543210}
PEER = {"client": "server", "server": "client"}


class _Talk:
    """A connection whose client sends, as it crosses one end of a path."""

    def __init__(self, capture: Capture, number: int, acknowledged: bool = True) -> None:
        """Begin. number: of the connection, from 0. acknowledged: whether the server's ACKs are captured."""
        self._capture, self._acknowledged = capture, acknowledged
        self._ends = {"client": ("198.18.1.2", 10_000 + number), "server": ("198.19.1.2", 80)}
        self._next = {"client": 1_000, "server": 9_000}
        self._keys = {role: key + number for role, key in KEYS.items()}
        self._data = {role: initial_data_sequence_number(key) + 1 for role, key in self._keys.items()}

    def transfer(self, octets: int) -> None:
        """Open the connection, send octets, and close it."""
        self._send("client", SYN, (MaximumSegmentSize(1460), MpCapable()))
        self._send(
            "server", SYN | ACK, (MaximumSegmentSize(1460), MpCapable(sender_key=self._keys["server"]))
        )
        self._send(
            "client", ACK,
            (MpCapable(sender_key=self._keys["client"], receiver_key=self._keys["server"]),),
        )  # fmt: skip
        payload = bytes(range(256)) * 6
        for at in range(0, octets, PIECE):
            piece = payload[: min(PIECE, octets - at)]
            mapping = Dss(
                data_ack=self._data["server"], data_ack_64=True, dsn=self._data["client"], dsn_64=True,
                subflow_sequence=self._next["client"] - 1_000, length=len(piece),
            )  # fmt: skip
            self._send("client", ACK | PSH, (Timestamps(1, 1), mapping), piece)
            self._data["client"] += len(piece)
            if self._acknowledged:
                self._send(
                    "server", ACK, (Timestamps(1, 1), Dss(data_ack=self._data["client"], data_ack_64=True))
                )
        for role in ("client", "server"):
            self._send(role, FIN | ACK, ())
        self._send("client", ACK, ())

    def _send(self, sender: str, flags: int, options: tuple[TcpOption, ...], payload: bytes = b"") -> None:
        peer = PEER[sender]
        segment = Segment.build(
            self._ends[sender][0], self._ends[peer][0], self._ends[sender][1], self._ends[peer][1],
            seq=self._next[sender], ack=self._next[peer] if flags & ACK else 0, flags=flags, options=options,
            payload=payload, window=65_535,
        )  # fmt: skip
        self._next[sender] += len(payload) + bool(flags & (SYN | FIN))
        self._capture.record(len(self._capture) * 20, 0, sender == "server", segment.raw)


def make(file: Path, connections: int, octets: int, acknowledged: bool = True) -> None:
    """Write a capture of connections, one after the other, that each send `octets`."""
    capture = Capture(("c1-s1/client",))
    for number in range(connections):
        _Talk(capture, number, acknowledged).transfer(octets)
    capture.write(file)


def checked(file: Path) -> tuple[float, float]:
    """Check a file in a process of its own, and return its CPU seconds and its largest size in MiB."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    # The largest child's size is told by a small process: what a large one starts is counted at its size.
    script = (
        "import resource, subprocess, sys\n"
        "subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    words = [sys.executable, "-c", script, sys.executable, "-m", "mbtest", "check", str(file)]
    told = subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime), int(told) / 1024


def main() -> None:
    """Measure one long connection, one without ACKs, and many short ones; the start of Python is left out."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "check.pcapng")
        make(file, 1, 1)
        start, _ = checked(file)
        for what, connections, octets, acknowledged in (
            ("one connection", 1, 20 * MB, True),
            ("one connection, longer", 1, 80 * MB, True),
            ("one direction alone", 1, 80 * MB, False),
            ("many connections", 2_000, 20_000, True),
            ("more connections", 8_000, 5_000, True),
        ):
            make(file, connections, octets, acknowledged)
            size = file.stat().st_size
            wall = time.monotonic()
            seconds, memory = checked(file)
            wall = time.monotonic() - wall
            rate = size / MB / max(seconds - start, 1e-3)
            record(f"check of {size / MB:.0f} MB, {what}", round(rate, 1), "MB per CPU second")
            record(f"  its time on the wall, {what}", round(wall, 1), "s")
            record(f"  its largest size, {what}", round(memory), "MiB")


if __name__ == "__main__":
    main()
