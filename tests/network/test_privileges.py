from __future__ import annotations

import os
import subprocess
import sys

from mbtest.network import privileges

# A process that was root becomes an ordinary user's; one that was not gives up what it has. All is imported
# before, since the interpreter itself may be root's.
ORDINARY = """
import ctypes, encodings.ascii, encodings.idna, os, socket, subprocess, sys, tempfile, threading, traceback
from pathlib import Path
from mbtest import content
from mbtest.errors import HarnessError, UsageError
from mbtest.network import privileges
from mbtest.network.namespaces import NamespaceNetwork
from mbtest.network.topology import load_topology

PR_SET_DUMPABLE, CAP_SETFCAP, NOBODY, EVERYBODY = 4, 31, 65534, 4294967295
libc = ctypes.CDLL(None, use_errno=True)

def give_up():
    # Who is root of a user namespace can be so of another within only with this one.
    kept = 1 << CAP_SETFCAP if os.getuid() == 0 else 0
    header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(kept, kept)
    assert libc.capset(header, data) == 0

if int(Path("/proc/self/uid_map").read_text().split()[2]) == EVERYBODY and os.getuid() == 0:
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    # As after exec: otherwise the files of the process in /proc stay root's.
    libc.prctl(PR_SET_DUMPABLE, 1)
give_up()
"""
BUILD = """
topology = load_topology(content.shipped() / "topologies" / "one-path.toml")
for family in ("v4", "v6", "mixed"):
    with NamespaceNetwork(topology, family, {}, 1) as network:
        kind = socket.AF_INET6 if family == "v6" else socket.AF_INET
        server, client = network.hosts["server"], network.hosts["client"]
        address = server.interfaces[0].v6 if family == "v6" else server.interfaces[0].v4
        listener = server.socket(kind, socket.SOCK_STREAM, 262)
        listener.bind((str(address), 80))
        listener.listen()
        got = []
        network.loop.add_reader(listener, lambda: got.append(listener.accept()[0]))
        connecting = client.socket(kind, socket.SOCK_STREAM, 262)
        connecting.connect_ex((str(address), 80))
        assert network.loop.run(lambda: bool(got), 5_000_000)
        assert network.losses() == []
        assert len(network.capture) >= 4
        for end in (listener, connecting, *got):
            end.close()
print("built")
"""


def as_ordinary_user(code: str) -> str:
    """Run Python code as a user without any privileges and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", ORDINARY + code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_whoever_has_the_right_stays_where_they_are() -> None:
    before = os.stat("/proc/self/ns/user").st_ino, os.stat("/proc/self/ns/net").st_ino
    privileges.enter()
    assert (os.stat("/proc/self/ns/user").st_ino, os.stat("/proc/self/ns/net").st_ino) == before


def test_an_ordinary_user_builds_networks() -> None:
    assert as_ordinary_user("privileges.enter()\n" + BUILD) == "built\n"


def test_entering_again_changes_nothing() -> None:
    where = "os.stat('/proc/self/ns/user').st_ino, os.stat('/proc/self/ns/net').st_ino"
    printed = as_ordinary_user(
        f"before = {where}\nprivileges.enter()\nonce = {where}\nprivileges.enter()\n"
        f"print(before == once, once == ({where}))"
    )
    assert printed == "False True\n"


def test_programs_that_the_process_starts_have_the_right() -> None:
    status = as_ordinary_user(
        "privileges.enter()\nsubprocess.run(['/bin/cat', '/proc/self/status'], check=True)"
    )
    (effective,) = (line.split()[1] for line in status.splitlines() if line.startswith("CapEff"))
    net_admin, net_raw, sys_admin = 12, 13, 21
    assert all(int(effective, 16) >> capability & 1 for capability in (net_admin, net_raw, sys_admin))


def test_a_user_whose_machine_forbids_it_is_told_how_to_allow_it() -> None:
    # In a user namespace of its own, a process may set the limit for itself.
    printed = as_ordinary_user(
        "privileges.enter()\n"
        "Path('/proc/sys/user/max_user_namespaces').write_text('0')\n"
        "give_up()\n"
        "try:\n    privileges.enter()\n"
        "except UsageError as error:\n    print(error)\n"
    )
    (line,) = printed.splitlines()
    assert line.startswith("network namespaces: No space left on device; run as root")
    assert line.endswith("sysctl user.max_user_namespaces=10000")


def test_a_user_without_the_right_who_started_threads_is_our_fault() -> None:
    printed = as_ordinary_user(
        "over = threading.Event()\n"
        "thread = threading.Thread(target=over.wait, daemon=True)\n"
        "thread.start()\n"
        "try:\n    privileges.enter()\n"
        "except HarnessError as error:\n    print(error)\n"
        "over.set()\n"
    )
    assert "after threads had been started" in printed


def test_files_that_a_user_makes_stay_the_users() -> None:
    printed = as_ordinary_user(
        "uid = os.getuid()\n"
        "privileges.enter()\n"
        "with tempfile.TemporaryDirectory() as folder:\n"
        "    print(os.getuid(), os.stat(folder).st_uid)\n"
        "print(Path('/proc/self/uid_map').read_text().split()[1] == str(uid))"
    )
    # Root inside is the user outside.
    assert printed == "0 0\nTrue\n"
