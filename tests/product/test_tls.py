"""A server with a certificate: used by a client that checks it, exchanged while the server runs."""

from __future__ import annotations

import shutil
import signal
import socket
import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path
from urllib.error import URLError

import pytest

from tests.product.server import Server, running_server, wait_until

CERTIFICATES = Path(__file__).parent / "certificates"


def answers(server: Server, certificate: str) -> bool:
    """Whether a client that trusts this certificate alone gets through."""
    context = ssl.create_default_context(cafile=CERTIFICATES / f"{certificate}.pem")
    try:
        with urllib.request.urlopen(f"{server.url}/health", timeout=30, context=context) as response:
            return bool(response.status == 200)
    except URLError:
        return False


def take(name: str, folder: Path) -> None:
    for kind in ("pem", "key"):
        shutil.copy(CERTIFICATES / f"{name}.{kind}", folder / f"server.{kind}")


def test_certificate_is_exchanged_by_a_hangup_and_a_bad_one_is_not_taken(tmp_path: Path) -> None:
    take("one", tmp_path)
    files = ("--tls-cert", str(tmp_path / "server.pem"), "--tls-key", str(tmp_path / "server.key"))
    with running_server(tmp_path, *files, "--engine", "fake", "--api-workers", "2") as server:
        assert server.url.startswith("https://")
        assert answers(server, "one")
        assert not answers(server, "two")
        take("two", tmp_path)
        server.process.send_signal(signal.SIGHUP)
        assert wait_until(lambda: all(answers(server, "two") for _ in range(10)), 20)  # of both processes
        (tmp_path / "server.pem").write_text("no certificate")
        server.process.send_signal(signal.SIGHUP)
        assert answers(server, "two")
        assert server.stop() == 0


@pytest.mark.parametrize("hello", [b"", b"\x16\x03\x01\x02", b"GET /health HTTP/1.1\r\n\r\n"])
def test_who_never_ends_the_handshake_is_closed_in_the_time_for_headers(tmp_path: Path, hello: bytes) -> None:
    take("one", tmp_path)
    files = ("--tls-cert", str(tmp_path / "server.pem"), "--tls-key", str(tmp_path / "server.key"))
    with running_server(tmp_path, *files, "--engine", "fake", "--header-timeout-s", "0.5") as server:
        address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
        with socket.create_connection(address, timeout=20) as connection:
            connection.sendall(hello)
            assert connection.recv(100) == b""
        assert answers(server, "one")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--tls-cert", "one.pem"), "belong together"),
        (("--tls-cert", "one.pem", "--tls-key", "two.key"), "KEY_VALUES_MISMATCH"),
        (("--tls-cert", "none.pem", "--tls-key", "one.key"), "No such file"),
        (("--trusted-proxies", "10.0.0.1/8"), "--trusted-proxies must be"),
    ],
)
def test_bad_files_stop_the_start(tmp_path: Path, options: tuple[str, ...], words: str) -> None:
    command = [sys.executable, "-m", "ensue", "serve", "--port", "0", "--data-dir", str(tmp_path), *options]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=CERTIFICATES, check=False)
    assert ended.returncode != 0
    assert words in ended.stderr + ended.stdout
