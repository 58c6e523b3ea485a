"""A box that sends joining subflows to a server that does not know their connection."""

from __future__ import annotations

from collections.abc import Sequence

from mbtest.middlebox import Direction, Middlebox
from mbtest.wire import MpJoinSyn, Segment, TcpOption


class MisdirectJoins(Middlebox):
    """Sends SYNs with MP_JOIN to another server, as a load balancer does that balances by the four-tuple.

    The server at hand plays the other one: MP_JOIN reaches it with a token that none of its connections
    has, every bit inverted. So the answer is that of a real server of the same kind, and no forgery.
    Everything else passes, later segments of the same flow included: they go to the same server.
    """

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        if segment.option(MpJoinSyn) is None:
            return (segment,)
        self.note(segment, "sent it to a server without this token")
        options = [_unknown(option) for option in segment.options]
        return (segment.with_options(options),)


def _unknown(option: TcpOption) -> TcpOption:
    if not isinstance(option, MpJoinSyn):
        return option
    return MpJoinSyn(option.address_id, option.token ^ 0xFFFFFFFF, option.nonce, option.flags)
