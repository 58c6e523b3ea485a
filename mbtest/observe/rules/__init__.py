"""Conformance rules, by topic; importing this registers them all."""

from mbtest.observe.rules import acks, addresses, capable, closing, dss, failures, fallback, join, tcp
from mbtest.observe.rules.registry import MUST, RULES, SHOULD, Breach, Rule, Rulebook

__all__ = [
    "MUST", "RULES", "SHOULD", "Breach", "Rule", "Rulebook",
    "acks", "addresses", "capable", "closing", "dss", "failures", "fallback", "join", "tcp",
]  # fmt: skip
