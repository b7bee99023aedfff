"""Every answer that is no success has one shape, and every answer has our headers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from ensue import errors
from ensue.api.error_handlers import from_status, headers_of
from ensue.config import LimitsConfig
from ensue.engine.fake import FakeEngine
from ensue.store.key_tokens import make_token
from tests.api.conftest import Api, MakeApi

Says = Callable[..., FakeEngine]
JSON = {"content-type": "application/json"}

CASES: list[tuple[str, str, dict[str, Any], int, str | None]] = [
    ("GET", "/nothing", {}, 404, "unknown_url"),
    ("GET", "/", {}, 404, "unknown_url"),
    ("POST", "/v1/completions/", {}, 404, "unknown_url"),
    ("POST", "//v1/completions", {}, 404, "unknown_url"),
    ("GET", "/v1/completions", {}, 405, "method_not_allowed"),
    ("DELETE", "/v1/models", {}, 405, "method_not_allowed"),
    ("OPTIONS", "/v1/completions", {}, 405, "method_not_allowed"),
    (
        "POST",
        "/v1/completions",
        {"content": "{}", "headers": {"content-type": "text/plain"}},
        415,
        "unsupported_media_type",
    ),
    ("POST", "/v1/completions", {"content": "{}"}, 415, "unsupported_media_type"),
    (
        "POST",
        "/v1/completions",
        {"content": "{}", "headers": JSON | {"content-encoding": "gzip"}},
        415,
        "unsupported_media_type",
    ),
    ("POST", "/v1/completions", {"content": b"\xff", "headers": JSON}, 400, None),
    ("POST", "/v1/completions", {"json": {"prompt": "x", "model": "gpt-4"}}, 404, "model_not_found"),
    ("GET", "/v1/models/gpt-4", {}, 404, "model_not_found"),
]


@pytest.mark.parametrize(("method", "path", "more", "status", "code"), CASES)
async def test_errors_have_one_shape(
    api: Api, method: str, path: str, more: dict[str, Any], status: int, code: str | None
) -> None:
    response = await api.client.request(method, path, **more)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    error = response.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert (error["type"], error["code"]) == ("invalid_request_error", code)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/models/KEY", None),
        ("GET", "/tokenizer_info?KEY=1", None),
        ("POST", "/v1/completions", {"prompt": "x", "model": "KEY"}),
        ("POST", "/v1/completions", {"prompt": "x", "KEY": 1}),
        ("POST", "/v1/completions", {"prompt": "x", "stream_options": {"KEY": 1}, "stream": True}),
    ],
    ids=str,
)
@pytest.mark.parametrize("key", [make_token(), "sk-proj-Ab1_" + "x" * 40])
async def test_a_key_in_the_wrong_place_is_not_repeated(
    api: Api, method: str, path: str, body: dict[str, Any] | None, key: str
) -> None:
    body = None if body is None else json.loads(json.dumps(body).replace("KEY", key))
    response = await api.client.request(method, path.replace("KEY", key), json=body)
    assert response.status_code in (400, 404)
    assert "sk-..." in response.text
    assert key[4:] not in response.text


@pytest.mark.parametrize(("path", "status"), [("/health", 200), ("/nothing", 404), ("/v1/models", 200)])
async def test_every_answer_has_our_headers(api: Api, path: str, status: int) -> None:
    response = await api.client.get(path, headers={"x-request-id": "mine"})
    assert response.status_code == status
    assert response.headers["x-request-id"].startswith("req_")
    assert response.headers["openai-processing-ms"].isdecimal()
    assert response.headers["openai-version"] == "2020-10-01"


async def test_a_wrong_method_says_which_is_right(api: Api) -> None:
    assert (await api.client.get("/v1/completions")).headers["allow"] == "POST"


async def test_a_body_over_the_limit_is_refused(make_api: MakeApi) -> None:
    api = make_api(limits=LimitsConfig(max_body_bytes=100))
    assert (await api.error({"prompt": "x" * 100}, 413))["code"] == "content_too_large"


async def test_a_body_without_a_length_is_refused_while_it_arrives(make_api: MakeApi) -> None:
    num_sent = 0

    async def endless() -> Any:
        nonlocal num_sent
        while True:
            num_sent += 1
            yield b" " * 1000

    api = make_api(limits=LimitsConfig(max_body_bytes=10_000))
    response = await api.client.post("/v1/completions", content=endless(), headers=JSON)
    assert response.status_code == 413
    assert num_sent <= 12


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("error", "status", "headers"),
    [
        (errors.Overloaded("x", code="model_loading"), 503, {"retry-after": "1"}),
        (errors.Overloaded("x", retry_after_s=500), 503, {"retry-after": "60"}),
        (errors.EngineDead("x", retry_after_s=3), 503, {"retry-after": "3"}),
        (errors.GenerationFailed("x"), 500, {"x-should-retry": "false"}),
        (errors.RequestTimeout("x"), 504, {"x-should-retry": "false"}),
    ],
)
async def test_what_the_engine_refuses_is_a_status(
    says: Says, make_api: MakeApi, error: errors.RequestError, status: int, headers: dict[str, str], stream: bool
) -> None:
    api = make_api(says("a", error=error))
    response = await api.client.post("/v1/completions", json={"prompt": "x", "stream": stream})
    assert response.status_code == status
    assert response.json()["error"]["type"] == error.type
    assert headers.items() <= dict(response.headers).items()


@pytest.mark.parametrize("stream", [False, True])
async def test_a_passed_deadline_is_a_504(says: Says, make_api: MakeApi, stream: bool) -> None:
    engine = says("a", step_s=5)
    api = make_api(engine, limits=LimitsConfig(request_timeout_s=0.1))
    response = await api.client.post("/v1/completions", json={"prompt": "x", "stream": stream})
    assert (response.status_code, response.json()["error"]["code"]) == (504, "request_timeout")
    assert engine.running == set()


async def test_a_fault_of_ours_is_a_500_that_says_nothing(
    api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def broken(request: object) -> None:
        raise ValueError("an internal detail")

    monkeypatch.setattr(api.engine, "generate", broken)
    response = await api.client.post("/v1/completions", json={"prompt": "x"})
    assert (response.status_code, response.json()["error"]["type"]) == (500, "server_error")
    assert "detail" not in response.text
    assert "an internal detail" in capsys.readouterr().out


async def test_a_refused_prompt_of_a_list_frees_the_others(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    generate = api.engine.generate

    async def only_one(request: Any) -> Any:
        if api.engine.requests:
            raise errors.Overloaded("Full.")
        return await generate(request)

    monkeypatch.setattr(api.engine, "generate", only_one)
    await api.error({"prompt": ["a", "b"]}, 503)
    assert len(api.engine.requests) == 1
    assert api.engine.running == set()


@pytest.mark.parametrize("status", [400, 404, 405, 413, 415, 422, 500])
def test_framework_errors_become_ours(status: int) -> None:
    assert from_status(status).status == (400 if status == 422 else status)


def test_only_a_missing_or_bad_key_asks_for_one() -> None:
    assert headers_of(errors.AuthenticationError("x")) == {"www-authenticate": "Bearer"}
    assert headers_of(errors.PermissionDenied("x")) == {}


async def test_the_log_has_one_line_a_request_without_body_or_query(
    api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    await api.client.post("/v1/completions?key=sk-secret", json={"prompt": "my words"}, headers={"x-request-id": "l-1"})
    await api.client.get("/nothing%1b%5b31m", headers={"x-request-id": "bad label"})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert "l-1" in lines[0]
    assert "request_id=req_" in lines[0]
    assert not any(word in "".join(lines) for word in ("sk-secret", "my words", "bad label", "\x1b[31m"))


async def test_a_path_is_told_up_to_a_bound(api: Api) -> None:
    """A caller's names, nested, may make it any length."""
    body = '{"prompt":' + '{"%s":' % ("k" * 64) * 40 + "NaN" + "}" * 41
    response = await api.client.post("/v1/completions", content=body, headers=JSON)
    assert response.status_code == 400
    assert 200 < len(response.json()["error"]["param"]) <= 256
