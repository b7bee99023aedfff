"""Run a command beside a PostgreSQL and a Redis that live as long as it does: `python tests/store_servers.py COMMAND…`

The command finds them by TEST_POSTGRES_URL and TEST_REDIS_URL. Debian's packages are installed where they are missing
and this runs as root; the servers themselves never run as root. Only the standard library is needed.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PACKAGES = ("postgresql", "redis-server")
WAIT_S = 60.0
Process = subprocess.Popen[bytes]
UNSAFE_BUT_FAST = ("fsync=off", "full_page_writes=off", "synchronous_commit=off")  # nothing outlives the run


def main(command: list[str]) -> int:
    """Returns the command's exit code."""
    install_missing()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ensue-stores-")))
        folder.chmod(0o711)
        urls = {
            "TEST_POSTGRES_URL": stack.enter_context(postgres(folder / "postgres")),
            "TEST_REDIS_URL": stack.enter_context(redis(folder / "redis")),
        }
        return subprocess.run(command, env=os.environ | urls, check=False).returncode


def install_missing() -> None:
    if find("initdb") and find("redis-server"):
        return
    packages = " ".join(PACKAGES)
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        sys.exit(f"The store tests need PostgreSQL and Redis. Install them, on Debian: apt-get install {packages}")
    print(f"Installing {packages} …", flush=True)
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "--yes", "--quiet=2", "--no-install-recommends", *PACKAGES]
    for command in (["apt-get", "update", "--quiet=2"], install):
        if subprocess.run(command, env=quiet, check=False).returncode != 0:
            sys.exit(f"apt-get failed: install {packages} by hand.")


def find(program: str) -> str | None:
    """Debian keeps PostgreSQL's programs outside PATH, one folder a version."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), key=lambda path: float(path.parts[-3]))
    return str(found[-1]) if found else shutil.which(program)


@contextlib.contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """A PostgreSQL on a new cluster; gives the URL of its first database."""
    user = make_cluster(folder)
    with serving_cluster(folder, user, UNSAFE_BUT_FAST):
        yield cluster_url(folder)


def make_cluster(folder: Path) -> dict[str, Any]:
    """A new cluster of databases; returns whom to run its server as."""
    user = make_folder(folder, "postgres")
    initdb = [program("initdb"), "--pgdata", str(folder / "data"), "--username", "ensue", "--auth", "trust"]
    options = ["--encoding", "UTF8", "--no-locale", "--no-sync"]
    subprocess.run([*initdb, *options], check=True, stdout=subprocess.DEVNULL, cwd=folder, **user)
    return user


def cluster_url(folder: Path) -> str:
    return f"postgresql://ensue@/postgres?host={folder}"


@contextlib.contextmanager
def serving_cluster(folder: Path, user: dict[str, Any], settings: tuple[str, ...] = ()) -> Iterator[Process]:
    """A server that listens on a socket in `folder` alone, once it answers; it may be killed."""
    settings = (f"unix_socket_directories={folder}", "listen_addresses=", "max_connections=200", *settings)
    options = [part for setting in settings for part in ("-c", setting)]
    is_ready = [program("pg_isready"), "--quiet", "--host", str(folder)]
    with running([program("postgres"), "-D", str(folder / "data"), *options], folder, user, signal.SIGINT) as process:
        wait_until(lambda: subprocess.run(is_ready, check=False).returncode == 0, process, folder)
        yield process


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[str]:
    """A Redis on a free port of loopback that writes nothing down; gives its URL."""
    user = make_folder(folder, "redis")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [program("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with running(command, folder, user, signal.SIGTERM) as process:
        wait_until(lambda: answers_ping(port), process, folder)
        yield f"redis://127.0.0.1:{port}/0"


def program(name: str) -> str:
    path = find(name)
    assert path is not None, f"{name} comes with {PACKAGES}"
    return path


def make_folder(folder: Path, user: str) -> dict[str, Any]:
    """A folder for one server, and whom to run it as, for Popen: its package's user where this is root."""
    folder.mkdir(mode=0o700)
    if os.geteuid() != 0:
        return {}
    found = pwd.getpwnam(user)
    os.chown(folder, found.pw_uid, found.pw_gid)
    return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}


@contextlib.contextmanager
def running(command: list[str], folder: Path, user: dict[str, Any], stop: signal.Signals) -> Iterator[Process]:
    """A process that ends with the context; what it says goes to a file in `folder`."""
    with (
        open(folder / "log", "wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, start_new_session=True, **user) as process,
    ):
        try:
            yield process
        finally:
            process.send_signal(stop)
            process.wait(WAIT_S)


def answers_ping(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(5) == b"+PONG"
    return False


def wait_until(is_ready: Callable[[], bool], process: Process, folder: Path) -> None:
    deadline = time.monotonic() + WAIT_S
    while not is_ready():
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"A server did not start:\n{(folder / 'log').read_text(errors='replace')}")
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
