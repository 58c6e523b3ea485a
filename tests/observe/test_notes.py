"""Lines for a timeline."""

from mbtest.observe.notes import KEPT_NOTES
from mbtest.wire import RST
from tests.observe.conversation import Talk


def test_they_end_somewhere():
    talk = Talk()
    for port in range(KEPT_NOTES + 10):
        talk.flows[0].port["client"] = 1_000 + port
        talk.flows[0].next["client"] = 0
        talk.send("client", flags=RST, lost=True)
    host = talk.traced().hosts["client"]
    assert len(host.notes) == KEPT_NOTES
    assert host.notes[0].words == "RST"


def test_they_say_on_which_subflow():
    talk = Talk().established()
    talk.reset("client", flow=talk.join())
    note = talk.traced().hosts["client"].notes[-1]
    assert (note.words, note.connection, note.subflow) == ("RST", 1, 2)
