"""`mbtest check`, as its users meet it."""

import json
import struct
from pathlib import Path

import pytest

from mbtest.checking import read_one, read_two, words
from mbtest.network.capture import Capture
from tests.observe.conversation import Talk
from tests.observe.rules.test_fallback import fail, failed
from tests.test_cli import mbtest, one_line


def two_points(path: Path, talk: Talk) -> Path:
    capture = Capture(["p/client", "p/server"])
    for _, time, _, side, sender, raw in talk.frames:
        capture.record(time, 0 if side == "client" else 1, side != sender, raw)
    capture.write(path)
    return path


def one_point(path: Path, talk: Talk) -> Path:
    octets = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 101)
    for _, time, _, side, sender, raw in talk.frames:
        if side == sender:
            octets += struct.pack("<IIII", time // 1_000_000, time % 1_000_000, len(raw), len(raw)) + raw
    path.write_bytes(octets)
    return path


def good() -> Talk:
    return Talk(checksum=True).established().exchange().close()


def bad() -> Talk:
    talk = Talk().established()
    talk.data("client", reserved=1)
    return talk


def should() -> Talk:
    talk = Talk().handshake(mptcp=False)
    talk.send("server")
    talk.send("server", window=500)
    return talk


@pytest.mark.parametrize("write", [two_points, one_point])
def test_status_0_where_nothing_is_broken(tmp_path, write):
    finished = mbtest("check", write(tmp_path / "a.pcapng", good()), cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert "no rule is broken" in finished.stdout
    assert "client: asks for MP_CAPABLE v1 checksum" in finished.stdout


def test_a_connection_that_began_before_the_capture_is_told(tmp_path):
    talk = good()
    talk.frames = talk.frames[8:]
    said = words(read_one(one_point(tmp_path / "a.pcap", talk)))
    (line,) = (line for line in said if line.startswith("connection 1:"))
    assert line.endswith("unknown, begun before the capture, and who opened it is a guess from the ports")
    whole = words(read_one(one_point(tmp_path / "b.pcap", good())))
    assert not any("begun before" in line for line in whole)


def test_a_file_of_which_no_packet_can_be_read_is_refused(tmp_path):
    octets = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 127)
    (tmp_path / "radio.pcap").write_bytes(octets + struct.pack("<IIII", 1, 0, 4, 4) + b"abcd")
    line = one_line(mbtest("check", "radio.pcap", cwd=tmp_path))
    assert "radio.pcap: all packets are on links of type 127; what can be read is Ethernet" in line


def test_many_connections_are_told_apart(tmp_path):
    capture = Capture(["p/client", "p/server"])
    for _ in range(3):
        talk = good()
        for _, _, _, side, sender, raw in talk.frames:
            capture.record(len(capture) * 1_000, 0 if side == "client" else 1, side != sender, raw)
    capture.write(tmp_path / "a.pcapng")
    checked = read_one(tmp_path / "a.pcapng")
    told = [len(story.lines) for story in checked.stories]
    assert sum(told) == sum(len(host.notes) for host in checked.trace.hosts.values())


@pytest.mark.parametrize("write", [two_points, one_point])
def test_status_1_where_a_must_is_broken(tmp_path, write):
    finished = mbtest("check", write(tmp_path / "a.pcapng", bad()), cwd=tmp_path)
    assert finished.returncode == 1
    assert "MUST RFC 8684 §3.3 dss.reserved: frame" in finished.stdout


def test_a_should_counts_where_it_is_asked_for(tmp_path):
    path = two_points(tmp_path / "a.pcapng", should())
    assert mbtest("check", path, cwd=tmp_path).returncode == 0
    assert mbtest("check", path, "--strict", cwd=tmp_path).returncode == 1


def test_json(tmp_path):
    finished = mbtest("check", "--json", two_points(tmp_path / "a.pcapng", bad()), cwd=tmp_path)
    (told,) = json.loads(finished.stdout)
    assert told["points"] == 2
    assert told["connections"][0]["mode"] == "MPTCP"
    assert told["breaches"][0]["rule"] == "dss.reserved"


def test_no_capture(tmp_path):
    (tmp_path / "a").write_text("hello")
    assert "pcap or pcapng" in one_line(mbtest("check", "a", cwd=tmp_path))
    one_line(mbtest("check", "none", cwd=tmp_path))
    one_line(mbtest("check", tmp_path, cwd=tmp_path))


def test_a_file_that_breaks_off_says_so(tmp_path):
    path = one_point(tmp_path / "a.pcap", good())
    path.write_bytes(path.read_bytes()[:-5])
    assert any("breaks off" in line for line in words(read_one(path)))


def test_what_boxes_did_is_told_apart(tmp_path):
    talk = Talk().handshake(mptcp=False)
    talk.send("client", payload=bytes(10), lost=True)
    assert any("10 octets lost" in line for line in words(read_one(two_points(tmp_path / "a", talk))))


@pytest.mark.parametrize("taken_at", ["client", "server", "between"])
def test_what_reached_a_host_is_known_where_the_file_was_taken(tmp_path, taken_at):
    """Only where the server's packets are known to have reached it can its silence be judged."""
    talk = failed()
    talk.ack("server", fail(101))
    talk.wait(5).ack("server")
    path = one_point(tmp_path / "a.pcap", talk)
    finished = mbtest("check", path, "--taken-at", taken_at, cwd=tmp_path)
    where = "between the hosts" if taken_at == "between" else f"at the {taken_at}"
    assert f"one capture point, {where}" in finished.stdout.replace("point between", "point, between")
    assert ("fallback.fail-answered" in finished.stdout) is (taken_at == "client")


def test_a_file_that_shows_both_sides_was_taken_nowhere_else(tmp_path):
    path = two_points(tmp_path / "a", good())
    line = one_line(mbtest("check", path, "--taken-at", "client", cwd=tmp_path))
    assert "it shows both sides of the boxes; leave --taken-at out" in line


def one_at_each(tmp_path: Path, talk: Talk, ahead: int = 0) -> list[Path]:
    """A pcap file at each host; the server's clock is ahead by so many microseconds."""
    paths = []
    for side in ("client", "server"):
        octets = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 101)
        for _, time, _, where, _, raw in talk.frames:
            if where == side:
                at = time + 1_000_000 + (ahead if side == "server" else 0)
                octets += struct.pack("<IIII", at // 1_000_000, at % 1_000_000, len(raw), len(raw)) + raw
        paths.append(tmp_path / f"{side}.pcap")
        paths[-1].write_bytes(octets)
    return paths


@pytest.mark.parametrize("ahead", [0, 3_600_000_000])
def test_two_files_say_what_one_from_both_sides_says(tmp_path, ahead):
    talk = failed()
    talk.ack("server", fail(101))
    talk.wait(5).ack("server")
    apart = read_two(*one_at_each(tmp_path, talk, ahead))
    together = read_one(two_points(tmp_path / "both", talk))
    assert apart.trace.two_points
    assert {(b.rule, b.who, b.words) for b in apart.book.breaches} == {
        (b.rule, b.who, b.words) for b in together.book.breaches
    }
    assert [line.words for line in apart.stories[0].lines] == [
        line.words for line in together.stories[0].lines
    ]
    assert [line.time for line in apart.stories[0].lines] == [line.time for line in together.stories[0].lines]
    assert [p["client"].altered for p in apart.trace.transit.passages] == [
        p["client"].altered for p in together.trace.transit.passages
    ]


def test_two_files_on_the_command_line(tmp_path):
    client, server = one_at_each(tmp_path, good(), 5_000)
    finished = mbtest("check", "--client", client, "--server", server, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert "one capture point at each host" in finished.stdout
    assert "-0.005000 s were added to the server's times" in finished.stdout
    assert "it could be 0.001000 s more or less" in finished.stdout
    assert "no rule is broken" in finished.stdout


def test_two_files_without_a_packet_in_common(tmp_path):
    client, _ = one_at_each(tmp_path, good())
    (tmp_path / "b").mkdir()
    other = Talk()
    other.flows[0].isn = {"client": 5, "server": 6}
    _, server = one_at_each(tmp_path / "b", other.handshake())
    assert any("their clocks are taken to be the same" in line for line in words(read_two(client, server)))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--client", "a"], "--client and --server go together"),
        (["a", "--client", "a", "--server", "a"], "leave CAPTURE and --taken-at out"),
        (["--client", "a", "--server", "a", "--taken-at", "client"], "leave CAPTURE and --taken-at out"),
        ([], "name a CAPTURE"),
        (["--client", "a", "--server", "none"], "none: No such file"),
    ],
)
def test_what_does_not_go_together(tmp_path, options, says):
    one_point(tmp_path / "a", good())
    assert says in one_line(mbtest("check", *options, cwd=tmp_path))


def test_one_point_says_whose_packets_boxes_could_have_changed(tmp_path):
    path = one_point(tmp_path / "a", bad())
    assert words(read_one(path))[-1].startswith("of the client only this is seen")
    assert not words(read_one(path, "client"))[-1].startswith("of the")


def test_several_files_at_once(tmp_path):
    files = [two_points(tmp_path / "a", good()), two_points(tmp_path / "b", bad())]
    finished = mbtest("check", *files, cwd=tmp_path)
    assert finished.returncode == 1
    assert finished.stdout.count("packets in") == 2
