"""What tshark says of a capture: somebody else's reading, who knows nothing of our codec."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

_COMPLAINTS = (
    "_ws.malformed", "mptcp.connection.echoed_key_mismatch", "mptcp.connection.missing_algorithm",
    "mptcp.connection.unsupported_algorithm", "mptcp.dss.infinite_mapping", "tcp.option.len.invalid",
)  # fmt: skip
"""Fields of tshark that are there where it finds a packet wrong."""
# TCP checksums are left to the verifier: Linux sends 0xffff for 0x0000, which RFC 1624 has nobody mind.
_SEVERE = "_ws.expert.severity == error"
_FIELDS = ("frame.number", "tcp.stream", "mptcp.stream", "_ws.expert.message", "tcp.options.mptcp.subtype")


def ask(file: Path, subflows: int, ports: Iterable[int]) -> None:
    """See that nothing is wrong in a capture, and that all its `subflows` belong to one connection.

    ports: of the servers. Octets that were drawn by chance are no HTTP, whatever the port.
    """
    fields = [*_FIELDS, *_COMPLAINTS]
    command = ["tshark", "-n", "-r", str(file), "-T", "fields"]
    command += [word for port in ports for word in ("-d", f"tcp.port=={port},data")]
    command += [word for field in fields for word in ("-e", field)]
    wrong = f"{_SEVERE} || {' || '.join(_COMPLAINTS)}"
    ran = subprocess.run(
        [*command, "-Y", f"{wrong} || tcp.options.mptcp.subtype <= 1"],
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [line.split("\t") for line in ran.stdout.splitlines()]
    complaints = [row for row in rows if any(row[len(_FIELDS) :]) or not {"0", "1"} & set(row[4].split(","))]
    assert complaints == [], "tshark: frame, subflow, connection, complaint"
    streams = {row[1]: row[2] for row in rows if row[2]}
    assert list(streams.values()) == subflows * ["0"], "tshark: all subflows belong to one connection"
