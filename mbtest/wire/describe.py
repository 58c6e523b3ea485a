"""Packets and options in words: for transcripts, packet comments and error messages."""

from __future__ import annotations

from collections.abc import Sequence

from mbtest.wire import mptcp, options
from mbtest.wire.ip import Packet
from mbtest.wire.packet import FLAG_NAMES, Segment


def flag_names(flags: int) -> str:
    """Return the control bits by name, SYN first, as "SYN ACK"; a dot where none is set."""
    return " ".join(name for bit, name in FLAG_NAMES.items() if flags & bit) or "."


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
        case options.Experimental(kind, exid, _):
            return f"experimental {kind} ExID {exid:#06x}"
    return f"option {option.kind}"


def _mptcp_words(option: mptcp.MptcpOption) -> str:
    words = [option.name]
    match option:
        case mptcp.MpCapable():
            words.append(f"v{option.version}")
            if option.checksum_required:
                words.append("checksum")
            for name, key in (("key", option.sender_key), ("peer's key", option.receiver_key)):
                if key is not None:
                    words.append(f"{name} {key:016x}")
            if option.data_length is not None:
                words.append(f"data length {option.data_length}")
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
    """Return in words what a box made of `before`, empty where nothing that matters differs."""
    words: list[str] = []
    for name in ("source", "destination", "source_port", "destination_port"):
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            words.append(f"{name.replace('_', ' ')} {old} became {new}")
    for name, distance in (("seq", after.seq - before.seq), ("ack", after.ack - before.ack)):
        if distance and (name == "seq" or before.has_ack):
            words.append(f"{name} {distance:+d}")
    if before.flags != after.flags:
        words.append(f"flags {flag_names(before.flags)} became {flag_names(after.flags)}")
    if before.window != after.window:
        words.append(f"window {before.window} became {after.window}")
    if before.payload_length != after.payload_length:
        words.append(f"payload {before.payload_length} became {after.payload_length} octets")
    elif before.payload != after.payload:
        differing = [
            i for i, pair in enumerate(zip(before.payload, after.payload, strict=True)) if pair[0] != pair[1]
        ]
        words.append(f"{len(differing)} octets of payload changed, the first at {differing[0]}")
    if before.option_block != after.option_block:
        words += _option_changes(before.options, after.options)
    return "; ".join(words)


def _option_changes(before: Sequence[options.TcpOption], after: Sequence[options.TcpOption]) -> list[str]:
    padding = (options.NoOperation, options.EndOfOptionList)
    gone = [option for option in before if option not in after and not isinstance(option, padding)]
    new = [option for option in after if option not in before and not isinstance(option, options.NoOperation)]
    words = [f"removed {option_words(option)}" for option in gone]
    words += [f"added {option_words(option)}" for option in new]
    return words or ["options moved or padded otherwise"]
