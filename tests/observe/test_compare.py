"""What became of octets on the way."""

from tests.observe.conversation import Talk


def passage(talk: Talk, who: str = "client"):
    trace = talk.traced()
    trace.finish()
    return trace.transit.passages[0][who]


def counts(talk: Talk) -> tuple[int, int, int, int]:
    one = passage(talk)
    return one.lost, one.altered, one.twice, one.inserted


def plain() -> Talk:
    return Talk().handshake(mptcp=False)


def test_nothing_happens_to_what_passes():
    assert counts(Talk(checksum=True).established().exchange().close()) == (0, 0, 0, 0)


def test_lost():
    talk = plain()
    talk.send("client", payload=bytes(10), lost=True)
    assert counts(talk) == (10, 0, 0, 0)


def test_sent_again_is_not_lost():
    talk = plain()
    talk.send("client", payload=bytes(10), lost=True)
    talk.send("client", payload=bytes(10), seq=1)
    assert counts(talk) == (0, 0, 0, 0)


def test_twice():
    talk = plain()
    talk.send("client", payload=bytes(10))
    talk.send("client", payload=bytes(10), seq=1)
    assert counts(talk) == (0, 0, 10, 0)


def test_altered():
    talk, shadow = plain(), plain()
    changed = shadow.send("client", payload=b"ab" + bytes(8))
    talk.send("client", payload=bytes(10), arrives=changed)
    one = passage(talk)
    assert (one.altered, one.altered_at) == (2, len(talk.frames))


def test_inserted():
    talk, shadow = plain(), plain()
    longer = shadow.send("client", payload=bytes(13))
    talk.send("client", payload=bytes(10), arrives=longer)
    assert counts(talk) == (0, 0, 0, 3)
