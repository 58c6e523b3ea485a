"""Outcomes and expectations, each met and not met, on runs of the real kernel."""

import msgspec
import pytest

from mbtest.harness.expect import (
    AnswersMpFail,
    CapableAgain,
    Checksums,
    Counted,
    Did,
    FellBack,
    Interfered,
    NoFalseData,
    NoMptcpOptions,
    OneOf,
    ResetsWith,
    Sends,
    Unharmed,
    receiver_of,
    sender_of,
)
from mbtest.harness.expect_paths import NoSubflowOn, Subflows
from mbtest.harness.workload import KIB, Workload
from mbtest.middlebox import Aim, Direction, Kind, Middlebox
from mbtest.results import Fallback, Outcome
from mbtest.wire import RST, MpCapable, MpFail, MpJoin
from middleboxes.drop import DropSegments
from middleboxes.flip_bits import FlipBits
from middleboxes.forget_mappings import FORGOT, ForgetMappings
from middleboxes.portal import PAGE, CaptivePortal
from middleboxes.rewrite_payload import RewritePayload
from middleboxes.strip import StripOptions


def ask(trial, *expectations):
    return [expectation.ask(trial).met for expectation in expectations]


def test_undisturbed(fixture):
    trial = fixture()(client_sends=10 * KIB)
    assert trial.outcome is Outcome.MULTIPATH
    assert (
        ask(
            trial,
            OneOf(Outcome.MULTIPATH),
            OneOf(Outcome.RESET, Outcome.MULTIPATH),
            Unharmed(),
            NoFalseData(),
        )
        == [True] * 4
    )
    assert (
        ask(trial, Checksums(used=False), Sends("client", MpCapable), AnswersMpFail("server")) == [True] * 3
    )
    assert (
        ask(trial, OneOf(Outcome.RESET), FellBack(Fallback.IN_HANDSHAKE), Interfered(StripOptions))
        == [False] * 3
    )
    assert ask(trial, NoMptcpOptions("client"), Checksums(used=True), Subflows(1)) == [False] * 3
    assert ask(trial, Sends("client", MpCapable, at_most=1), CapableAgain(at_most=3)) == [False] * 2
    assert ask(trial, Counted("client", "MPTcpExtMPCapableSYNTX")) == [True]
    assert ask(trial, Counted("client", "MPTcpExtMPFailTx")) == [False]
    assert ask(trial, Counted("client", "MPTcpExtMPFailTx", at_least=0, at_most=0)) == [True]
    assert ask(trial, Counted("client", "MPTcpExtMPCapableSYNTX", at_most=0)) == [False]


def test_fallback_in_the_handshake(fixture):
    trial = fixture()(StripOptions(MpCapable, aim=Aim(kinds=Kind.SYN)), client_sends=10 * KIB)
    assert trial.outcome is Outcome.FELL_BACK
    assert (
        ask(trial, FellBack(Fallback.IN_HANDSHAKE), NoMptcpOptions("client"), Interfered(StripOptions))
        == [True] * 3
    )
    answer = OneOf(Outcome.MULTIPATH).ask(trial)
    assert not answer.met
    assert answer.evidence[0].frame
    assert "no MP_CAPABLE" in answer.evidence[0].words or "MP_CAPABLE" in answer.actual


def test_fallback_by_infinite_mapping(fixture):
    workload = Workload(shape="rounds", rounds=20, client_sends=20 * KIB, server_sends=20 * KIB)
    box = RewritePayload(at=10 * KIB, aim=Aim(direction=Direction.TO_SERVER))
    trial = fixture(checksum=True)(box, workload=workload)
    assert trial.judgement.fallback is Fallback.INFINITE_MAPPING
    assert (
        ask(trial, Sends("server", MpFail), AnswersMpFail("client"), Checksums(used=True), Unharmed())
        == [True] * 4
    )
    false = NoFalseData().ask(trial)
    assert (false.met, false.actual) == (False, "to server, octet 10241 is not what was sent")
    assert false.evidence[0].words == "octet 10241 of the stream, as the server read it, arrives"


def test_once_an_octet_was_wrong_a_missing_end_says_nothing(fixture):
    trial = fixture()(client_sends=KIB, server_sends=KIB)
    first, second = trial.session.streams
    wrong = msgspec.structs.replace(first, first_difference=3, wrong_at=3)
    cut = msgspec.structs.replace(second, end_seen=False)
    trial.session = msgspec.structs.replace(trial.session, streams=(wrong, cut))
    assert Unharmed().ask(trial).actual == "to server, octet 4 is not what was sent"
    trial.session = msgspec.structs.replace(trial.session, streams=(first, cut))
    assert Unharmed().ask(trial).actual == "to client, its end never came"


def test_joined_and_fewer_subflows(fixture):
    make = fixture(topology_name="dual-homed-client")
    joined = make(client_sends=64 * KIB)
    assert joined.outcome is Outcome.MULTIPATH
    assert ask(joined, Subflows(1), NoSubflowOn("c2-s1")) == [True, False]
    fewer = fixture(topology_name="dual-homed-client")(
        StripOptions(MpJoin, aim=Aim(path=1)), client_sends=64 * KIB
    )
    assert fewer.outcome is Outcome.FEWER_SUBFLOWS
    assert ask(fewer, Subflows(1), NoSubflowOn("c2-s1")) == [False, True]
    assert "1 of 2 subflows" in fewer.judgement.reason


def test_reset(fixture):
    class ResetData(Middlebox):
        """Turns the first data into a reset."""

        def process(self, segment, direction):
            return [segment.replace(flags=RST, payload=b"", options=())]

    trial = fixture()(ResetData(aim=Aim(kinds=Kind.FIRST_DATA)), client_sends=KIB, limit=3)
    assert trial.outcome in (Outcome.RESET, Outcome.STALLED)
    assert ask(trial, Unharmed()) == [False]


def test_one_stream_alone_is_whole(fixture):
    portal, sends = CaptivePortal("request"), Workload(client_sends=200, server_sends=len(PAGE))
    trial = fixture()(portal, workload=sends)
    streams = (Unharmed(Direction.TO_CLIENT), Unharmed(Direction.TO_SERVER), Unharmed())
    assert ask(trial, *streams) == [True, False, False]


def test_stalled(fixture):
    trial = fixture()(DropSegments(aim=Aim(kinds=Kind.DATA)), client_sends=KIB, patience=0.5)
    assert trial.outcome is Outcome.STALLED
    assert "the client wrote 1024 of 1024 octets" in trial.judgement.reason


def test_capable_again(fixture):
    capable = Aim(kinds=Kind.SYN, where=lambda segment: segment.option(MpCapable) is not None)
    trial = fixture()(DropSegments(aim=capable), client_sends=KIB, patience=10)
    assert ask(trial, CapableAgain(at_most=3), CapableAgain(at_most=1)) == [True, False]


def test_a_translator_that_translates_has_not_forgotten(fixture):
    expectation = Did(ForgetMappings, FORGOT)
    never = fixture()(ForgetMappings(aim=Aim(from_byte=64 * KIB)), client_sends=KIB)
    assert ask(never, expectation, Interfered(ForgetMappings)) == [False, True]
    once = fixture()(ForgetMappings(aim=Aim(from_byte=100)), client_sends=KIB)
    assert ask(once, expectation, Did(ForgetMappings, FORGOT, at_least=2)) == [True, False]
    assert expectation.ask(never).actual == "it did 0 times"


def test_reasons_of_resets(fixture):
    box = FlipBits("hmac", aim=Aim(path=1, kinds=Kind.SYN_ACK))
    trial = fixture(topology_name="dual-homed-client")(box, client_sends=64 * KIB)
    either = ResetsWith("either host", 1)
    assert ask(trial, ResetsWith("client", 1), ResetsWith("client", 1, path="c2-s1"), either) == [True] * 3
    for wrong in (ResetsWith("client", 6), ResetsWith("client", 1, path="c1-s1"), ResetsWith("server", 1)):
        assert not wrong.ask(trial).met
    answer = ResetsWith("client", 6).ask(trial)
    assert answer.expected == "the client resets with reason 6, middlebox interference"
    assert "with reason 1, MPTCP-specific error" in answer.actual
    assert answer.evidence
    assert ResetsWith("server", 1).ask(trial).actual == "it sent no RST"


def test_who_sends():
    assert (sender_of(Direction.TO_SERVER), receiver_of(Direction.TO_SERVER)) == ("client", "server")
    assert (sender_of(Direction.TO_CLIENT), receiver_of(Direction.TO_CLIENT)) == ("server", "client")


@pytest.mark.parametrize("stacks", [("tcp", "tcp"), ("linux", "tcp"), ("tcp", "linux")])
def test_regular_tcp_on_either_side_is_a_fallback_in_the_handshake(fixture, stacks):
    trial = fixture(stacks=stacks)(client_sends=10 * KIB)
    assert trial.judgement.fallback is Fallback.IN_HANDSHAKE
    assert ask(trial, Unharmed()) == [True]
