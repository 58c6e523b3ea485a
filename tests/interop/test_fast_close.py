"""MP_FASTCLOSE from either side, in both forms (RFC 8684 §3.5)."""

import pytest

from mbtest.endpoint import Kind
from mbtest.wire import MpFastclose
from tests.interop.kernel import SUBFLOW, KernelEndpoint
from tests.interop.scene import mesh
from tests.interop.talker import octets

MAY = ("MPRstTx", "MPRstRx", "reset")


def fast_closes(scene, sender):
    return [
        (sent.segment.rst, option)
        for sent, option in scene.verified.options
        if isinstance(option, MpFastclose) and sent.sender == sender
    ]


def joined(ours):
    """What has the client open a second subflow."""
    if ours == "client":
        return {"join_from": (1,), "subflows": 1, "limits": (1, 0)}
    return {"endpoints": [KernelEndpoint(1, SUBFLOW)], "subflows": 1, "limits": (1, 0)}


@pytest.mark.parametrize("family", ["v4", "v6"])
@pytest.mark.parametrize("subflows", [1, 2])
def test_the_kernel_aborts(play, ours, family, subflows):
    further = joined(ours) if subflows > 1 else {}
    with play(
        family,
        mesh(subflows),
        counts=("MPFastcloseTx", "fast close", "lost"),
        may_count=MAY,
        resets=True,
        **further,
    ) as scene:
        scene.exchange(100)
        scene.await_joined(subflows - 1)
        scene.its.abort()
        scene.is_aborted = True
        scene.until(lambda: bool(scene.our.lost), "the application was told")
        assert scene.our.lost == "ECONNRESET"
        assert [event.clause for event in scene.endpoint.events() if event.kind is Kind.FASTCLOSE] == [
            "RFC 8684 §3.5"
        ]
        scene.our.close()
        scene.await_end()
    assert fast_closes(scene, scene.kernels)


@pytest.mark.parametrize("family", ["v4", "v6"])
@pytest.mark.parametrize("subflows", [1, 2])
@pytest.mark.parametrize("with_reset", [False, True], ids=["ack", "rst"])
def test_the_endpoint_aborts(play, ours, family, subflows, with_reset):
    further = joined(ours) if subflows > 1 else {}
    with play(
        family, mesh(subflows), counts=("MPFastcloseRx", "fast close"), may_count=MAY, resets=True,
        fastclose_with_reset=with_reset, **further,
    ) as scene:  # fmt: skip
        scene.exchange(100)
        scene.await_joined(subflows - 1)
        scene.our.abort()
        scene.is_aborted = True
        scene.until(lambda: bool(scene.its.lost), "the application was told")
        assert scene.its.lost == "ECONNRESET"
        scene.its.close()
        scene.await_end()
    sent = fast_closes(scene, scene.ours)
    assert sent
    assert {on_reset for on_reset, _ in sent} == {with_reset}


@pytest.mark.parametrize(
    ("by_us", "with_reset"),
    [(True, False), (True, True), (False, False)],
    ids=["by-us-ack", "by-us-rst", "by-kernel"],
)
def test_an_abort_amid_data_on_two_subflows(play, ours, by_us, with_reset):
    """What was under way is lost; no octet that arrived is wrong."""
    counts = ("MPFastcloseRx", "fast close") if by_us else ("MPFastcloseTx", "fast close", "lost")
    with play(
        "v4", mesh(2, delay_us=1000), counts=counts, may_count=MAY, resets=True,
        fastclose_with_reset=with_reset, **joined(ours),
    ) as scene:  # fmt: skip
        scene.exchange(100)
        scene.await_joined(1)
        near, far = (scene.our, scene.its) if by_us else (scene.its, scene.our)
        for role, talker in scene.talkers.items():
            talker.say(octets(2_000_000, role))
        scene.until(lambda: min(len(near.heard), len(far.heard)) > 100_000, "data flows both ways")
        near.abort()
        scene.is_aborted = True
        scene.until(lambda: bool(far.lost), "the application was told")
        assert far.lost == "ECONNRESET"
        far.close()
        scene.await_end()
