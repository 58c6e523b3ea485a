"""The fabric's side of every interface: one AF_PACKET socket, a ring to receive from, batches to send in.

Receiving: a PACKET_RX_RING of version 2, in memory shared with the kernel. Its size does not depend on
rmem_max, which an ordinary user cannot exceed, and a packet costs no system call. (Version 3 packs better,
but hands over a block only when it is full or a timer of some milliseconds has run out.) Sending: packets
gather in a buffer and leave with one sendmmsg. The socket is of type SOCK_DGRAM: the kernel makes and
removes the link headers.
"""

import ctypes
import errno
import mmap
import os
import socket
import struct
from collections import Counter
from collections.abc import Callable

_SOL_PACKET, _ETH_P_ALL, _ETH_P_IP, _ETH_P_IPV6 = 263, 0x0003, 0x0800, 0x86DD
_PACKET_RX_RING, _PACKET_STATISTICS, _PACKET_VERSION = 5, 6, 10
_PACKET_QDISC_BYPASS, _PACKET_IGNORE_OUTGOING = 20, 23
_TPACKET_V2 = 1

# A slot takes a header of 80 octets and a packet of up to 1500.
_SLOT = 2048
_BLOCK = 1 << 16
# As much as can be on its way at once. A sender keeps unacknowledged what net.ipv4.tcp_wmem allows it, 4 MiB
# unless set otherwise: 3000 full segments, and as many again where a connection sends both ways.
_SLOTS = 8192
_RECEIVE_AT_ONCE = 256

# struct tpacket2_hdr in words of 32 bits: status, length, captured length, offsets of the link and network
# headers in one word. struct sockaddr_ll follows at octet 32, with the interface's number at 36.
_STATUS_WORD, _LENGTH_WORD, _CAPTURED_WORD, _OFFSETS_WORD, _INDEX_WORD = 0, 1, 2, 3, 9
_TP_STATUS_USER = 1

# struct mmsghdr and struct iovec in words of 64 bits: how long they are, and where their fields are.
_MESSAGE, _NAME_WORD, _NAME_LENGTH_WORD, _VECTORS_WORD, _VECTOR_COUNT_WORD = 8, 0, 1, 2, 3
_VECTOR, _BASE_WORD, _VECTOR_LENGTH_WORD = 2, 0, 1
_WORD = 8
_SOCKADDR_LL = struct.Struct("=HHiHBB8s")
_SEND_AT_ONCE = 256
# Packets beyond a slot of the buffer, which boxes can make, go one at a time.
_LONGEST = 1 << 16
# How often in a row the kernel may say that its queues are full.
_PATIENCE = 100_000

Take = Callable[[bytes], None]

_libc = ctypes.CDLL(None, use_errno=True)
_bind = _libc.bind
_bind.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
_sendmmsg = _libc.sendmmsg
_sendmmsg.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int]


class PacketSocket:
    """IP packets from and to all interfaces of the namespace that it is made in."""

    def __init__(self, slots: int = _SLOTS) -> None:
        """Open the socket, with room for `slots` packets of up to 1500 octets. Raises OSError.

        slots: a multiple of 32. The kernel takes some 8 ms for the ring, waiting for other processors.
        """
        self.truncated = 0
        """Packets received that were longer than 1500 octets and lost their end."""
        self._overrun = 0
        self._at = 0
        self._size = slots * _SLOT
        self._takers: dict[int, Take] = {}
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, 0)
        try:
            self._socket.setsockopt(_SOL_PACKET, _PACKET_VERSION, _TPACKET_V2)
            self._socket.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
            # A pair of interfaces has no queue; but until the kernel notices that a new one has its carrier,
            # which it does in its own time, a queue that drops everything stands in.
            self._socket.setsockopt(_SOL_PACKET, _PACKET_QDISC_BYPASS, 1)
            ring = struct.pack("=IIII", _BLOCK, self._size // _BLOCK, _SLOT, slots)
            self._socket.setsockopt(_SOL_PACKET, _PACKET_RX_RING, ring)
            self._ring = mmap.mmap(self._socket.fileno(), self._size)
            # Bound last: the kernel waits again for a socket that already receives. And bound by hand, since
            # socket.bind insists on an interface.
            everything = _SOCKADDR_LL.pack(socket.AF_PACKET, socket.htons(_ETH_P_ALL), 0, 0, 0, 0, b"")
            if _bind(self._socket.fileno(), everything, len(everything)) != 0:
                code = ctypes.get_errno()
                raise OSError(code, os.strerror(code), "bind")
        except BaseException:
            self._socket.close()
            raise
        self._octets = memoryview(self._ring)
        self._words = self._octets.cast("I")
        self._batch = _Batch(self._socket.fileno())

    def fileno(self) -> int:
        """Return the descriptor; it can be read while packets are in the ring."""
        return self._socket.fileno()

    def take(self, index: int, take: Take) -> None:
        """Have packets that arrive on the interface of this number given to `take`."""
        self._takers[index] = take

    def sender(self, index: int, link_address: bytes) -> Take:
        """Return what sends an IP packet to a neighbour on an interface; it leaves at the next `flush`."""
        return self._batch.sender(index, link_address)

    def reset(self) -> None:
        """Forget who takes and who sends, what is in the ring and what waits to leave, and all counts."""
        self._takers.clear()
        for _ in range(0, self._size, _RECEIVE_AT_ONCE * _SLOT):
            self.receive()
        self.overrun()
        self._overrun = self.truncated = 0
        self._batch.reset()

    def receive(self) -> None:
        """Give out what is in the ring, in the order in which it came, up to some hundred packets."""
        words, ring, takers, at, size = self._words, self._ring, self._takers, self._at, self._size
        for _ in range(_RECEIVE_AT_ONCE):
            word = at >> 2
            if not words[word] & _TP_STATUS_USER:
                break
            length = words[word + _CAPTURED_WORD]
            start = at + (words[word + _OFFSETS_WORD] >> 16)
            raw = ring[start : start + length]
            take = takers.get(words[word + _INDEX_WORD])
            if words[word + _LENGTH_WORD] != length:
                self.truncated += 1
            words[word] = 0
            at += _SLOT
            if at == size:
                at = 0
            self._at = at
            if take is not None and raw:
                take(raw)

    def flush(self) -> None:
        """Send what has gathered."""
        self._batch.flush()

    @property
    def resent(self) -> int:
        """Packets for which the kernel had no room at first. Interface statistics count each as dropped."""
        return self._batch.resent

    @property
    def unsent(self) -> Counter[str]:
        """Packets that could not be sent, by the kernel's reason."""
        return self._batch.unsent

    def overrun(self) -> int:
        """Return how many packets found the ring full, and are lost."""
        statistics = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        # The kernel begins again at 0 after each reading.
        self._overrun += struct.unpack("=II", statistics)[1]
        return self._overrun

    def close(self) -> None:
        """Close the socket. The kernel takes some 20 ms for it, waiting for other processors."""
        self._words.release()
        self._octets.release()
        self._ring.close()
        self._socket.close()


class _Batch:
    """Packets that wait to be sent together, laid out as sendmmsg wants them."""

    def __init__(self, descriptor: int) -> None:
        self.resent = 0
        self.unsent: Counter[str] = Counter()
        self._descriptor = descriptor
        self._count = 0
        self._slots = ctypes.create_string_buffer(_SEND_AT_ONCE * _SLOT)
        self._messages = ctypes.create_string_buffer(_SEND_AT_ONCE * _MESSAGE * _WORD)
        self._vectors = ctypes.create_string_buffer(_SEND_AT_ONCE * _VECTOR * _WORD)
        self._long = ctypes.create_string_buffer(_LONGEST)
        self._slot_octets = memoryview(self._slots).cast("B")
        self._long_octets = memoryview(self._long).cast("B")
        self._message_words = memoryview(self._messages).cast("B").cast("Q")
        self._vector_words = memoryview(self._vectors).cast("B").cast("Q")
        vectors = ctypes.addressof(self._vectors)
        for at in range(_SEND_AT_ONCE):
            message = at * _MESSAGE
            self._message_words[message + _NAME_LENGTH_WORD] = _SOCKADDR_LL.size
            self._message_words[message + _VECTORS_WORD] = vectors + at * _VECTOR * _WORD
            self._message_words[message + _VECTOR_COUNT_WORD] = 1
            self._vector_words[at * _VECTOR + _BASE_WORD] = ctypes.addressof(self._slots) + at * _SLOT

    def reset(self) -> None:
        self._count = self.resent = 0
        self.unsent = Counter()

    def sender(self, index: int, link_address: bytes) -> Take:
        names = _name(index, _ETH_P_IP, link_address), _name(index, _ETH_P_IPV6, link_address)
        v4, v6 = (ctypes.addressof(name) for name in names)
        slots, messages, vectors = self._slot_octets, self._message_words, self._vector_words

        def send(raw: bytes, _kept: object = names) -> None:
            at, length = self._count, len(raw)
            name = v4 if raw[0] < 0x50 else v6
            if length > _SLOT:
                self._send_long(raw, name)
                return
            slots[at * _SLOT : at * _SLOT + length] = raw
            messages[at * _MESSAGE + _NAME_WORD] = name
            vectors[at * _VECTOR + _VECTOR_LENGTH_WORD] = length
            self._count = at + 1
            if at + 1 == _SEND_AT_ONCE:
                self.flush()

        return send

    def flush(self) -> None:
        if self._count:
            count, self._count = self._count, 0
            self._send(count)

    def _send_long(self, raw: bytes, name: int) -> None:
        """Send a packet that no slot can hold, after those that came before it."""
        self.flush()
        self._long_octets[: len(raw)] = raw
        self._message_words[_NAME_WORD] = name
        self._vector_words[_BASE_WORD] = ctypes.addressof(self._long)
        self._vector_words[_VECTOR_LENGTH_WORD] = len(raw)
        self._send(1)
        self._vector_words[_BASE_WORD] = ctypes.addressof(self._slots)

    def _send(self, count: int) -> None:
        messages, sent, refusals = ctypes.addressof(self._messages), 0, 0
        while sent < count:
            done = _sendmmsg(self._descriptor, messages + sent * _MESSAGE * _WORD, count - sent, 0)
            if done > 0:
                sent += done
                refusals = 0
                continue
            code = ctypes.get_errno()
            if code in (errno.ENOBUFS, errno.EAGAIN) and refusals < _PATIENCE:
                # The receiving host's queue on this processor is full: let the kernel work it off.
                self.resent += code == errno.ENOBUFS
                refusals += 1
                os.sched_yield()
            elif code != errno.EINTR:
                self.unsent[os.strerror(code)] += 1
                sent += 1


def _name(index: int, protocol: int, link_address: bytes) -> "ctypes.Array[ctypes.c_char]":
    """Return the address of a neighbour, with the protocol of what is sent to it, where C can read it."""
    name = _SOCKADDR_LL.pack(socket.AF_PACKET, socket.htons(protocol), index, 0, 0, 6, link_address)
    return ctypes.create_string_buffer(name, len(name))
