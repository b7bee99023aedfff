"""`ensue serve --api-workers 2`: two API processes before one engine, alike in all that a client can see."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from http.client import HTTPConnection, IncompleteRead
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from ensue.rights import DEFAULT_SCOPES, KeyRights
from ensue.store.audit import AuditLog
from ensue.store.db import Database, sqlite_url
from ensue.store.keys import CACHE_S, KeyStore
from tests.product.server import Server, running_server, wait_until
from tests.store.ledger_tools import assert_sums_are_those_of_the_rows, rows

BODY: dict[str, Any] = {"model": "ensue-tiny", "prompt": "Once upon a time", "max_tokens": 8, "seed": 3}
LONG = BODY | {"max_tokens": 400, "stream": True, "ignore_eos": True}
CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 8}
CHATS = 'ensue_requests_total{endpoint="/v1/chat/completions"'  # that one test asks for


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Tests may kill an API process, and leave two that are ready."""
    with running_server(tmp_path_factory.mktemp("data"), "--api-workers", "2") as started:
        yield started


class Client:
    """A connection that stays with one API process."""

    def __init__(self, server: Server, token: str | None = None) -> None:
        self._headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token or server.key}"}
        self._connection = HTTPConnection(urlsplit(server.url).netloc, timeout=60)
        self._connection.connect()
        self.port: int = self._connection.sock.getsockname()[1]
        assert self.get("/health")[0] == 200

    def get(self, path: str, token: str | None = None) -> tuple[int, str]:
        headers = self._headers if token is None else {"Authorization": f"Bearer {token}"}
        self._connection.request("GET", path, headers=headers)
        response = self._connection.getresponse()
        return response.status, response.read().decode()

    def read_some(self) -> bytes:
        """The first event of a stream."""
        return self._response.readline()

    def post(self, body: dict[str, Any], path: str = "/v1/completions") -> Any:
        self.begin(body, path)
        return json.loads(self.rest())

    def begin(self, body: dict[str, Any], path: str = "/v1/completions") -> None:
        """Send a request and wait for the start of its answer."""
        self._connection.request("POST", path, json.dumps(body), self._headers)
        self._response = self._connection.getresponse()
        assert self._response.status == 200

    def rest(self) -> bytes:
        return self._response.read()

    def counted(self, sample: str) -> float:
        lines = self.get("/metrics")[1].splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(sample))

    def close(self) -> None:
        self._connection.close()


@contextmanager
def client_of_each(server: Server, token: str | None = None) -> Iterator[dict[int, Client]]:
    """A client of each API process that accepts connections, by process id."""
    pids, clients = server.api_pids(), dict[int, Client]()
    with ExitStack() as stack:

        def are_all_met() -> bool:
            client = Client(server, token)
            stack.callback(client.close)
            inode = inode_of(server, client.port)
            clients.update({pid: client for pid in pids if inode in sockets_of(pid)})
            return len(clients) == len(pids)

        assert wait_until(are_all_met, 60)
        yield clients


def inode_of(server: Server, client_port: int) -> str | None:
    """The server's end of a connection; the table may miss one while it changes."""
    ends = f":{urlsplit(server.url).port:04X}", f":{client_port:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines():
        fields = line.split()
        if fields[1].endswith(ends[0]) and fields[2].endswith(ends[1]):
            return f"socket:[{fields[9]}]"
    return None


def sockets_of(pid: int) -> set[str]:
    found = set()
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            found.add(os.readlink(path))
    return found


def new_key(server: Server, rights: KeyRights) -> str:
    with closing(Database(sqlite_url(server.data_dir / "ensue.db"))) as database, closing(KeyStore(database)) as store:
        return store.create("test", rights)[1]


def test_the_first_key_and_how_to_use_it_are_told_once_when_all_listen(server: Server) -> None:
    assert len(server.api_pids()) == 2
    assert [server.printed.count(text) for text in ("first key", "ready", "curl ")] == [1, 1, 1]
    assert all(
        server.printed.index(f"{name}  listening") < server.printed.index("ready") for name in ("api 1", "api 2")
    )


def test_each_process_answers_alike(server: Server) -> None:
    with client_of_each(server) as clients:
        assert {client.get("/ready")[0] for client in clients.values()} == {200}
        assert len({client.post(BODY)["choices"][0]["text"] for client in clients.values()}) == 1
        assert len({client.get("/version") for client in clients.values()}) == 1


def test_the_metrics_of_each_process_are_those_of_all_even_of_the_dead(server: Server) -> None:
    with client_of_each(server) as clients:
        for client in clients.values():
            client.post(CHAT, "/v1/chat/completions")

        def told() -> set[float]:
            return {client.counted(CHATS) for client in clients.values()}

        assert wait_until(lambda: told() == {2}, 20)
        assert len({client.counted("ensue_kv_blocks{") for client in clients.values()}) == 1
        killed = next(iter(clients))
        os.kill(killed, signal.SIGKILL)
    assert wait_until(lambda: len(set(server.api_pids()) - {killed}) == 2, 60)
    with client_of_each(server) as clients:
        assert told() == {2}


def test_a_killed_process_hangs_no_client_of_the_other_and_is_started_again(server: Server) -> None:
    with client_of_each(server) as clients:
        killed, other = clients
        clients[other].begin(LONG)
        os.kill(killed, signal.SIGKILL)
        assert [server.post(BODY)["object"] for _ in range(8)] == ["text_completion"] * 8
        assert clients[other].rest().endswith(b"data: [DONE]\n\n")
    assert wait_until(lambda: len(set(server.api_pids()) - {killed}) == 2, 60)
    with client_of_each(server) as clients:
        assert {client.get("/ready")[0] for client in clients.values()} == {200}


def test_what_a_killed_process_ran_is_cut_freed_and_settled_once(server: Server) -> None:
    with closing(Database(sqlite_url(server.data_dir / "ensue.db"))) as database:
        known = rows(database).keys()

        def lost() -> list[Any]:
            return [row for row in rows(database).values() if row.id not in known]

        with client_of_each(server) as clients:
            killed, other = clients
            clients[killed].begin(LONG | {"n": 16, "max_tokens": 900})
            clients[killed].read_some()
            assert wait_until(lambda: lost()[0].completion_tokens > 0, 30)
            os.kill(killed, signal.SIGKILL)
            with pytest.raises((IncompleteRead, ConnectionError)):
                clients[killed].rest()
            assert wait_until(lambda: clients[other].counted("ensue_running_sequences{") == 0, 30)
        assert wait_until(lambda: [row.finish for row in lost()] == ["lost"], 60)
        assert_sums_are_those_of_the_rows(database)


def test_a_killed_engine_ends_the_streams_of_each_process_and_serves_them_again(server: Server) -> None:
    with client_of_each(server) as clients:
        for client in clients.values():
            client.begin(LONG | {"n": 16, "max_tokens": 900})
        os.kill(server.child_pids()["worker"], signal.SIGKILL)
        for client in clients.values():
            assert b"engine_restarting" in client.rest()
            assert wait_until(lambda client=client: client.get("/ready")[0] == 200, 60)  # type: ignore[misc]
        assert len({client.post(BODY)["choices"][0]["text"] for client in clients.values()}) == 1


def test_keys_made_through_both_at_once_open_both_and_stand_in_one_chain_of_the_audit_log(server: Server) -> None:
    audit, rights = AuditLog.of(str(server.data_dir)), KeyRights(scopes=frozenset({"admin", *DEFAULT_SCOPES}))

    def make_keys(client: Client) -> list[str]:
        return [client.post({"name": "many"}, "/admin/keys")["key"] for _ in range(10)]

    with client_of_each(server, new_key(server, rights)) as clients, ThreadPoolExecutor() as pool:
        num_records = audit.verify()[0]
        tokens = [token for made in pool.map(make_keys, clients.values()) for token in made]
        assert audit.verify() == (num_records + 20, 0)
        for client in clients.values():
            assert len(json.loads(client.get("/admin/audit?limit=20")[1])["data"]) == 20
            for token in (tokens[0], tokens[-1]):
                assert client.get("/v1/models", token)[0] == 200


def test_a_revoked_key_opens_no_process_any_more(server: Server) -> None:
    with closing(Database(sqlite_url(server.data_dir / "ensue.db"))) as database, closing(KeyStore(database)) as store:
        key, token = store.create("second")
        with client_of_each(server, token) as clients:
            assert {client.get("/v1/models")[0] for client in clients.values()} == {200}
            store.revoke(key.id)
            assert wait_until(
                lambda: {client.get("/v1/models")[0] for client in clients.values()} == {401}, 2 * CACHE_S
            )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_an_end_lets_the_streams_of_each_process_finish(tmp_path: Path, number: signal.Signals) -> None:
    with running_server(tmp_path, "--api-workers", "2") as server, client_of_each(server) as clients:
        for client in clients.values():
            client.begin(LONG)
        for pid in server.api_pids() if number is signal.SIGHUP else ():  # a terminal that closes tells all
            os.kill(pid, number)
        server.process.send_signal(number)
        for client in clients.values():
            rest = client.rest()
            assert b'"finish_reason":"length"' in rest
            assert rest.endswith(b"data: [DONE]\n\n")
        assert server.process.wait(60) == 0


def test_wrong_keys_are_counted_together(server: Server) -> None:
    with client_of_each(server) as clients:
        one, other = clients.values()
        told = [client.get("/v1/models", "sk-ensue-wrong")[0] for client in (one, other) * 31]
        assert (told.count(401), told.count(429)) == (60, 2)
        assert [client.get("/v1/models")[0] for client in (one, other)] == [200, 200]
