"""What the applications do, over the kernel's own sockets."""

import msgspec
import pytest

from mbtest.errors import UsageError
from mbtest.harness.judge import judge
from mbtest.harness.workload import ABORTED, KIB, Workload, content
from mbtest.middlebox import MILLISECOND, SECOND, Aim, Direction
from mbtest.results import Outcome
from middleboxes.delay import DelaySegments
from middleboxes.rewrite_payload import RewritePayload


def test_content_is_known_in_advance_and_does_not_repeat():
    data = content(7, Direction.TO_SERVER, 64 * KIB)
    assert data == content(7, Direction.TO_SERVER, 64 * KIB)
    assert data[:1000] == content(7, Direction.TO_SERVER, 1000)
    assert data != content(7, Direction.TO_CLIENT, 64 * KIB)
    assert data != content(8, Direction.TO_SERVER, 64 * KIB)
    assert len({data[at : at + 8] for at in range(0, len(data), 8)}) == len(data) // 8


@pytest.mark.parametrize(
    "said",
    [
        {"client_sends": -1},
        {"shape": "rounds", "rounds": 0, "client_sends": 1, "server_sends": 1},
        {"shape": "rounds", "rounds": 5, "client_sends": 4, "server_sends": 5},
        {"client_sends": 3, "client_begins": b"GET "},
    ],
)
def test_what_cannot_be_sent_is_refused(said):
    with pytest.raises(UsageError, match="workload"):
        Workload(**said)


@pytest.mark.parametrize("family", ["v4", "v6"])
@pytest.mark.parametrize(
    "workload",
    [
        Workload(),
        Workload(client_sends=1),
        Workload(server_sends=1),
        Workload(client_sends=100_000, server_sends=100_000),
        Workload(client_sends=50_000, ends_early=True),
        Workload(shape="rounds", rounds=7, client_sends=700, server_sends=70_000),
        Workload(shape="rounds", rounds=7, overlap=True, client_sends=700, server_sends=70_000),
        Workload(shape="half_close", client_sends=10_000, server_sends=10_000),
        Workload(client_sends=3_000, client_begins=b"GET ", server_sends=4, server_begins=b"220 "),
    ],
    ids=["nothing", "client", "server", "together", "ends early", "rounds", "overlap", "half close", "text"],
)
def test_every_octet_arrives(fixture, workload, family):
    trial = fixture(family=family)(workload=workload)
    to_server, to_client = trial.session.streams
    assert to_server.received == to_server.sent == to_server.intended == workload.client_sends
    assert to_client.received == to_client.sent == to_client.intended == workload.server_sends
    assert to_server.first_difference is to_client.first_difference is None
    assert to_server.end_seen
    assert to_client.end_seen
    assert trial.session.stuck == ""


def test_a_stream_begins_as_the_workload_says_and_goes_on_by_chance():
    workload = Workload(client_sends=1000, client_begins=b"GET / HTTP/1.1", server_sends=1000)
    client = workload.stream("client", 7)
    assert client[:14] == b"GET / HTTP/1.1"
    assert client[14:] == content(7, Direction.TO_SERVER, 1000)[14:]
    assert workload.stream("server", 7) == content(7, Direction.TO_CLIENT, 1000)


@pytest.mark.parametrize("overlap", [False, True])
def test_rounds_may_overlap(fixture, overlap):
    # Without it no data of the client's goes out before the last octet of the server's part came in.
    sizes = {"client_sends": 4 * KIB, "server_sends": 4 * 48 * KIB}
    stacks = ("reference", "reference")
    trial = fixture(stacks=stacks, network="simulated")(
        DelaySegments(10 * MILLISECOND), workload=Workload(shape="rounds", rounds=4, overlap=overlap, **sizes)
    )
    client = trial.session.observation.client.initial
    data = [one.frame for one in client.sent.segments if one.segment.payload]
    second = data[1]
    before = sum(one.segment.payload_length for one in client.received.segments if one.frame < second)
    assert (before < 48 * KIB) is overlap
    assert before >= 24 * KIB


@pytest.mark.parametrize("stacks", [("linux", "linux"), ("reference", "linux"), ("linux", "reference")])
def test_a_host_aborts_in_mid_transfer(fixture, stacks):
    workload = Workload(server_sends=512 * KIB, aborts="client", aborts_after=10 * KIB)
    session = fixture(stacks=stacks)(workload=workload).session
    assert session.errors["client"] == ABORTED
    assert session.errors["server"] not in ("", ABORTED)
    assert session.stream(Direction.TO_CLIENT).received >= 10 * KIB
    assert not session.stuck


def test_the_server_answers_after_the_clients_end(fixture):
    trial = fixture()(workload=Workload(shape="half_close", client_sends=5_000, server_sends=5_000))
    server = trial.session.observation.server
    data = [seen.frame for seen in server.initial.sent.segments if seen.segment.payload_length]
    assert trial.session.observation.connection("client").own.fin_frame < min(data)


def test_octets_that_a_box_changed_are_told_apart(fixture):
    trial = fixture()(RewritePayload(at=1000), client_sends=5_000)
    stream = trial.session.streams[0]
    assert stream.first_difference == 1000
    assert stream.expected_difference
    assert stream.wrong_at is None
    assert trial.outcome is Outcome.MULTIPATH


class Secretly(RewritePayload):
    """Says that it changes nothing."""

    def delivers(self, stream, direction):
        return stream


def test_what_a_box_changed_without_saying_so_is_not_the_stacks(fixture):
    trial = fixture()([RewritePayload(at=1000), Secretly(at=3000)], client_sends=5_000)
    stream = trial.session.streams[0]
    # Both sides of the boxes show that it was changed on the way.
    assert (stream.first_difference, stream.wrong_at, stream.due) == (1000, None, 5_000)
    assert trial.outcome is Outcome.MULTIPATH


def test_what_is_wrong_is_told_apart_from_what_a_box_changed(fixture):
    session = fixture()([RewritePayload(at=1000)], client_sends=5_000).session
    # As if the stack had read another octet there.
    wrong = msgspec.structs.replace(session.streams[0], wrong_at=3000)
    found = judge(msgspec.structs.replace(session, streams=(wrong, session.streams[1])))
    assert found.outcome is Outcome.CORRUPTED
    assert found.reason == "to server, octet 3001 is not what regular TCP through the boxes delivers"
    [evidence] = found.evidence
    assert evidence.words == "octet 3001 of the stream, as the server read it, arrives"


def test_a_stream_that_undoes_what_a_box_did_is_followed_to_its_end(fixture):
    # Checksums find what is altered on the first path, and the second brings it again. It goes on for longer
    # than a stream that is wrong is followed.
    boxes = [RewritePayload(at=2 * KIB, aim=Aim(path=0)), DelaySegments(200 * MILLISECOND)]
    stacks = ("reference", "reference")
    run = fixture(checksum=True, topology_name="dual-homed-client", stacks=stacks, network="simulated")
    trial = run(boxes, workload=Workload(shape="rounds", rounds=16, client_sends=64 * KIB, server_sends=16))
    stream = trial.session.streams[0]
    assert trial.session.elapsed > 5 * SECOND
    assert trial.session.boxes[0].deeds
    assert stream.received == stream.intended
    assert stream.first_difference is None
    assert trial.outcome is Outcome.FEWER_SUBFLOWS
