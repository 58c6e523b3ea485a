"""The command line: run, list, show, report. Exit status: 0 nothing unexpected, 1 failures, 2 interrupted,
3 harness fault, 4 usage, 5 nothing ran.
"""

from __future__ import annotations

import enum
import functools
import os
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import click

import mbtest
from mbtest.errors import HarnessError, UsageError


class Status(enum.IntEnum):
    """Exit statuses."""

    EXPECTED = 0
    FAILURES = 1
    INTERRUPTED = 2
    HARNESS_FAULT = 3
    USAGE = 4
    NOTHING_RAN = 5


class _Group(click.Group):
    """A group whose usage errors, click's own included, end in one line and status 4."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        kwargs["standalone_mode"] = False
        try:
            status = super().main(*args, **kwargs)
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message(), err=True)
            sys.exit(Status.USAGE)
        except (click.UsageError, UsageError) as error:
            message = error.format_message() if isinstance(error, click.UsageError) else str(error)
            # click lists choices a line each.
            click.echo(f"mbtest: {' '.join(message.split())}", err=True)
            sys.exit(Status.USAGE)
        except HarnessError as error:
            click.echo(f"mbtest: harness fault: {error}", err=True)
            sys.exit(Status.HARNESS_FAULT)
        except (click.Abort, KeyboardInterrupt):
            click.echo("mbtest: interrupted", err=True)
            sys.exit(Status.INTERRUPTED)
        except BrokenPipeError:
            # Whoever read our output has seen enough; nothing is left to be said to them.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(Status.EXPECTED)
        sys.exit(status if isinstance(status, int) else Status.EXPECTED)


_CONTENT = click.option(
    "--content",
    multiple=True,
    metavar="DIR",
    help="A folder of your own boxes, cases, topologies; searched first.",
)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(mbtest.__version__, prog_name="mbtest")
def main() -> None:
    """What middleboxes do to Multipath TCP."""


@main.command()
@click.argument("cases", nargs=-1, metavar="[CASE-GLOB ...]")
@click.option(
    "--network",
    type=click.Choice(["namespaces", "simulated"]),
    default="namespaces",
    show_default=True,
    help="Real time and real stacks, or virtual time and the reference endpoint, without privileges.",
)
@click.option("--client", default=None, metavar="STACK", help="The client's stack.")
@click.option("--server", default=None, metavar="STACK", help="The server's stack.")
@click.option("--family", default=None, metavar="v4|v6|mixed", help="Only runs of this address family.")
@click.option("--direction", default=None, metavar="to_server|to_client", help="Only runs of this direction.")
@click.option("--checksum/--no-checksum", default=None, help="Only runs with, or without, DSS checksums.")
@click.option("--topology", default=None, metavar="NAME", help="This topology instead of each case's own.")
@click.option(
    "--every", is_flag=True, help="Every combination of families, directions and checksums that a case has."
)
@click.option("--through", default=None, metavar="PRESET", help="A chain of boxes beside each case's own.")
@click.option("--jobs", type=click.IntRange(1, 64), default=None, help="Runs at the same time.")
@click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=1, show_default=True, help="The seed of all chance."
)
@click.option("--out", default=None, metavar="DIR", help="The run directory.  [default: results/TIME]")
@_CONTENT
def run(
    cases: tuple[str, ...],
    network: Literal["namespaces", "simulated"],
    client: str | None,
    server: str | None,
    family: str | None,
    direction: str | None,
    checksum: bool | None,
    topology: str | None,
    every: bool,
    through: str | None,
    jobs: int | None,
    seed: int,
    out: str | None,
    content: tuple[str, ...],
) -> int:
    """Run cases, all of them where none is named, and write a report.

    Where no stack is named, the kernel speaks to itself, and on each side to the reference endpoint; where
    one is, the other host is the kernel. In a simulated network the reference endpoint is the stack that is
    not named. `reference+PROFILE` departs from RFC 8684 in one way.
    """
    from mbtest.harness import launch, pairs

    order = launch.Order(
        cases=cases,
        pairs=pairs.pairs_of(network, client, server),
        family=family,
        direction=direction,
        checksum=checksum,
        topology=topology,
        jobs=jobs,
        seed=seed,
        out=Path(out) if out else default_directory(),
        content=content,
        command=shlex.join(["mbtest", *sys.argv[1:]]),
        network=network,
        every=every,
        through=through,
    )
    return launch.launch(order)


def default_directory() -> Path:
    """Return a run directory below `results/`, named after the time; two at once get two."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    directory = Path("results", stamp)
    number = 1
    while directory.exists():
        number += 1
        directory = Path("results", f"{stamp}-{number}")
    return directory


@main.command(name="list")
@click.argument(
    "what",
    type=click.Choice(
        ["cases", "boxes", "topologies", "stacks", "profiles", "presets", "requirements", "rules"]
    ),
)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@_CONTENT
def list_(what: str, as_json: bool, content: tuple[str, ...]) -> None:
    """List what there is: cases, boxes and chains of them, stacks, and what hosts are held to."""
    from mbtest import content as content_folders
    from mbtest import listing

    content_folders.use(*content)
    listing.show(what, as_json)


@main.command()
@click.argument("wanted", metavar="RUN")
@click.option(
    "--dir",
    "directory",
    default="results/latest",
    show_default=True,
    metavar="DIR",
    help="The run directory.",
)
@click.option("--packets", is_flag=True, help="Packet by packet, and all that was expected and seen.")
def show(wanted: str, directory: str, packets: bool) -> None:
    """Tell the story of one run, by its id or a part of it, in ten to thirty lines to be pasted into a mail.

    What happened, with times and frame numbers, what is owed, which clauses were not followed, what became of
    the streams, and the command that repeats it.
    """
    from mbtest import showing

    showing.show(Path(directory), wanted, packets=packets)


@main.command()
@click.argument("directory", metavar="DIR")
def report(directory: str) -> None:
    """Make the report of a run directory anew."""
    from mbtest.harness import launch

    click.echo(launch.render(Path(directory)))


@main.command()
@click.argument("captures", nargs=-1, metavar="[CAPTURE ...]")
@click.option(
    "--taken-at",
    type=click.Choice(["client", "server", "between"]),
    default="between",
    show_default=True,
    help="Where captures of one point were taken: what reached that host is known then.",
)
@click.option("--client", default=None, metavar="CAPTURE", help="Taken at the client, with --server.")
@click.option("--server", default=None, metavar="CAPTURE", help="Taken at the server at the same time.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--strict", is_flag=True, help="A SHOULD that is not followed gives status 1 as well.")
def check(
    captures: tuple[str, ...],
    taken_at: str,
    client: str | None,
    server: str | None,
    as_json: bool,
    strict: bool,
) -> int:
    """Tell what happened in captures, and which clauses their hosts did not follow.

    Reads pcap and pcapng. A file that mbtest wrote shows what each host sent and received on its own side of
    the boxes. Any other file counts as taken at one point between the hosts, and rules that need to know
    what reached a host, and when, stay silent, unless --taken-at says at which host it was; they speak of
    that host then. Two files of the same time, one from each host, are read together with --client and
    --server. The client is who opened the connection.

    Exit status: 0 where no MUST is broken, 1 where one is, 4 for a file that is no capture. A SHOULD that is
    not followed is told, and gives 0 unless --strict is set.
    """
    from mbtest import checking

    sources = [
        functools.partial(checking.read_one, Path(name), None if taken_at == "between" else taken_at)
        for name in captures
    ]
    if (client is None) != (server is None):
        raise UsageError("--client and --server go together; --taken-at says where a single file was taken")
    if client is not None and server is not None:
        if captures or taken_at != "between":
            raise UsageError("--client and --server are all that is read; leave CAPTURE and --taken-at out")
        sources = [functools.partial(checking.read_two, Path(client), Path(server))]
    if not sources:
        raise UsageError("check: name a CAPTURE, or give --client and --server")
    return checking.check(sources, as_json, strict)
