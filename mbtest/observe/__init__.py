"""Rebuilds what happened from captured packets alone; stands on the codec and nothing else."""

from mbtest.observe.flows import FlowView, HalfView, HostView, Seen, Stage
from mbtest.observe.observation import Observation
from mbtest.observe.trace import CLIENT, SERVER

__all__ = ["CLIENT", "SERVER", "FlowView", "HalfView", "HostView", "Observation", "Seen", "Stage"]
