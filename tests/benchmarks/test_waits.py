"""Which timer a run waited for, told from its packets."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from benchmarks.waits import silences_of, wait_of
from mbtest.results import Control, Outcome
from mbtest.wire import ACK, FIN, RST, SYN, AddAddr, Dss, Segment
from tests.reports.conftest import ENDS, Talk, make_run

SECOND = 1_000_000


class Slow(Talk):
    """A conversation in which a host may send again what it sent before."""

    def again(self, sender: str, flags: int, back: int, payload: bytes = b"", after: int = SECOND) -> None:
        """Send a segment whose number lies `back` behind the next, after a silence."""
        self.next[sender] -= back
        self.send(sender, flags, (), payload, after)
        self.next[sender] += back - len(payload) - bool(flags & (SYN | FIN))

    def window(self, sender: str, octets: int) -> None:
        """Offer a window."""
        peer = "server" if sender == "client" else "client"
        self.time += 90
        self.pass_on(sender, Segment.build(
            ENDS[sender][0], ENDS[peer][0], ENDS[sender][1], ENDS[peer][1],
            seq=self.next[sender], ack=self.next[peer], flags=ACK, window=octets,
        ))  # fmt: skip


@pytest.fixture
def slow() -> Slow:
    conversation = Slow()
    conversation.handshake()
    conversation.data("client", b"x" * 100)
    return conversation


def waited(conversation, folder, **changed):
    """Return the timers of the silences before the end of the run."""
    file = folder / "capture.pcapng"
    conversation.capture.write(file)
    return [silence for silence in silences_of(make_run(seconds=0, **changed), file) if silence.frame]


def test_each_expiry_of_a_retransmission_timer_is_counted(slow, tmp_path):
    for after in (SECOND, 2 * SECOND):
        slow.again("client", ACK, 100, b"x" * 100, after)
    found = waited(slow, tmp_path)
    assert [round(silence.seconds) for silence in found] == [1, 2]
    assert {silence.timer for silence in found} == {"the client's retransmission timeout"}
    assert [silence.detail for silence in found] == [f"retransmission {n} of this segment" for n in (1, 2)]


def test_a_syn_that_comes_again(tmp_path):
    conversation = Slow()
    conversation.send("client", SYN)
    conversation.again("client", SYN, 1)
    (silence,) = waited(conversation, tmp_path)
    assert (silence.timer, silence.frame) == ("the client's SYN retransmission", 3)


def test_a_closed_window_is_probed(slow, tmp_path):
    slow.window("server", 0)
    slow.again("client", ACK, 1)
    slow.again("client", ACK, 1)
    assert {silence.timer for silence in waited(slow, tmp_path)} == {"the client's probe of a closed window"}
    slow.window("server", 100)
    slow.again("client", ACK, 1)
    assert waited(slow, tmp_path)[-1].timer == "the client's delayed ACK, or probe with nothing in it"


def test_data_that_comes_again_with_other_numbers_of_its_subflow(slow, tmp_path):
    slow.time += SECOND
    slow.dsn["client"] -= 100
    slow.data("client", b"x" * 100)
    (silence,) = waited(slow, tmp_path)
    assert silence.timer == "the client's retransmission at the level of the connection"


@pytest.mark.parametrize(
    ("flags", "options", "payload", "timer"),
    [
        (ACK | RST, (), b"", "reset: a timeout, or the end of its socket"),
        (ACK | FIN, (), b"", "FIN: its close"),
        (ACK, (), b"new", "new data: its application, or a window that opened"),
        (ACK, (AddAddr(2, ip_address("198.19.2.2")),), b"", "ADD_ADDR"),
        (ACK, (Dss(data_fin=True, dsn=1, subflow_sequence=0, length=1),), b"", "DATA_FIN: its close"),
    ],
)
def test_what_ends_a_silence(slow, tmp_path, flags, options, payload, timer):
    slow.send("server", flags, options, payload, after=SECOND)
    (silence,) = waited(slow, tmp_path)
    assert silence.timer == f"the server's {timer}"
    if options:
        slow.send("server", flags, options, payload, after=SECOND)
        assert waited(slow, tmp_path)[-1].timer == f"the server's {timer.partition(':')[0]} retransmission"


def test_a_box_that_sends_late(slow, tmp_path):
    held = slow.capture.record(
        slow.time + SECOND, 1, True, Segment.build("198.18.1.2", "198.19.1.2", 1, 2).raw
    )
    slow.capture.annotate(held, "DelaySegments sent it")
    (silence,) = waited(slow, tmp_path)
    assert (silence.timer, silence.detail) == ("a box", "DelaySegments sent it")


def test_all_silences_of_a_timer_together_are_what_a_run_waited_for(slow, tmp_path):
    slow.again("client", ACK, 100, b"x" * 100, SECOND)
    slow.send("server", ACK, (), b"new", 3 * SECOND // 2)
    slow.again("client", ACK, 100, b"x" * 100, SECOND)
    file = tmp_path / "capture.pcapng"
    slow.capture.write(file)
    words = "2.00 s for the client's retransmission timeout, in 2 silences, the longest 1.00 s"
    assert wait_of(make_run(seconds=3.5), file).startswith(words)
    assert wait_of(make_run(seconds=9, outcome=Outcome.STALLED), file) == "5.50 s for the harness's patience"
    control = Control(kind="pass-through", outcome=Outcome.MULTIPATH, reason="")
    assert wait_of(make_run(seconds=9, controls=(control,)), file) == (
        "5.50 s for no timer, but building the network, judging, and controls"
    )


def test_a_run_without_a_silence(slow, tmp_path):
    file = tmp_path / "capture.pcapng"
    slow.capture.write(file)
    assert wait_of(make_run(seconds=0.001), file) == "no silence: packets all the time"
