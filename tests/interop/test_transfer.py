"""Octets both ways, with and without checksums."""

import pytest

from tests.interop.talker import octets

MIB = 1024 * 1024
BOTH, NONE, ENDPOINT, KERNEL = (True, True), (False, False), (True, False), (False, True)


@pytest.mark.parametrize("family", ["v4", "v6"])
@pytest.mark.parametrize("checksum", [NONE, BOTH, ENDPOINT, KERNEL], ids=["none", "both", "ours", "kernels"])
def test_checksums_are_used_where_one_side_asks_for_them(play, family, checksum):
    with play(family, checksum=checksum) as scene:
        scene.exchange(100_000)
        assert scene.engine.checksum == any(checksum)
        assert scene.its.connection.state()["csum_enabled"] == int(any(checksum))
    assert scene.verified.checksum == any(checksum)


@pytest.mark.parametrize("family", ["v4", "v6"])
@pytest.mark.parametrize("size", [0, 1])
def test_hardly_anything(play, family, size):
    with play(family) as scene:
        scene.client.say(octets(size, "client"), end=True)
        scene.server.say(octets(size, "server"), end=True)


@pytest.mark.parametrize(("size", "checksum"), [(100_000, False), (MIB, True), (10 * MIB, False)])
def test_both_ways_at_once(play, size, checksum):
    with play(checksum=checksum) as scene:
        for role, talker in scene.talkers.items():
            talker.say(octets(size, role))


@pytest.mark.parametrize("who", ["we", "kernel"])
def test_nobody_reads_for_a_while(play, who):
    """The window closes, and opens again."""
    small = {"net.ipv4.tcp_rmem": "4096\t65536\t65536"}
    with play(receive_buffer=64 * 1024, sysctls=small) as scene:
        reader, writer = (scene.our, scene.its) if who == "we" else (scene.its, scene.our)
        reader.listen(False)
        writer.say(octets(500_000, who))
        scene.until(
            lambda: scene.wire().closed_windows[scene.ours if who == "we" else scene.kernels] > 0,
            "it is closed",
        )
        reader.listen(True)
        scene.deliver()
    # Linux probes with an octet of DSN SND.UNA - 1 that is not the octet of that number: see the findings.
    assert {probing for probing, _ in scene.verified.probes} <= {scene.kernels}
