"""What the kernel reports of itself: its messages, and the faults among them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mbtest.stacks.kernel_log import DEVICE, LONGEST, Alarms, KernelLog, Record, parse

# As Linux 6.18 wrote them, the registers left out.
DIVISION = """
Oops: divide error: 0000 [#1] SMP NOPTI
CPU: 0 UID: 0 PID: 9 Comm: kworker/0:0 Not tainted 6.18.44 #1 PREEMPT(none)
Workqueue: events mptcp_worker
RIP: 0010:tcp_tso_segs+0x6a/0xa0
Call Trace:
 <TASK>
 tcp_write_xmit+0x87/0x1760
 __tcp_push_pending_frames+0x35/0xe0
 __mptcp_push_pending+0x172/0x230
 mptcp_release_cb+0x22b/0x3d0
 release_sock+0x8f/0xa0
 mptcp_worker+0x12c/0x4f0
 </TASK>
---[ end trace 0000000000000000 ]---
""".strip().splitlines()
WARNING = """
WARNING: CPU: 1 PID: 4711 at net/mptcp/protocol.c:1299 mptcp_sendmsg_frag+0x1/0x2
RIP: 0010:mptcp_sendmsg_frag+0x1/0x2
---[ end trace 0000000000000000 ]---
""".strip().splitlines()


def records(lines: list[str], at: float = 202.878301) -> list[Record]:
    return [Record(at + number / 1000, line) for number, line in enumerate(lines)]


def test_a_record_has_a_time_and_a_text() -> None:
    raw = b"4,1234,202878301,-,caller=T9;Oops: divide error: 0000 [#1] SMP NOPTI\n SUBSYSTEM=x\n DEVICE=y\n"
    assert parse(raw) == Record(202.878301, "Oops: divide error: 0000 [#1] SMP NOPTI")


@pytest.mark.parametrize("raw", [b"", b";", b"nonsense", b"1,2;x", b"a,b,c,d;\xff", b"6,1,,-;x"])
def test_a_record_of_another_form_is_none_the_less_one(raw: bytes) -> None:
    assert parse(raw).seconds == 0


def test_an_oops_is_told_with_its_place_and_its_work() -> None:
    (alarm,) = Alarms().take(
        records(["eth0: link becomes ready", *DIVISION, "RIP: 0010:tcp_tso_segs+0x6a/0xa0"])
    )
    assert alarm.title == "Oops: divide error: 0000 [#1] SMP NOPTI, in tcp_tso_segs, of the work mptcp_worker"
    assert list(alarm.lines) == DIVISION
    assert alarm.pid == 9
    assert alarm.seconds == pytest.approx(202.879301)


def test_a_warning_names_the_process_that_it_came_up_in() -> None:
    (alarm,) = Alarms().take(records(WARNING))
    assert (alarm.pid, alarm.title) == (4711, WARNING[0])


def test_a_report_may_come_in_parts() -> None:
    alarms = Alarms()
    assert alarms.take(records(DIVISION[:5])) == []
    assert alarms.take(records(DIVISION[5:9])) == []
    (alarm,) = alarms.take(records(DIVISION[9:]))
    assert list(alarm.lines) == DIVISION


def test_a_report_without_an_end_ends_when_nothing_more_comes() -> None:
    alarms = Alarms()
    assert alarms.take(records(DIVISION[:4])) == []
    (alarm,) = alarms.take([])
    assert list(alarm.lines) == DIVISION[:4]
    assert alarms.take([]) == []


def test_a_report_ends_where_the_next_begins_and_where_it_grows_too_long() -> None:
    first, second = Alarms().take(records([*DIVISION[:4], *WARNING]))
    assert (list(first.lines), list(second.lines)) == (DIVISION[:4], WARNING)
    (long,) = Alarms().take(records([DIVISION[0], *["x"] * LONGEST]))
    assert len(long.lines) == LONGEST


@pytest.mark.parametrize(
    "line",
    [
        "mbtest: Oops", "TCP: request_sock_TCPv6: Possible SYN flooding on port [::]:80. Sending cookies.",
        "IPv6: ADDRCONF(NETDEV_CHANGE): v0: link becomes ready", "Oopsie", "",
    ],
)  # fmt: skip
def test_other_messages_are_no_fault(line: str) -> None:
    alarms = Alarms()
    assert alarms.take(records([line])) == []
    assert alarms.take([]) == []


def test_messages_are_read_from_now_on() -> None:
    try:
        log = KernelLog()
    except OSError as error:
        pytest.skip(f"the kernel's messages are not for this user: {error}")
    if not os.access(DEVICE, os.W_OK):
        pytest.skip("only root can have the kernel say something")
    words = f"mbtest: said by process {os.getpid()}"
    # What other programs have it say meanwhile comes as well.
    Path(DEVICE).write_text(f"<6>{words}\n", encoding="utf-8")
    found = list(log.records())
    assert [record.text for record in found].count(words) == 1
    assert all(record.seconds > 0 for record in found)
    assert words not in [record.text for record in log.records()]
    log.close()
