"""Packets and options in words: for transcripts, packet comments and error messages.

The words are printable ASCII in one line whatever the packet holds: octets are shown as digits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from mbtest.wire import mptcp, options
from mbtest.wire.ip import Packet
from mbtest.wire.packet import FLAG_NAMES, RESERVED, Segment


def flag_names(flags: int) -> str:
    """Return the control bits by name, SYN first, as "SYN ACK"; a dot where none is set."""
    names = [name for bit, name in FLAG_NAMES.items() if flags & bit]
    names += ["reserved"] if flags & RESERVED else []
    return " ".join(names) or "."


def option_words(option: options.TcpOption) -> str:
    """Return an option in the RFC's words, without line breaks."""
    match option:
        case mptcp.MptcpOption():
            return _mptcp_words(option)
        case options.NoOperation():
            return "NOP"
        case options.EndOfOptionList(trailing):
            return (
                f"End of Option List, then {len(trailing)} octets" if any(trailing) else "End of Option List"
            )
        case options.MaximumSegmentSize(size):
            return f"MSS {size}"
        case options.WindowScale(shift):
            return f"window scale {shift}"
        case options.SackPermitted():
            return "SACK permitted"
        case options.Sack(blocks):
            return "SACK " + " ".join(f"{left}-{right}" for left, right in blocks)
        case options.Timestamps(value, echo):
            return f"timestamps {value} {echo}"
        case options.Malformed(rest):
            return f"malformed {rest.hex()}"
        case options.UserTimeout(minutes, timeout):
            return f"user timeout {timeout} {'min' if minutes else 's'}"
        case options.FastOpen(cookie):
            return f"fast open {cookie.hex()}" if cookie else "fast open request"
        case options.Experimental(kind, exid, content):
            return f"experimental {kind} ExID {exid:#06x} {content.hex()}".rstrip()
        case options.Md5Signature():
            return "MD5 signature"
        case options.Authentication():
            return "TCP-AO"
        case options.UnknownOption(kind, content):
            return f"option {kind} {content.hex()}".rstrip()
    return f"option {option.kind}"


def _mptcp_words(option: mptcp.MptcpOption) -> str:
    words = [option.name]
    match option:
        case mptcp.MpCapable():
            words.append(f"v{option.version}")
            words += ["checksum"] if option.checksum_required else []
            words += ["no joins here"] if option.flags & mptcp.NO_JOIN_TO_THIS_ADDRESS else []
            words += [] if option.flags & mptcp.HMAC_SHA256 else ["no HMAC-SHA256"]
            for name, key in (("key", option.sender_key), ("peer's key", option.receiver_key)):
                if key is not None:
                    words.append(f"{name} {key:016x}")
            if option.data_length is not None:
                words.append(f"data length {option.data_length}")
            if option.checksum is not None:
                words.append(f"checksum {option.checksum:#06x}")
        case mptcp.MpJoinSyn():
            words += [f"id {option.address_id}", f"token {option.token:08x}"]
            words += ["backup"] if option.backup else []
        case mptcp.MpJoinSynAck():
            words += [f"id {option.address_id}", f"HMAC {option.hmac:016x}"]
            words += ["backup"] if option.backup else []
        case mptcp.MpJoinAck():
            words.append(f"HMAC {option.hmac.hex()[:8]}...")
        case mptcp.Dss():
            words += _dss_words(option)
        case mptcp.AddAddr():
            words += ["echo"] if option.echo else []
            words.append(f"id {option.address_id} {option.address}")
            words += [f"port {option.port}"] if option.port is not None else []
        case mptcp.RemoveAddr():
            words.append("id " + " ".join(str(address_id) for address_id in option.address_ids))
        case mptcp.MpPrio():
            words.append("backup" if option.backup else "regular")
        case mptcp.MpFail():
            words.append(f"DSN {option.dsn}")
        case mptcp.MpFastclose():
            words.append(f"key {option.receiver_key:016x}")
        case mptcp.MpTcprst():
            words.append(f"reason {option.reason}: {mptcp.RESET_REASONS.get(option.reason, 'unassigned')}")
            words += ["transient"] if option.transient else []
        case mptcp.MpExperimental():
            words.append(f"{len(option.content)} octets")
        case mptcp.UnknownMptcp():
            words.append(f"in an unknown form, {len(option.content) + 2} octets")
    return " ".join(words)


def _dss_words(option: mptcp.Dss) -> list[str]:
    words = []
    if option.data_fin:
        words.append("DATA_FIN")
    if option.infinite:
        words.append(f"infinite mapping DSN {option.dsn} SSN {option.subflow_sequence}")
    elif option.has_mapping:
        words.append(f"DSN {option.dsn} SSN {option.subflow_sequence} length {option.length}")
    if option.checksum is not None:
        words.append(f"checksum {option.checksum:#06x}")
    if option.data_ack is not None:
        words.append(f"Data ACK {option.data_ack}")
    return words


def one_line(packet: Packet) -> str:
    """Return a packet in one line: ends, flags, numbers, length and options."""
    if not isinstance(packet, Segment):
        return f"{packet.source} > {packet.destination} protocol {packet.protocol}"
    parts = [
        f"{packet.source}.{packet.source_port} > {packet.destination}.{packet.destination_port}",
        flag_names(packet.flags),
        f"seq {int(packet.seq)}",
    ]
    if packet.has_ack:
        parts.append(f"ack {int(packet.ack)}")
    parts.append(f"length {packet.payload_length}")
    words = [option_words(option) for option in packet.options if not isinstance(option, options.NoOperation)]
    return " ".join(parts) + (f" [{', '.join(words)}]" if words else "")


def changes(before: Segment, after: Segment) -> str:
    """Return in words what a box made of `before`, empty where no octet differs."""
    words = [
        f"{name.replace('_', ' ')} {old} became {new}"
        for name in ("source", "destination", "ttl", "traffic_class", "identification")
        if (old := getattr(before, name)) != (new := getattr(after, name))
    ]
    if before.ip_options != after.ip_options:
        words.append("IP options or extension headers changed")
    words += [
        f"{name.replace('_', ' ')} {old} became {new}"
        for name in ("source_port", "destination_port")
        if (old := getattr(before, name)) != (new := getattr(after, name))
    ]
    for name, distance in (("seq", after.seq - before.seq), ("ack", after.ack - before.ack)):
        if distance:
            words.append(f"{name} {distance:+d}")
    if before.flags != after.flags:
        words.append(f"flags {flag_names(before.flags)} became {flag_names(after.flags)}")
    for name in ("window", "urgent"):
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            words.append(f"{name} {old} became {new}")
    if before.option_block != after.option_block:
        words += _option_changes(before.options, after.options)
    words += _payload_changes(before.payload, after.payload)
    words += _checksum_changes(before, after)
    if not words and before.raw != after.raw:
        words.append("lengths, offsets or what the link put behind the packet changed")
    return "; ".join(words)


def _payload_changes(before: bytes, after: bytes) -> list[str]:
    if len(before) != len(after):
        return [f"payload {len(before)} became {len(after)} octets"]
    differing = [i for i, pair in enumerate(zip(before, after, strict=True)) if pair[0] != pair[1]]
    if not differing:
        return []
    return [f"{len(differing)} octets of payload changed, the first at {differing[0]}"]


def _checksum_changes(before: Segment, after: Segment) -> list[str]:
    """Say where a checksum became right or wrong: a box mends it, and that alone is no news."""
    return [
        f"{name} checksum became {'right' if right else 'wrong'}"
        for name, was, right in (
            ("IP", before.ip_checksum_is_right(), after.ip_checksum_is_right()),
            ("TCP", before.checksum_is_right(), after.checksum_is_right()),
        )
        if was != right
    ]


def _option_changes(before: Sequence[options.TcpOption], after: Sequence[options.TcpOption]) -> list[str]:
    gone = Counter(before) - Counter(after)
    new = Counter(after) - Counter(before)
    padding = (options.NoOperation, options.EndOfOptionList)
    words = [
        f"removed {option_words(option)}" for option in gone.elements() if not isinstance(option, padding)
    ]
    words += [
        f"added {option_words(option)}" for option in new.elements() if not isinstance(option, padding[0])
    ]
    return words or ["options moved or padded otherwise"]
