from __future__ import annotations

from collections.abc import Sequence

import pytest

from mbtest.middlebox import Direction, Middlebox
from mbtest.middlebox.pages import PageServer
from mbtest.wire import MptcpOption, Segment
from tests.middlebox.bench import TO_CLIENT, TO_SERVER
from tests.middlebox.hosts import Hosts

PAGE = b"come back later"


class Serving(Middlebox):
    """Answers every flow of the client itself."""

    def start(self) -> None:
        self.server: PageServer | None = None

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        if direction is TO_SERVER:
            if self.server is None:
                self.server = PageServer(self, segment, TO_CLIENT, PAGE)
            self.server.take(segment)
        return ()


@pytest.mark.parametrize("version", [4, 6])
def test_whatever_is_asked_is_answered_with_the_page_and_the_server_hears_nothing(version: int) -> None:
    hosts = Hosts(Serving(), version=version)
    client = hosts.connect(b"a request", b"an answer")
    assert hosts.run(lambda: client.ended)
    assert bytes(client.got) == PAGE
    assert client.connection.error is None
    assert hosts.arrived[TO_SERVER] == []
    assert not any(one.option(MptcpOption) for one in hosts.arrived[TO_CLIENT])


def test_a_page_that_is_lost_is_sent_again() -> None:
    hosts = Hosts(Serving())
    lost: list[Segment] = []

    def loses(packet: object) -> bool:
        if isinstance(packet, Segment) and packet.payload == PAGE and not lost:
            lost.append(packet)
            return True
        return False

    hosts.loses = loses
    client = hosts.connect(b"a request", b"")
    assert hosts.run(lambda: client.ended)
    assert lost
    assert bytes(client.got) == PAGE


def test_who_asks_nothing_gets_no_page() -> None:
    hosts = Hosts(Serving())
    client = hosts.connect(b"", b"")
    assert hosts.run(lambda: client.ended)
    assert bytes(client.got) == b""
