"""The box contract: what a middlebox is, how it is aimed, how boxes stand in a row."""

from mbtest.middlebox.aim import Aim
from mbtest.middlebox.bindings import Behaviour, Bindings, Endpoint, Ports, port_of
from mbtest.middlebox.chain import BoxError, Chain
from mbtest.middlebox.clock import MICROSECOND, MILLISECOND, SECOND, Clock, Timer
from mbtest.middlebox.contract import Middlebox, Place
from mbtest.middlebox.direction import Direction
from mbtest.middlebox.flows import Flow, FlowKey, FlowTable, HalfFlow, Kind, Sighting, Subflow
from mbtest.middlebox.gateway import ContentGateway, StreamGateway
from mbtest.middlebox.icmp import Complaint, Quote, icmp_error, quoted
from mbtest.middlebox.numbers import MovedHalf, mend_sack
from mbtest.middlebox.parameters import Parameter, ParameterInfo, parameters
from mbtest.middlebox.pieces import can_join, cut, divided, follows, join, joined_options, sized
from mbtest.middlebox.reassembly import Reassembly
from mbtest.middlebox.record import Action, Deed, Record
from mbtest.middlebox.stream import Edit, StreamMap
from mbtest.middlebox.windows import Windows

__all__ = [
    "MICROSECOND", "MILLISECOND", "SECOND", "Action", "Aim", "Behaviour", "Bindings", "BoxError", "Chain",
    "Clock", "Complaint", "ContentGateway", "Deed", "Direction", "Edit", "Endpoint", "Flow", "FlowKey",
    "FlowTable", "HalfFlow", "Kind", "Middlebox", "MovedHalf", "Parameter", "ParameterInfo", "Place",
    "Ports", "Quote", "Reassembly", "Record", "Sighting", "StreamGateway", "StreamMap", "Subflow", "Timer",
    "Windows", "can_join", "cut", "divided", "follows", "icmp_error", "join", "joined_options", "mend_sack",
    "parameters", "port_of", "quoted", "sized",
]  # fmt: skip
