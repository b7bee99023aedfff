"""The attacked server, and requests to it byte by byte."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ensue.rights import KeyRights
from ensue.store.keys import KeyStore
from tests.product.server import Server

SECRET_PROMPT = "the otter keeps its pebble under the seventh stone"
MESSAGE_WORDS = (SECRET_PROMPT, "sk-ensue-", "Traceback", "/ensue/", ".py")


@dataclass(frozen=True)
class Answer:
    """What came back on a connection, until its end."""

    status: int | None  # None: closed without an answer
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        """The error in the one shape; asserts that it is one, and that it gives nothing away."""
        value = json.loads(self.body)
        assert set(value) == {"error"}, value
        error: dict[str, Any] = value["error"]
        assert set(error) == {"message", "type", "param", "code"}, value
        assert isinstance(error["message"], str)
        assert isinstance(error["type"], str)
        assert not any(word in self.body.decode() for word in MESSAGE_WORDS), value
        assert self.headers["x-request-id"].startswith("req_")
        return error


@dataclass
class Victim:
    """A running server and the means to attack it."""

    server: Server
    keys: KeyStore
    log_path: Path
    expected: Any = None  # what the innocent request is answered
    tokens: list[str] = field(default_factory=list)  # of all keys that were made

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.server.url.removeprefix("http://").split(":")
        return host, int(port)

    def make_key(self, rights: KeyRights | None = None, **more: Any) -> str:
        _, token = self.keys.create("abuse", rights or KeyRights(), **more)
        self.tokens.append(token)
        return token

    def innocent(self, body: dict[str, Any]) -> Any:
        answer = self.server.post(body)
        return answer["choices"], answer["usage"]["completion_tokens"]

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=60)

    def exchange(self, *pieces: bytes) -> Answer:
        """Send bytes on a connection of their own and read until the server closes it."""
        with self.connect() as connection:
            try:
                for piece in pieces:
                    connection.sendall(piece)
            except (BrokenPipeError, ConnectionResetError):
                pass  # answered before all was sent
            return _parsed(_read_all(connection))

    def request(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        *,
        key: str | None = "",
        headers: tuple[bytes, ...] = (),
        host: bytes = b"host: 127.0.0.1",
    ) -> Answer:
        """One request; `key` is the server's own where it is empty, and none is sent for None."""
        token = self.server.key if key == "" else key
        lines = [f"{method} {target} HTTP/1.1".encode("latin-1"), host, b"connection: close", *headers]
        lines += [] if token is None else [f"authorization: Bearer {token}".encode("latin-1")]
        if body is not None:
            lines += [b"content-type: application/json", f"content-length: {len(body)}".encode()]
        return self.exchange(b"\r\n".join(lines) + b"\r\n\r\n" + (body or b""))

    def complete(self, body: bytes, path: str = "/v1/completions", *, key: str | None = "") -> Answer:
        return self.request("POST", path, body, key=key)

    def send_completion(self, body: bytes) -> socket.socket:
        """The connection of a request whose answer is yet to be read."""
        head = (
            f"authorization: Bearer {self.server.key}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
        )
        connection = self.connect()
        connection.sendall(f"POST /v1/completions HTTP/1.1\r\nhost: 127.0.0.1\r\n{head}\r\n\r\n".encode() + body)
        return connection

    def leaks(self) -> list[str]:
        """What the log and the metrics hold that nobody should read there."""
        texts = {"log": self.log_path.read_text(errors="replace")}
        texts["metrics"] = self.request("GET", "/metrics").body.decode()
        words = {SECRET_PROMPT, self.server.key, *self.tokens}
        return [f"{place}: {word}" for place, text in texts.items() for word in words if word in text]


def _read_all(connection: socket.socket) -> bytes:
    pieces = []
    try:
        while piece := connection.recv(2**16):
            pieces.append(piece)
    except ConnectionResetError:
        pass
    return b"".join(pieces)


def _parsed(data: bytes) -> Answer:
    """The first response in the bytes."""
    if not data:
        return Answer(None, {}, b"")
    head, _, rest = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    if headers.get("transfer-encoding") == "chunked":
        rest = _unchunked(rest)
    return Answer(int(first.split()[1]), headers, rest)


def _unchunked(data: bytes) -> bytes:
    pieces = []
    while data:
        size, _, data = data.partition(b"\r\n")
        pieces.append(data[: int(size, 16)])
        data = data[int(size, 16) + 2 :]
    return b"".join(pieces)
