"""The reference MPTCP endpoint: RFC 8684 over RFC 9293, without I/O (see `endpoint.Endpoint`)."""

from mbtest.endpoint.configuration import Configuration
from mbtest.endpoint.connection import Connection
from mbtest.endpoint.endpoint import Endpoint
from mbtest.endpoint.events import Event, Kind
from mbtest.endpoint.profiles import PROFILES, Profile
from mbtest.endpoint.subflow import Subflow

__all__ = ["PROFILES", "Configuration", "Connection", "Endpoint", "Event", "Kind", "Profile", "Subflow"]
