"""The ends of both streams, in every order (RFC 8684 §3.3.3)."""

import pytest

from tests.interop.talker import octets
from tests.interop.verify import OTHER

ROLES = ["client", "server"]


@pytest.fixture(params=ROLES, ids=["client-first", "server-first"])
def first(request):
    """Who ends its stream first."""
    return request.param


@pytest.mark.parametrize("family", ["v4", "v6"])
def test_one_after_the_other(play, family, first):
    with play(family) as scene:
        scene.exchange()
        scene.talkers[first].end()
        other = scene.talkers[OTHER[first]]
        scene.until(lambda: other.end_heard, "the first end was heard")
        other.end()


@pytest.mark.parametrize("checksum", [False, True], ids=["plain", "checksum"])
def test_both_at_once(play, checksum):
    with play(checksum=checksum) as scene:
        scene.exchange()
        for talker in scene.talkers.values():
            talker.end()


def test_the_end_comes_with_the_data(play, first):
    with play() as scene:
        for role in (first, OTHER[first]):
            scene.talkers[role].say(octets(50_000, role), end=True)


@pytest.mark.parametrize("size", [1, 200_000])
def test_data_after_the_peers_end(play, first, size):
    with play() as scene:
        scene.exchange(100)
        near, far = scene.talkers[first], scene.talkers[OTHER[first]]
        near.end()
        scene.until(lambda: far.end_heard, "the first end was heard")
        far.say(octets(size, "half-closed"))
        scene.deliver()
        assert not near.end_heard


def test_nothing_was_ever_said(play, first):
    with play() as scene:
        scene.talkers[first].end()
        scene.until(lambda: scene.talkers[OTHER[first]].end_heard, "the first end was heard")


def test_closed_without_a_word(play, first):
    with play() as scene:
        scene.talkers[first].close()
        other = scene.talkers[OTHER[first]]
        scene.until(lambda: other.end_heard, "the end was heard")
        other.close()
        scene.await_end()


def test_closed_before_the_data_has_arrived(play, first):
    with play() as scene:
        scene.exchange(100)
        near, far = scene.talkers[first], scene.talkers[OTHER[first]]
        far.listen(False)
        near.say(octets(100_000, "late"))
        scene.until(lambda: near.written, "everything is written")
        near.close()
        far.listen(True)
        scene.until(lambda: far.end_heard, "the end was heard")
        far.close()
        scene.await_end()


def test_closed_with_unread_data(play, ours, first):
    """RFC 9293 §3.6.1, for the connection as a whole: octets were lost, and the peer is told so."""
    counts = ("fast close", "MPFastcloseRx") if first == ours else ("fast close", "MPFastcloseTx", "lost")
    with play(counts=counts, may_count=("MPRstTx", "MPRstRx", "reset"), resets=True) as scene:
        scene.exchange(100)
        near, far = scene.talkers[first], scene.talkers[OTHER[first]]
        near.listen(False)
        far.say(octets(10_000, "unread"))
        scene.until(lambda: scene.wire().data_acked[OTHER[first]] > 10_100, "the data was Data ACKed")
        near.close()
        scene.is_aborted = True
        scene.until(lambda: bool(far.lost), "the peer was told")
        assert far.lost == "ECONNRESET"
        far.close()
        scene.await_end()
