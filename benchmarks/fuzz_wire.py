"""Fuzzes the wire codec: `python -m benchmarks.fuzz_wire [--count N] [--seed N]`.

Mutates packets and option blocks made of the vectors of the tests. Whatever comes out is either refused
with a `WireError` or obeys the laws of the codec; anything else ends the run with status 1 and prints
the input and the seed that repeats it.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import tomllib
import traceback
from collections import Counter
from pathlib import Path

from mbtest.wire import (
    MptcpOption,
    Packet,
    Segment,
    Timestamps,
    WireError,
    decode,
    decode_options,
    encode_options,
)
from mbtest.wire.checksum import finish, ones_sum
from mbtest.wire.describe import changes, one_line, option_words
from mbtest.wire.ip import final_destination

VECTORS = Path(__file__).parent.parent / "tests" / "wire" / "vectors.toml"
INTERESTING = bytes((0, 1, 2, 3, 4, 5, 8, 10, 12, 30, 40, 43, 44, 51, 60, 0x45, 0x60, 0x7F, 0x80, 0xFF))
SLOW_EVERY = 8
"""What words and changed copies cost is spent on one accepted input in so many."""


def corpus(rng: random.Random) -> list[bytes]:
    """Return right packets: every vector alone, pairs of them, both IP versions, with and without extras."""
    entries = tomllib.loads(VECTORS.read_text(encoding="utf-8"))["option"]
    blocks = [bytes.fromhex(entry["octets"]) for entry in entries]
    blocks += [one + two for one in rng.sample(blocks, 30) for two in rng.sample(blocks, 10)]
    extensions = [
        [(0, bytes.fromhex("0000 0502 0000 0100"))],
        [(60, bytes(8)), (44, bytes(8)), (51, bytes.fromhex("0004") + bytes(22))],
        [(43, bytes.fromhex("0002 0001 00000000") + rng.randbytes(16))],
    ]
    packets = []
    for block in (block for block in blocks if len(block) <= 40):
        aligned = block + b"\1" * (-len(block) % 4)
        for ends in (("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2")):
            segment = Segment.build(
                *ends, 40000, 80, seq=rng.getrandbits(32), ack=rng.getrandbits(32),
                flags=rng.getrandbits(9), payload=rng.randbytes(rng.choice((0, 3, 24))),
            ).with_option_block(aligned)  # fmt: skip
            packets.append(segment.raw)
            if segment.version == 4:
                packets.append(segment.replace(ip_options=rng.randbytes(rng.randint(1, 40))).raw)
            else:
                packets.append(segment.replace(extension_headers=rng.choice(extensions)).raw + b"trailer")
    return packets


def mutated(raw: bytes, rng: random.Random) -> bytes:
    """Return `raw` after a few small changes."""
    octets = bytearray(raw)
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        kind = rng.randrange(6)
        at = rng.randrange(len(octets)) if octets else 0
        if kind == 0 or not octets:
            octets[at:at] = rng.randbytes(rng.randint(1, 8))
        elif kind == 1:
            del octets[at : at + rng.randint(1, 8)]
        elif kind == 2:
            octets[at] ^= 1 << rng.randrange(8)
        elif kind == 3:
            octets[at] = rng.choice(INTERESTING)
        elif kind == 4:
            octets[at] = rng.getrandbits(8)
        else:
            del octets[at:]
    return bytes(octets)


def require(holds: bool, law: str) -> None:
    """Raise where a law of the codec does not hold."""
    if not holds:
        raise AssertionError(law)


def check_block(block: bytes) -> None:
    """Check what holds for every option block."""
    options = decode_options(block)
    require(b"".join([option.encode() for option in options]) == block, "every octet is in one option")
    if len(block) <= 40 and not len(block) & 3:
        require(encode_options(options) == block, "encode_options(decode_options(b)) == b")


def check_packet(packet: Packet, raw: bytes) -> None:
    """Check what holds for every packet that is accepted."""
    require(bytes(packet) == raw, "encode(decode(b)) == b")
    require(decode(bytes(packet)) == packet, "decode(encode(p)) == p")
    require(raw[: packet.transport] + packet.content + packet.trailer == raw, "the parts are the whole")
    if isinstance(packet, Segment):
        check_block(packet.option_block)


def check_words(packet: Packet) -> None:
    """Check that the words for it are printable in one line."""
    words = [one_line(packet), repr(packet)]
    if isinstance(packet, Segment):
        words += [option_words(option) for option in packet.options]
        words.append(changes(packet, packet.without_options(MptcpOption)))
    require(all(text.isascii() and text.isprintable() for text in words), "words are printable ASCII")


def wrong_by(segment: Segment) -> int:
    """Return what the TCP checksum is off by, modulo 65535."""
    content = bytearray(segment.content)
    content[16:18] = b"\0\0"
    ends = segment.source_octets + final_destination(segment.raw, segment.transport)
    pseudo = ends + b"\0\6" + len(content).to_bytes(2, "big")
    return (segment.checksum - finish(ones_sum(pseudo) + ones_sum(content))) % 65535


def check_copies(segment: Segment, rng: random.Random) -> None:
    """Check that changed copies read back, decode, and are as right or as wrong as what they are made of."""
    require(segment.replace(seq=segment.seq, source=segment.source).raw == segment.raw, "no change is none")
    number = rng.getrandbits(32)
    copies = [
        segment.without_options(MptcpOption, Timestamps),
        segment.replace(seq=number, ack=number, window=number & 0xFFFF, destination=segment.source),
        segment.with_option_block(b"\1" * rng.randrange(0, 41, 4)),
    ]
    require(copies[1].seq == copies[1].ack == number, "a field reads back")
    for copy in copies:
        require(decode(bytes(copy)) == copy, "a copy decodes to itself")
        require(wrong_by(copy) == wrong_by(segment), "the checksum is wrong by as much as it was")
        require(copy.ip_checksum_is_right() or not segment.ip_checksum_is_right(), "IP checksum is mended")
    require(segment.replace(payload=b"abc").checksum_is_right(), "a new payload has a right checksum")


def check(raw: bytes, count: int, rng: random.Random) -> str:
    """Check one input; return what it was."""
    if count % 4 == 0:
        check_block(raw[:60])
        if count % (4 * SLOW_EVERY) == 0:
            words = "".join(option_words(option) for option in decode_options(raw[:40]))
            require(words.isascii() and words.isprintable(), "words are printable ASCII")
        return "option block"
    try:
        packet = decode(raw)
    except WireError as error:
        require(0 <= error.offset <= len(raw), "an error's offset lies in the input")
        require(str(error).isprintable(), "an error is printable")
        return "refused"
    check_packet(packet, raw)
    if count % SLOW_EVERY == 1:
        check_words(packet)
    if count % SLOW_EVERY == 2 and isinstance(packet, Segment):
        check_copies(packet, rng)
    return "segment" if isinstance(packet, Segment) else "packet"


def main() -> int:
    """Run; return the exit status."""
    parser = argparse.ArgumentParser(description="Fuzz the wire codec.")
    parser.add_argument("--count", type=int, default=1_000_000, help="inputs (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=8684, help="of the inputs (default: %(default)s)")
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    seeds = corpus(rng)
    outcomes: Counter[str] = Counter()
    started = time.perf_counter()
    for count in range(arguments.count):
        if count % 4 == 0:
            raw = rng.randbytes(rng.randint(0, 60)) if count % 8 else mutated(rng.choice(seeds)[40:], rng)
        elif count % 64 == 1:
            raw = rng.randbytes(rng.randint(0, 120))
        else:
            raw = mutated(rng.choice(seeds), rng)
        try:
            outcomes[check(raw, count, rng)] += 1
        except Exception:  # noqa: BLE001 - any exception is what this program looks for
            traceback.print_exc()
            print(f"input {count} of seed {arguments.seed}: {raw.hex()}", file=sys.stderr)
            return 1
    seconds = time.perf_counter() - started
    kinds = ", ".join(f"{number} {kind}" for kind, number in outcomes.most_common())
    print(f"{arguments.count} inputs in {seconds:.1f} s: {arguments.count / seconds:.0f} inputs/s; {kinds}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
