"""Links that lose, overtake, double, delay: as stated, and drawn by a seeded chance."""

import pytest

from tests.interop.kernel import SUBFLOW, KernelEndpoint
from tests.interop.scene import MILLISECOND, mesh
from tests.interop.talker import octets

LINKS = {
    "loss-1": {"loss": 0.01},
    "loss-3": {"loss": 0.03},
    "reorder": {"reorder": 0.05, "reorder_by_us": 3 * MILLISECOND},
    "duplicate": {"duplicate": 0.05},
    "delay": {"delay_us": 20 * MILLISECOND},
    "rate": {"rate_bps": 20_000_000, "queue_bytes": 60_000, "delay_us": 5 * MILLISECOND},
    "all": {
        "loss": 0.01, "reorder": 0.02, "reorder_by_us": 3 * MILLISECOND, "duplicate": 0.02,
        "delay_us": 2 * MILLISECOND, "rate_bps": 50_000_000,
    },
}  # fmt: skip


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("subflows", [1, 2])
def test_the_streams_stay_whole(play, ours, link, subflows):
    further = {"limits": (1, 0), "subflows": 1}
    further |= {"join_from": (1,)} if ours == "client" else {"endpoints": [KernelEndpoint(1, SUBFLOW)]}
    family = "v6" if subflows == 2 else "v4"
    # What comes late, or once more, may find its connection gone.
    settings = {"resets": True, "may_count": ("MPRstTx", "MPRstRx", "reset")}
    if link == "delay":
        settings = {}
    if subflows == 1:
        further = {}
    with play(family, mesh(subflows, 1, **LINKS[link]), checksum=True, **settings, **further) as scene:
        scene.exchange(1000)
        scene.await_joined(subflows - 1)
        for role, talker in scene.talkers.items():
            talker.say(octets(250_000, role))
        scene.deliver()
