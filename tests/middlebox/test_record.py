from __future__ import annotations

import pytest

from mbtest.middlebox import Action, Deed, Record
from mbtest.wire import MpCapable, Packet
from tests.middlebox.bench import TO_SERVER, segment


def action(deed: Deed, before: Packet | None, *after: Packet, box: str = "Box", why: str = "") -> Action:
    return Action(5, box, 0, TO_SERVER, deed, before, after, why)


PACKET = segment(10, b"data", options=[MpCapable()])
CHANGED = PACKET.replace(seq=17)


@pytest.mark.parametrize(
    ("deed", "after", "why", "words"),
    [
        (Deed.CHANGED, (CHANGED,), "", "Box seq +7"),
        (Deed.CHANGED, (PACKET.without_options(MpCapable),), "", "Box removed MP_CAPABLE v1"),
        (Deed.CHANGED, (CHANGED,), "moved it", "Box moved it"),
        (Deed.CHANGED, (PACKET,), "", "Box rebuilt it"),
        (Deed.SPLIT, (PACKET, CHANGED), "", "Box made 2 segments of it"),
        (Deed.SPLIT, (PACKET, CHANGED), "too large", "Box made 2 segments of it: too large"),
        (Deed.WITHHELD, (), "", "Box let nothing pass"),
        (Deed.WITHHELD, (), "held it", "Box held it"),
        (Deed.SENT, (CHANGED,), "forged", "Box forged"),
        (Deed.RELEASED, (PACKET,), "", "Box let it go on as it came"),
    ],
)
def test_a_deed_is_told_in_words(deed: Deed, after: tuple[Packet, ...], why: str, words: str) -> None:
    assert action(deed, PACKET, *after, why=why).words() == words


def test_what_is_no_segment_is_told_in_words_too() -> None:
    udp = Packet(bytes.fromhex("4500001c0000000040110000c0000201c0000202") + bytes(8))
    assert "192.0.2.1 > 192.0.2.2 protocol 17" in action(Deed.CHANGED, udp, udp).words()


def test_a_packet_is_found_by_what_took_or_gave_it_and_not_by_its_octets() -> None:
    record = Record()
    changed = action(Deed.CHANGED, PACKET, CHANGED)
    record.add(changed)
    assert list(record.of(PACKET)) == list(record.of(CHANGED)) == [changed]
    assert list(record.of(PACKET.replace(seq=17))) == []
    assert record.actions == [changed]


def test_a_history_goes_from_the_first_deed_to_the_packet() -> None:
    record = Record()
    last = CHANGED.replace(window=1)
    first_deed, second_deed = (
        action(Deed.CHANGED, PACKET, CHANGED),
        action(Deed.SPLIT, CHANGED, last, CHANGED),
    )
    record.add(first_deed)
    record.add(second_deed)
    assert record.history(last) == [first_deed, second_deed]
    assert record.history(CHANGED) == [first_deed]
    assert record.history(PACKET) == []


def test_a_history_ends_where_a_packet_was_made_of_nothing() -> None:
    record = Record()
    sent = action(Deed.SENT, None, PACKET)
    record.add(sent)
    assert record.history(PACKET) == [sent]


def test_a_history_ends_even_where_packets_were_made_of_each_other() -> None:
    record = Record()
    record.add(action(Deed.CHANGED, PACKET, CHANGED))
    record.add(action(Deed.CHANGED, CHANGED, PACKET))
    assert len(record.history(PACKET)) == 2
