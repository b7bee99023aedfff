"""Finding a model: the bundled one, folders, and a hub that listens on this machine."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub
import pytest

from ensue.errors import ModelError
from ensue.model.hub import BUNDLED_NAME, ResolvedModel, resolve

FIRST, SECOND = "1" * 40, "2" * 40
FILES = {
    "config.json": b"{}",
    "tokenizer.json": b"{}",
    "chat_template.jinja": b"{{ messages }}",
    "model.safetensors": bytes(range(256)) * 1000,
    "pytorch_model.bin": b"pickle",
    "modeling.py": b"code",
    "consolidated.safetensors": b"the same weights again",
    "onnx/config.json": b"{}",
}


class Hub:
    """A stand-in for the hub: repositories by id, each a list of commits, the last one being `main`."""

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, dict[str, bytes]]] = {"org/name": {FIRST: FILES}}
        self.gated: set[str] = set()
        self.requests: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub.answer(self)

            def do_HEAD(self) -> None:
                hub.answer(self)

            def log_request(self, code: object = "-", size: object = "-") -> None:
                hub.requests.append(self.requestline)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = request.path.partition("?")[0]
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/([^/]+))?", path):
            self._answer_info(request, match[1], match[2] or "main")
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/([^/]+)", path):
            files = self.repositories[match[1]][match[2]]
            tree = [{"type": "file", "path": p, "size": len(d), "oid": git_id(d)} for p, d in files.items()]
            send(request, 200, json.dumps(tree).encode())
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            data = self.repositories[match[1]][match[2]][match[3]]
            headers = {"X-Repo-Commit": match[2], "ETag": f'"{git_id(data)}"', "Accept-Ranges": "bytes"}
            send(request, 200, data, headers)
        else:
            send(request, 404, b"")

    def _answer_info(self, request: BaseHTTPRequestHandler, name: str, revision: str) -> None:
        commits = self.repositories.get(name, {})
        commit = list(commits)[-1] if commits and revision == "main" else revision
        if name in self.gated:
            send(request, 403, b"", {"X-Error-Code": "GatedRepo"})
        elif not commits:
            send(request, 404, b"", {"X-Error-Code": "RepoNotFound"})
        elif commit not in commits:
            send(request, 404, b"", {"X-Error-Code": "RevisionNotFound"})
        else:
            send(request, 200, json.dumps({"id": name, "sha": commit, "siblings": []}).encode())


def git_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def send(request: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
    request.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
        request.send_header(name, value)
    request.end_headers()
    if request.command == "GET":
        request.wfile.write(body)


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub()
    yield hub
    hub.close()


Fetch = Callable[..., ResolvedModel]


@pytest.fixture
def fetch(hub: Hub, tmp_path: Path) -> Fetch:
    """`resolve` with the stand-in as its hub and a cache of its own."""

    def fetch(
        model: str, revision: str | None = None, progress: Callable[[str, float], None] | None = None
    ) -> ResolvedModel:
        return resolve(model, revision, progress, cache_dir=tmp_path / "cache", endpoint=hub.url)

    return fetch


def test_no_model_is_the_bundled_one() -> None:
    found = resolve(None)
    assert (found.name, found.root) == (BUNDLED_NAME, BUNDLED_NAME)
    assert (found.folder / "config.json").is_file()


def make_model(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text("{}")
    return folder


@pytest.mark.parametrize("shape", ["{}/llama", "{}/llama/", "{}/other/../llama"])
def test_a_folder_is_called_by_its_last_part(tmp_path: Path, shape: str) -> None:
    make_model(tmp_path / "llama")
    assert resolve(shape.format(tmp_path)) == ResolvedModel(tmp_path / "llama", "llama", "llama")


def test_a_relative_folder_comes_before_a_hub_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_model(tmp_path / "org" / "name")
    monkeypatch.chdir(tmp_path)
    assert resolve("org/name") == ResolvedModel(tmp_path / "org" / "name", "name", "name")


NOT_MODELS = (
    "word|/no/such/folder|./no/folder|../../etc|file:///etc|https://host/org/name|org/../name|org/name/more|org/..|"
    "org/na me|org/name\n|org\\name|~nobody/name|org/--|o/n.git"
)


@pytest.mark.parametrize("model", ["", *NOT_MODELS.split("|")])
def test_what_is_neither_a_folder_nor_a_hub_id_is_refused(model: str, fetch: Fetch, hub: Hub) -> None:
    with pytest.raises(ModelError):
        fetch(model)
    assert hub.requests == []


def test_a_folder_without_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"holds no config.json"):
        resolve(str(tmp_path))


def test_a_file_is_refused_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").touch()
    with pytest.raises(ModelError, match=r"is a file; give the folder"):
        resolve(str(tmp_path / "model.gguf"))


def test_a_revision_of_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="needs a hub id"):
        resolve(str(make_model(tmp_path)), "main")


def test_a_hub_id_brings_its_safe_files_and_no_others(fetch: Fetch) -> None:
    found = fetch("org/name")
    names = {path.relative_to(found.folder).as_posix() for path in found.folder.rglob("*") if path.is_file()}
    assert names == {"config.json", "tokenizer.json", "chat_template.jinja", "model.safetensors"}
    assert (found.name, found.root) == ("org/name", "org/name")
    assert (found.folder / "model.safetensors").read_bytes() == FILES["model.safetensors"]


def test_all_files_are_of_the_commit_that_the_revision_named(fetch: Fetch, hub: Hub) -> None:
    hub.repositories["org/name"][SECOND] = {**FILES, "config.json": b'{"later": 1}'}
    assert (fetch("org/name", FIRST).folder / "config.json").read_bytes() == b"{}"
    assert not any(SECOND in request for request in hub.requests)
    assert (fetch("org/name").folder / "config.json").read_bytes() == b'{"later": 1}'
    assert all(FIRST in request or SECOND in request for request in hub.requests if "/resolve/" in request)


def test_progress_rises_to_the_whole(fetch: Fetch) -> None:
    seen: list[tuple[str, float]] = []
    fetch("org/name", progress=lambda name, share: seen.append((name, share)))
    shares = [share for name, share in seen if name == "download"]
    assert len(shares) == len(seen) >= 4
    assert max(shares) == 1.0
    assert min(shares) < 1.0


def test_a_second_start_fetches_nothing_again(fetch: Fetch, hub: Hub) -> None:
    fetch("org/name")
    hub.requests.clear()
    fetch("org/name")
    assert not any("/resolve/" in request for request in hub.requests)


def test_the_copy_on_disk_serves_while_the_hub_is_away(fetch: Fetch, hub: Hub) -> None:
    online = fetch("org/name")
    hub.close()
    assert fetch("org/name") == online


@pytest.mark.parametrize("missing", [None, "model.safetensors"])
def test_offline_mode_takes_a_whole_copy_only(
    missing: str | None, fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    online = fetch("org/name")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    if missing is None:
        assert fetch("org/name") == online
    else:
        (online.folder / missing).unlink()
        with pytest.raises(ModelError, match="cannot be reached"):
            fetch("org/name")


def test_no_copy_and_no_hub_is_a_model_error(fetch: Fetch, hub: Hub) -> None:
    hub.close()
    with pytest.raises(ModelError, match=r"not \(or not wholly\) on this disk"):
        fetch("org/name")


def test_an_unknown_model_revision_or_permission_is_told_apart(fetch: Fetch, hub: Hub) -> None:
    hub.gated.add("org/gated")
    with pytest.raises(ModelError, match="neither a folder here nor a model on the hub"):
        fetch("org/unknown")
    with pytest.raises(ModelError, match="no revision 'v9'"):
        fetch("org/name", "v9")
    with pytest.raises(ModelError, match="set HF_TOKEN"):
        fetch("org/gated")


def test_a_model_of_pickles_is_refused_before_anything_is_fetched(fetch: Fetch, hub: Hub) -> None:
    hub.repositories["org/old"] = {FIRST: {"config.json": b"{}", "pytorch_model.bin": b"pickle"}}
    with pytest.raises(ModelError, match="no safetensors"):
        fetch("org/old")
    assert not any("GET" in request and "/resolve/" in request for request in hub.requests)


def test_a_folder_does_not_load_the_hub_client(tmp_path: Path) -> None:
    code = "import sys; from ensue.model.hub import resolve; resolve(sys.argv[1]); assert 'httpx2' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, str(make_model(tmp_path))], check=True)
