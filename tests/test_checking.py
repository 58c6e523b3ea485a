"""`mbtest check`, as its users meet it."""

import json
import struct
from pathlib import Path

import pytest

from mbtest.checking import Checked, words
from mbtest.network.capture import Capture
from tests.observe.conversation import Talk
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
    assert any("breaks off" in line for line in words(Checked(path)))


def test_what_boxes_did_is_told_apart(tmp_path):
    talk = Talk().handshake(mptcp=False)
    talk.send("client", payload=bytes(10), lost=True)
    assert any("10 octets lost" in line for line in words(Checked(two_points(tmp_path / "a", talk))))


def test_several_files_at_once(tmp_path):
    files = [two_points(tmp_path / "a", good()), two_points(tmp_path / "b", bad())]
    finished = mbtest("check", *files, cwd=tmp_path)
    assert finished.returncode == 1
    assert finished.stdout.count("packets in") == 2
