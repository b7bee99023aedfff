"""Send a completion request and print the text: what is behind `ensue complete`."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from typing import Any

from httpx2 import AsyncClient, HTTPError

from ensue.cli.own_server import own_server
from ensue.config import Config
from ensue.errors import EnsueError


async def complete_alone(config: Config, body: dict[str, object]) -> None:
    async with own_server(config) as url:
        await complete_at(url, None, body)


async def complete_at(url: str, api_key: str | None, body: dict[str, object]) -> None:
    """Send the request and print the text.

    Args:
        url: of the server, with or without the /v1 that OpenAI's clients ask for.
    """
    base = url.rstrip("/").removesuffix("/v1")
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    try:
        async with (
            AsyncClient(timeout=600, headers=headers) as client,
            client.stream("POST", f"{base}/v1/completions", json=body) as response,
        ):
            if response.status_code != 200:
                raise EnsueError(_error_message(await response.aread()))
            if body["stream"]:
                await _print_stream(response.aiter_lines())
            else:
                sys.stdout.write(_decode(await response.aread())["choices"][0]["text"] + "\n")
    except HTTPError as error:
        raise EnsueError(f"No answer from {url}: {error}.") from None


def _decode(data: bytes) -> Any:
    return json.loads(data)


def _error_message(data: bytes) -> str:
    try:
        return str(json.loads(data)["error"]["message"])
    except (ValueError, LookupError, TypeError):
        return "The server's answer is not one of a completions API."


async def _print_stream(lines: AsyncIterator[str]) -> None:
    async for line in lines:
        data = line.removeprefix("data: ")
        if not line.startswith("data: ") or data == "[DONE]":
            continue
        event = _decode(data.encode())
        if "error" in event:
            raise EnsueError(event["error"]["message"])
        sys.stdout.write(event["choices"][0]["text"])
        sys.stdout.flush()
    sys.stdout.write("\n")
