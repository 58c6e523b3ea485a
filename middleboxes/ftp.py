"""A box that rewrites addresses in FTP commands and replies."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated

from mbtest.middlebox import ContentGateway, Edit, Parameter

_TOLD = re.compile(
    rb"""
    (?: ^ | (?<=\n) )
    (?: (?i:PORT) [ ] (?P<port> \d{1,3} (?: ,\d{1,3} ){3} ) (?= (?: ,\d{1,3} ){2} \r\n )
      | 227 [ ] [^\r\n]*? (?P<passive> \d{1,3} (?: ,\d{1,3} ){3} ) (?= (?: ,\d{1,3} ){2} \D [^\r\n]* \r\n )
      | (?i:EPRT) [ ] \|1\| (?P<four> [\d.]+ ) \|\d+\|\r\n
      | (?i:EPRT) [ ] \|2\| (?P<six> [\da-fA-F:.]+ ) \|\d+\|\r\n
    )
    """,
    re.VERBOSE,
)
"""Lines that tell an address."""


class TranslateFtp(ContentGateway):
    """Rewrites the address in PORT, in the answer to PASV, and in EPRT, as the FTP gateway of a NAT does.

    RFC 959, RFC 2428. Text changes its length, so the numbers of all that comes behind it do, too. Ports
    stay as they are, and so does what is cut across segments, as with most gateways. Every port counts as
    a control channel: aim it. IP addresses are a translator's business.
    """

    external_v4: Annotated[IPv4Address, Parameter("address put in place of IPv4 ones")] = IPv4Address(
        "198.51.100.1"
    )
    external_v6: Annotated[IPv6Address, Parameter("address put in place of IPv6 ones")] = IPv6Address(
        "2001:db8:ffff::1"
    )

    def edits(self, start: int, data: bytes) -> Iterator[Edit]:
        for found in _TOLD.finditer(data):
            (form, text), *_ = ((name, text) for name, text in found.groupdict().items() if text)
            address = self.external_v6 if form == "six" else self.external_v4
            new = str(address).encode()
            if form in ("port", "passive"):
                new = new.replace(b".", b",")
            yield Edit(start + found.start(form), len(text), new)
