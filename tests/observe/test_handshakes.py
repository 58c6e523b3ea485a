"""What handshakes do to what a host knows."""

import pytest

from mbtest.observe.handshakes import proof
from mbtest.observe.state import Manner, Mode
from mbtest.wire import ACK, SYN, MpCapable
from tests.observe.conversation import KEYS, SYN_OPTIONS, Talk


def connection(talk: Talk, who: str = "client"):
    return talk.traced().hosts[who].connections[0]


def test_a_refusal():
    talk = Talk()
    talk.send("client", *SYN_OPTIONS, MpCapable(), flags=SYN)
    talk.send("server", *SYN_OPTIONS, flags=SYN | ACK)
    found = connection(talk)
    assert (found.mode, found.fallback.manner) == (Mode.TCP, Manner.REFUSED)


@pytest.mark.parametrize("mine", [0x01, 0x81])
@pytest.mark.parametrize("theirs", [0x01, 0x81])
def test_checksums_are_used_where_either_asks(mine, theirs):
    talk = Talk()
    talk.send("client", *SYN_OPTIONS, MpCapable(mine), flags=SYN)
    talk.send("server", *SYN_OPTIONS, MpCapable(theirs, KEYS["server"]), flags=SYN | ACK)
    assert connection(talk).checksum is (0x81 in (mine, theirs))


def test_flag_c():
    talk = Talk()
    talk.send("client", *SYN_OPTIONS, MpCapable(), flags=SYN)
    talk.send("server", *SYN_OPTIONS, MpCapable(0x21, KEYS["server"]), flags=SYN | ACK)
    assert connection(talk).no_join
    assert not connection(talk, "server").no_join


def test_the_proof_of_each_side():
    talk = Talk().established()
    flow = talk.join()
    found = connection(talk)
    subflow = found.subflows[1]
    assert proof(found, subflow, 20, own=True) == talk.proof("client", flow)[:20]
    assert proof(found, subflow, 8, own=False) == talk.proof("server", flow)[:8]
    found.peer_key = None
    assert proof(found, subflow, 8, own=False) is None
