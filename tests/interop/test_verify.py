"""The verifier finds what is wrong: of a run's packets, one is changed."""

import msgspec
import pytest

from mbtest.wire import AddAddr, Dss, MpCapable, MpJoinAck, MpJoinSyn, MpJoinSynAck, decode
from tests.interop.kernel import SIGNAL, KernelEndpoint
from tests.interop.scene import mesh
from tests.interop.verify import Verifier

CHANGES = {
    "token": (MpJoinSyn, lambda option: {"token": option.token ^ 1}, "wrong token"),
    "hmac-of-syn-ack": (MpJoinSynAck, lambda option: {"hmac": option.hmac ^ 1}, "HMAC of MP_JOIN"),
    "hmac-of-third-ack": (MpJoinAck, lambda option: {"hmac": bytes(20)}, "HMAC of MP_JOIN"),
    "hmac-of-add-addr": (
        AddAddr,
        lambda option: {"hmac": bytes(8)} if option.hmac else None,
        "HMAC of ADD_ADDR",
    ),
    "key": (MpCapable, lambda option: {"receiver_key": 1} if option.receiver_key else None, "wrong echo"),
    "checksum": (
        Dss,
        lambda option: {"checksum": option.checksum ^ 1} if option.checksum else None,
        "checksum",
    ),
    "no-checksum": (Dss, lambda option: {"checksum": None} if option.checksum else None, "not as negotiated"),
    "number": (Dss, lambda option: {"dsn": option.dsn + 1} if option.length > 1 else None, "checksum wrong"),
    "mapping": (Dss, lambda option: {"length": 50} if option.length > 100 else None, "have no mapping"),
    "data-ack": (Dss, lambda option: {"data_ack": 1} if option.data_ack else None, "Data ACK of offset"),
    "data-fin": (Dss, lambda option: {"length": 3} if option.data_fin else None, "DATA_FIN"),
    "echo": (AddAddr, lambda option: {"address_id": 9} if option.echo else None, "echo of an ADD_ADDR"),
}


def replay(packets, change=None):
    """Return what the verifier says of packets, one of which carries another option."""
    verifier = Verifier()
    for sender, raw in packets:
        segment = decode(raw)
        options = list(segment.options)
        for at, option in enumerate(options):
            if (
                change is not None
                and isinstance(option, change[0])
                and (fields := change[1](option)) is not None
            ):
                options[at] = msgspec.structs.replace(option, **fields)
                segment = segment.with_options(options)
                change = None
                break
        verifier.add(sender, segment.raw)
    verifier.finish()
    return verifier.breaches


@pytest.fixture
def packets(play):
    """What both sides send in a connection with joins, announcements and checksums."""
    with play(
        topology=mesh(1, 2), checksum=True, limits=(1, 0), accept_signals=1, subflows=1,
        endpoints=[KernelEndpoint(1, SIGNAL)],
    ) as scene:  # fmt: skip
        scene.exchange()
        scene.await_joined(1)
        scene.exchange()
    return list(scene.packets())


@pytest.mark.parametrize("ours", ["client"], indirect=True)
def test_what_is_wrong_is_found(packets):
    assert replay(packets) == []
    for name, change in CHANGES.items():
        assert any(change[2] in breach for breach in replay(packets, change)), name
