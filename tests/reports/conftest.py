"""Small result directories: conversations with boxes in them, captured as a run would have them captured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from mbtest import results
from mbtest.network.capture import Capture
from mbtest.results import (
    BoxUse,
    Evidence,
    Finding,
    Level,
    Outcome,
    Provenance,
    Results,
    Run,
    StackState,
    Stream,
    Verdict,
)  # fmt: skip
from mbtest.wire import (
    ACK,
    FIN,
    PSH,
    SYN,
    Dss,
    MaximumSegmentSize,
    MpCapable,
    MptcpOption,
    SackPermitted,
    Segment,
    TcpOption,
    Timestamps,
    WindowScale,
)  # fmt: skip
from mbtest.wire.describe import changes
from mbtest.wire.keys import initial_data_sequence_number

CLIENT_KEY, SERVER_KEY = 0x0123456789ABCDEF, 0xFEDCBA9876543210
ENDS = {"client": ("198.18.1.2", 41234), "server": ("198.19.1.2", 5001)}
PEER = {"client": "server", "server": "client"}
POINTS = ("c1-s1/client", "c1-s1/server", "c2-s1/client", "c2-s1/server")
ISN = {"client": 3_000_000_000, "server": 77}

Box = Callable[[str, Segment], "Sequence[Segment]"]


class Talk:
    """An MPTCP connection of one subflow, one packet at a time, through a box."""

    def __init__(
        self,
        capture: Capture | None = None,
        path: str = "c1-s1",
        box: Box | None = None,
        points: Any = POINTS,
    ) -> None:
        self.capture = capture or Capture(points)
        self.path, self.box = path, box
        self.ends = dict(ENDS)
        self.time = 1_000_000
        self.next = dict(ISN)
        self.dsn = {
            "client": initial_data_sequence_number(CLIENT_KEY) + 1,
            "server": initial_data_sequence_number(SERVER_KEY) + 1,
        }

    def send(
        self,
        sender: str,
        flags: int,
        options: Sequence[TcpOption] = (),
        payload: bytes = b"",
        after: int = 90,
    ) -> int:
        """Send a segment; return the number of the frame at the sender's side."""
        self.time += after
        peer = PEER[sender]
        segment = Segment.build(
            self.ends[sender][0], self.ends[peer][0], self.ends[sender][1], self.ends[peer][1],
            seq=self.next[sender], ack=self.next[peer] if flags & ACK else 0,
            flags=flags, options=options, payload=payload, window=502,
        )  # fmt: skip
        self.next[sender] += len(payload) + bool(flags & (SYN | FIN))
        return self.pass_on(sender, segment)

    def pass_on(self, sender: str, segment: Segment, after: int = 40) -> int:
        """Have a segment captured, go through the box, and captured again."""
        out = self.box(sender, segment) if self.box else [segment]
        entry = self.capture.record(self.time, self._point(sender), False, segment.raw)
        if not out:
            self.capture.annotate(entry, "DropSegments dropped it")
        self.time += after
        for piece in out:
            left = self.capture.record(self.time, self._point(PEER[sender]), True, piece.raw, entry)
            if len(out) > 1:
                self.capture.annotate(left, f"SplitSegments made {len(out)} segments of it")
            elif piece is not segment:
                self.capture.annotate(left, f"StripOptions {changes(segment, piece)}")
        return entry

    def _point(self, side: str) -> int:
        return self.capture.points.index(f"{self.path}/{side}")

    def handshake(self) -> None:
        """Open the connection."""
        usual = (MaximumSegmentSize(1460), SackPermitted(), Timestamps(1, 0), WindowScale(7))
        self.send("client", SYN, (*usual, MpCapable()))
        self.send("server", SYN | ACK, (*usual, MpCapable(sender_key=SERVER_KEY)))
        self.send(
            "client", ACK, (Timestamps(2, 1), MpCapable(sender_key=CLIENT_KEY, receiver_key=SERVER_KEY))
        )

    def data(self, sender: str, payload: bytes, mptcp: bool = True) -> int:
        """Send data, and have it acknowledged. Return the first frame of the data."""
        peer = PEER[sender]
        dss = Dss(
            data_ack=self.dsn[peer], data_ack_64=True, dsn=self.dsn[sender], dsn_64=True,
            subflow_sequence=(self.next[sender] - ISN[sender]) & 0xFFFFFFFF, length=len(payload),
            checksum=0x1234,
        )  # fmt: skip
        frame = self.send(sender, ACK | PSH, (dss,) if mptcp else (Timestamps(5, 6),), payload)
        self.dsn[sender] += len(payload)
        back = Dss(data_ack=self.dsn[sender], data_ack_64=True)
        self.send(peer, ACK, (Timestamps(3, 2), back) if mptcp else (Timestamps(3, 2),))
        return frame

    def close(self) -> None:
        """End both directions."""
        for sender in ("client", "server"):
            self.send(sender, ACK | FIN)
        self.send("client", ACK)


def make_run(number: int = 0, **changed: Any) -> Run:
    """Return a passing run; `changed` replaces fields."""
    fields: dict[str, Any] = {
        "id": f"handshake.example-{number}/linux/linux/v4/to_server/off",
        "case": f"handshake.example-{number}",
        "topic": "handshake",
        "title": "The client continues as regular TCP when MP_CAPABLE is stripped.",
        "client": "linux",
        "server": "linux",
        "family": "v4",
        "direction": "to_server",
        "checksum": False,
        "seed": 1,
        "topology": "one-path",
        "verdict": Verdict.PASS,
        "outcome": Outcome.MULTIPATH,
        "reason": "all that the case asks for holds",
        "level": Level.MUST,
        "requirements": ("RFC8684-3.7/syn-option-lost",),
        "seconds": 0.412,
        "findings": (Finding("the outcome is multipath", "multipath", True, evidence=(Evidence(1, "SYN"),)),),
        "boxes": (BoxUse("c1-s1", "StripOptions(MpCapable)", 2),),
        "streams": (Stream("to_server", 65536, 65536, 65536, end_seen=True),),
        "stacks": {
            "client": StackState(
                "linux", True, {"MPTcpExtMPCapableSYNTX": 1, "TcpExtTCPPureAcks": 4}, {"token": 7}
            ),
            "server": StackState("linux", False, {"MPTcpExtMPCapableSYNRX": 1}),
        },
        "artifacts": {"capture": f"captures/{number}.pcapng"},
        "repeat": f"mbtest run handshake.example-{number} --family v4 --seed 1",
    }  # fmt: skip
    return Run(**fields | changed)


def make_results(runs: Sequence[Run], **changed: Any) -> Results:
    """Return results of these runs; `changed` replaces fields of the provenance."""
    fields: dict[str, Any] = {
        "mbtest": "0.1.0",
        "revision": "0123456789abcdef0123456789abcdef01234567",
        "kernel": "Linux 6.18.44",
        "machine": "x86_64",
        "python": "3.11.2",
        "processors": 2,
        "libraries": {"scapy": "2.8.0"},
        "privileges": "root",
        "started": "2025-11-21T03:19:00Z",
        "seconds": 41.3,
        "command": "mbtest run",
        "seed": 1,
        "jobs": 4,
        "sysctls": {"net.mptcp.enabled": "1"},
    }
    return Results(provenance=Provenance(**fields | changed), runs=tuple(runs))


@pytest.fixture
def talk() -> type[Talk]:
    """What makes a conversation."""
    return Talk


@pytest.fixture
def conversation(talk: type[Talk]) -> Talk:
    """A connection that a box takes out of MPTCP."""
    made = talk(box=lambda _, segment: [segment.without_options(MptcpOption)])
    made.handshake()
    made.data("client", b"x" * 1428)
    made.close()
    return made


@pytest.fixture
def run() -> Callable[..., Run]:
    """What makes a run: a number and the fields that are to differ."""
    return make_run


@pytest.fixture
def found() -> Callable[..., Results]:
    """What makes results of runs."""
    return make_results


@pytest.fixture
def directory(tmp_path: Path) -> Callable[..., Path]:
    """What makes a run directory of results and captures (by file name)."""

    def make(found: Results, captures: Mapping[str, Capture] | None = None) -> Path:
        results.write(found, tmp_path)
        for name, capture in (captures or {}).items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            capture.write(tmp_path / name)
        return tmp_path

    return make
