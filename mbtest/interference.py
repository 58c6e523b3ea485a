"""What boxes and links did in a run, by the comments of its capture: alike deeds told as one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from mbtest.network.capture import CapturedFrame
from mbtest.observe.courses import Place

_NUMBERS = re.compile(r"0x[0-9a-f]+|\b[0-9a-f]*\d[0-9a-f.:]*")
_OPTION = re.compile(r"(removed|added) ([\w-]+)")
_MOVED = re.compile(r"(seq|ack) [+-]|(removed|added) SACK\b")
_ALTERED = re.compile(r"^(\d+) octets of payload changed, the first at (\d+)$")
_SHORTER = (
    (re.compile(r" (peer's )?key [0-9a-f]{16}"), ""),
    (re.compile(r" infinite mapping DSN \d+ SSN \d+"), " infinite mapping"),
    (re.compile(r" DSN \d+ SSN \d+ length \d+"), " mapping"),
    (re.compile(r" Data ACK \d+"), " Data ACK"),
    (re.compile(r" checksum 0x[0-9a-f]+"), ""),
    (re.compile(r"\bSACK \d+-\d+( \d+-\d+)*"), "SACK"),
    (re.compile(r" DSN \d+"), ""),
)
"""What is left out of an option: numbers that are no relative ones."""
_REPLACED = re.compile(r"^removed ([\w-]+)([^;]*); added \1([^;]*)$")
_PASSING = ("held it", "let it go on as it came")
"""What a box says of packets that something comes of, or nothing at all."""
_NO_BOX = re.compile(r"(lost|dropped|doubled|held back) by the link\b|passed around the boxes: ")
"""What no box did, and is told all the same; other comments say what was wrong with a packet."""
MOVED = "moved"


class Act:
    """Deeds of one kind, of one box, in one direction."""

    def __init__(self, box: str, kind: str, words: str, to_server: bool) -> None:
        """Begin with none. words: of the first."""
        self.box = box
        """The class of the box; `link` for what a link does; empty where no box is named."""
        self.kind = kind
        self.words = words
        self.to_server = to_server
        self.first: CapturedFrame
        self.last: CapturedFrame
        self.paths: set[str] = set()
        self._packets: set[int] = set()

    @property
    def packets(self) -> int:
        """To how many packets, as they entered the boxes."""
        return len(self._packets)

    @property
    def origin(self) -> int:
        """The frame that entered the boxes, of the first deed."""
        return self.first.origin or self.first.number

    @property
    def is_passing(self) -> bool:
        """Whether it is a mere holding back, which shows in what comes of it."""
        return self.words in _PASSING

    def take(self, frame: CapturedFrame) -> None:
        """Add a deed."""
        if not self._packets:
            self.first = frame
        self.last = frame
        self.paths.add(frame.path)
        self._packets.add(frame.origin or frame.number)

    def told(self, places: Mapping[int, Place]) -> str:
        """Return it in words. places: what the packets were, by the frame in which they entered."""
        place = places.get(self.origin)
        who = "client" if self.to_server else "server"
        words = self.words
        for pattern, instead in _SHORTER:
            words = pattern.sub(instead, words)
        words = _REPLACED.sub(_became, words)
        altered = _ALTERED.match(words)
        if altered and place is not None and place.octet is not None:
            number, first = int(altered[1]), place.octet + int(altered[2])
            text = f"{self.box} changes octet {first} of the {who}'s stream"
            text += f", and {number - 1} after it" if number > 1 else ""
        else:
            # A packet that no host sent has no place.
            to = "server" if self.to_server else "client"
            of_what = f"the {who}'s {place.words}" if place is not None else f"to the {to}"
            text = f"{of_what}: {self.box} {words}" if self.box else f"{of_what}: {words}"
        if self.packets > 1:
            text += f"; {self.packets} packets until frame {self.last.number}"
        return text


def _became(found: re.Match[str]) -> str:
    """Return in words how one option became another of its kind."""
    name, old, new = found.groups()
    # What changed is then what is left out of it.
    return f"changed {name}{old}" if old == new else f"{name}{old} became{new or ' empty'}"


def interference(frames: Sequence[CapturedFrame], boxes: Sequence[str]) -> list[Act]:
    """Return what was done, in the order of first deeds. boxes: the names of their classes."""
    acts: dict[tuple[str, str, bool], Act] = {}
    for frame in frames:
        for comment in frame.comments:
            for box, words in _deeds(comment, boxes):
                key = box, kind_of(words), frame.to_server
                act = acts.get(key)
                if act is None:
                    act = acts[key] = Act(box, key[1], words, frame.to_server)
                act.take(frame)
    found = list(acts.values())
    busy = {act.box for act in found if not act.is_passing}
    return [act for act in found if not act.is_passing or act.box not in busy]


def kind_of(words: str) -> str:
    """Return what alike deeds have in common: their words without the numbers."""
    pieces = words.split("; ")
    if all(_MOVED.match(piece) for piece in pieces):
        return MOVED
    kinds = []
    for piece in pieces:
        option = _OPTION.match(piece)
        kind = option[0] if option else _NUMBERS.sub("N", piece)
        if not _MOVED.match(piece) and kind not in kinds:
            kinds.append(kind)
    return "; ".join(kinds)


def _deeds(comment: str, boxes: Sequence[str]) -> list[tuple[str, str]]:
    """Return who did what, of a comment that may tell of several boxes, or of none."""
    if _NO_BOX.match(comment):
        return [("", comment)]
    found: list[tuple[str, str]] = []
    for piece in comment.split("; "):
        name, _, rest = piece.partition(" ")
        if name in boxes:
            found.append((name, rest))
        elif found:
            found[-1] = found[-1][0], f"{found[-1][1]}; {piece}"
    return found
