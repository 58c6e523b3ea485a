"""A box that inserts HTTP headers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated

from mbtest.errors import UsageError
from mbtest.middlebox import ContentGateway, Edit, Parameter

_END = b"\r\n"
_START_LINE = re.compile(rb"(?:[A-Z]+ [^ \r\n]+ HTTP/1\.[01]|HTTP/1\.[01] \d{3}[^\r\n]*)\r\n")


class InsertHttpHeader(ContentGateway):
    """Puts a header field into the first HTTP/1 head of a stream, as a carrier's header enrichment does.

    It stands behind the request or status line, which has to come whole in the first segment of data.
    Streams that begin with something else, and all that comes behind the head, stay as they are. Aim it
    at a direction; without an aim it puts the field into requests and answers.
    """

    field: Annotated[str, Parameter("the header field, name and value")] = "X-Forwarded-For: 192.0.2.1"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not re.fullmatch(r"[!-9;-~]+:[ -~]*", self.field):
            raise UsageError(
                f"InsertHttpHeader: field={self.field!r:.60} is no header field; give 'Name: value'"
            )

    def edits(self, start: int, data: bytes) -> Iterator[Edit]:
        if start == 0 and (line := _START_LINE.match(data)):
            yield Edit(line.end() - len(_END), 0, _END + self.field.encode())
