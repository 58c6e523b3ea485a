from __future__ import annotations

from mbtest.wire import ACK, RST, SYN, MpCapable, MpJoinSyn, MptcpOption, UnknownOption
from mbtest.wire.keys import token
from reports.ladder import IN_BRIEF, IN_FULL, Elision, Row, ladder_of
from tests.reports.conftest import SERVER_KEY


def _ladder(conversation, folder, evidence=(), extent=IN_FULL):
    file = folder / "capture.pcapng"
    conversation.capture.write(file)
    return ladder_of(file, evidence, extent)


def _shown(ladder):
    return [item for item in ladder.items if isinstance(item, Row)]


def _views(row):
    return ([row.entry] if row.entry else []) + row.exits


def _folded(ladder):
    return [item for item in ladder.items if isinstance(item, Elision)]


def test_uneventful_data_is_folded_away(talk, tmp_path):
    conversation = talk()
    conversation.handshake()
    for _ in range(40):
        conversation.data("client", b"x" * 1428)
    conversation.close()
    ladder = _ladder(conversation, tmp_path)
    (folded,) = _folded(ladder)
    assert folded.words == "38 data segments to the server, 54.3 kB, 37 pure ACKs"
    assert folded.left_out == 0
    assert len(folded.rows) == 75
    flags = [row.entry.flags for row in _shown(ladder)]
    assert flags[:3] == ["SYN", "SYN ACK", "ACK"]
    assert flags[-3:] == ["FIN ACK", "FIN ACK", "ACK"]
    assert ladder.frames == 172


def test_evidence_is_shown_with_its_neighbours(talk, tmp_path):
    conversation = talk()
    conversation.handshake()
    for number in range(40):
        frame = conversation.data("client", b"x" * 1428)
        if number == 20:
            middle = frame
    ladder = _ladder(conversation, tmp_path, [middle])
    shown = [view.frame for row in _shown(ladder) for view in _views(row)]
    assert {middle - 2, middle, middle + 2} <= set(shown)
    assert len(_folded(ladder)) == 2


def test_a_deed_that_repeats_is_shown_a_few_times_and_the_last(talk, tmp_path):
    conversation = talk(box=lambda _, segment: [segment.without_options(MptcpOption)])
    conversation.handshake()
    for _ in range(40):
        conversation.data("client", b"x" * 1428)
    conversation.send("client", ACK | RST)
    ladder = _ladder(conversation, tmp_path)
    (folded,) = _folded(ladder)
    assert folded.words.endswith("changed by boxes")
    assert len(_shown(ladder)) < 20


def test_a_capture_of_thousands_stays_small(talk, tmp_path):
    conversation = talk()
    conversation.handshake()
    for number in range(500):
        conversation.data("client", b"x" * 1428)
        if number % 10 == 0:
            conversation.send("client", ACK, (MpCapable(sender_key=number),))
    ladder = _ladder(conversation, tmp_path)
    kept = len(_shown(ladder)) + sum(len(item.rows) for item in _folded(ladder))
    assert len(_shown(ladder)) <= 2 * IN_FULL.shown
    assert kept <= IN_FULL.kept
    assert sum(item.left_out for item in _folded(ladder)) + kept == ladder.frames // 2


def test_a_subflow_is_introduced(talk, tmp_path):
    conversation = talk()
    conversation.handshake()
    ladder = _ladder(conversation, tmp_path)
    assert ladder.subflows[0].ends == "198.18.1.2:41234 → 198.19.1.2:5001"
    assert ladder.paths == ["c1-s1"]


def test_a_capture_that_is_not_there_or_is_none(talk, tmp_path):
    assert ladder_of(tmp_path / "none.pcapng").problem == "The capture of this run is not there."
    for octets in (b"", b"not a capture, whatever its name", b"\x0a\x0d\x0d\x0a" * 9):
        file = tmp_path / "bad.pcapng"
        file.write_bytes(octets)
        problem = ladder_of(file).problem
        assert problem.startswith("The capture of this run cannot be read: not a whole pcapng file")
        assert str(tmp_path) not in problem


def test_an_empty_capture_has_no_rows(talk, tmp_path):
    ladder = _ladder(talk(), tmp_path)
    assert (ladder.items, ladder.problem, ladder.frames) == ([], "", 0)


def test_of_an_endless_capture_the_ends_and_the_evidence_are_looked_at(talk, tmp_path):
    conversation = talk()
    conversation.handshake()
    for _ in range((IN_FULL.first + IN_FULL.last) // 2 + 500):
        conversation.send("server", ACK)
    last = conversation.send("client", ACK | RST)
    evidence = IN_FULL.first + 301
    ladder = _ladder(conversation, tmp_path, [evidence])
    gaps = [item.words for item in _folded(ladder) if item.words.endswith("frames")]
    assert len(gaps) == 2
    assert {evidence, last} <= {view.frame for row in _shown(ladder) for view in _views(row)}
    assert not any(row.fate in ("lost", "sent") for row in _shown(ladder))
    assert ladder.frames == last + 1


def test_in_brief_deeds_controls_and_evidence_of_the_middle_are_told(talk, tmp_path):
    conversation = talk(box=lambda _, segment: [segment.without_options(UnknownOption)])
    conversation.handshake()

    def transfer():
        for _ in range(100):
            conversation.data("client", b"x" * 1428)

    transfer()
    evidence = conversation.data("client", b"x" * 700)
    transfer()
    changed = conversation.send("client", ACK, (UnknownOption(200, b"?"),))
    transfer()
    join = talk(conversation.capture, path="c2-s1")
    join.ends["client"], join.time = ("198.18.2.2", 4000), conversation.time
    joining = join.send("client", SYN, (MpJoinSyn(2, token(SERVER_KEY), 1),))
    conversation.time = join.time
    transfer()
    ladder = _ladder(conversation, tmp_path, [evidence], IN_BRIEF)
    shown = {view.frame for row in _shown(ladder) for view in _views(row)}
    assert {evidence, changed, changed + 1, joining, joining + 1} <= shown
    assert [subflow.opening for subflow in ladder.subflows] == ["MP_CAPABLE", "MP_JOIN id 2"]
    assert not any(row.fate in ("lost", "sent") for row in _shown(ladder))
    kept = len(_shown(ladder)) + sum(len(item.rows) for item in _folded(ladder))
    assert kept <= IN_BRIEF.kept < ladder.frames // 5
