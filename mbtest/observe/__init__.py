"""Rebuilds what happened from captured packets alone; stands on the codec and nothing else."""

from mbtest.observe.flows import CLIENT, SERVER, FlowView, HalfView, HostView, Observation, Seen, Stage

__all__ = ["CLIENT", "SERVER", "FlowView", "HalfView", "HostView", "Observation", "Seen", "Stage"]
