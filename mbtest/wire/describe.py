"""Packets and options in words: for transcripts, packet comments and error messages.

The words are printable ASCII in one line whatever the packet holds: octets are shown as digits.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from mbtest.wire import mptcp, options
from mbtest.wire.ip import Packet
from mbtest.wire.packet import FLAG_NAMES, RESERVED, Segment


@lru_cache(maxsize=256)
def flag_names(flags: int) -> str:
    """Return the control bits by name, SYN first, as "SYN ACK"; a dot where none is set."""
    names = [name for bit, name in FLAG_NAMES.items() if flags & bit]
    names += ["reserved"] if flags & RESERVED else []
    return " ".join(names) or "."


def option_words(option: options.TcpOption) -> str:
    """Return an option in the RFC's words, without line breaks."""
    if isinstance(option, mptcp.MptcpOption):
        return _mptcp_words(option)
    match option:
        case options.Timestamps(value, echo):
            return f"timestamps {value} {echo}"
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
    if isinstance(option, mptcp.Dss):
        return " ".join(words + _dss_words(option))
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
    # Long captures have thousands of changes, most of them of options or data: headers are compared whole.
    words = [] if _ip_fields(before) == _ip_fields(after) else _network_changes(before, after)
    if _tcp_fields(before) != _tcp_fields(after):
        words += _transport_changes(before, after)
    if before.option_block != after.option_block:
        words += _option_changes(before.options, after.options)
    words += _payload_changes(before.payload, after.payload)
    words += _checksum_changes(before, after)
    if not words and before.raw != after.raw:
        words.append("lengths, offsets or what the link put behind the packet changed")
    return "; ".join(words)


def _ip_fields(packet: Segment) -> bytes:
    """Return the IP header without the length and the checksum of IPv4, which follow from the rest."""
    raw, end = packet.raw, packet.transport
    return raw[:2] + raw[4:10] + raw[12:end] if packet.version == 4 else raw[:4] + raw[6:end]


def _tcp_fields(segment: Segment) -> tuple[bytes, int, bytes, bytes]:
    """Return the fixed TCP header without data offset and checksum."""
    raw, at = segment.raw, segment.transport
    return raw[at : at + 12], segment.flags, raw[at + 14 : at + 16], raw[at + 18 : at + 20]


def _network_changes(before: Segment, after: Segment) -> list[str]:
    words = _other_values(before, after, ("source", "destination", "ttl", "traffic_class", "identification"))
    if before.ip_options != after.ip_options:
        words.append("IP options or extension headers changed")
    return words


def _transport_changes(before: Segment, after: Segment) -> list[str]:
    words = _other_values(before, after, ("source_port", "destination_port"))
    for name, distance in (("seq", after.seq - before.seq), ("ack", after.ack - before.ack)):
        if distance:
            words.append(f"{name} {distance:+d}")
    if before.flags != after.flags:
        words.append(f"flags {flag_names(before.flags)} became {flag_names(after.flags)}")
    return words + _other_values(before, after, ("window", "urgent"))


def _other_values(before: Segment, after: Segment, fields: Sequence[str]) -> list[str]:
    return [
        f"{name.replace('_', ' ')} {old} became {new}"
        for name in fields
        if (old := getattr(before, name)) != (new := getattr(after, name))
    ]


def _payload_changes(before: bytes, after: bytes) -> list[str]:
    if before == after:
        return []
    if len(before) != len(after):
        return [f"payload {len(before)} became {len(after)} octets"]
    differences = int.from_bytes(before, "big") ^ int.from_bytes(after, "big")
    octets = differences.to_bytes(len(before), "big")
    first = len(octets) - len(octets.lstrip(b"\0"))
    return [f"{len(octets) - octets.count(0)} octets of payload changed, the first at {first}"]


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
    words = [
        f"removed {option_words(option)}"
        for option in _surplus(before, after)
        if not isinstance(option, options.EndOfOptionList)
    ]
    words += [f"added {option_words(option)}" for option in _surplus(after, before)]
    return words or ["options moved or padded otherwise"]


def _surplus(
    found: Sequence[options.TcpOption], others: Sequence[options.TcpOption]
) -> list[options.TcpOption]:
    """Return the options that are in `found` more often than in `others`, alike ones together; no NOPs."""
    matched = list(others)
    surplus = []
    for option in found:
        if option in matched:
            matched.remove(option)
        elif not isinstance(option, options.NoOperation):
            surplus.append(option)
    return sorted(surplus, key=found.index)
