"""`ensue complete`: one completion on the terminal, from a server that is named or from one started for it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import Annotated, Any

import typer

from ensue.cli import settings
from ensue.cli.own_server import own_server
from ensue.config import API_KEY_VARIABLE, URL_VARIABLE, Config
from ensue.errors import EnsueError


def complete(
    prompt: Annotated[str, typer.Argument(help="The text to go on from.")],
    url: Annotated[
        str | None, typer.Option(envvar=URL_VARIABLE, help="Server; without one, it starts its own.")
    ] = None,
    api_key: Annotated[str | None, typer.Option(envvar=API_KEY_VARIABLE, help="Key for that server.")] = None,
    model: Annotated[str | None, typer.Option(help="A served name; without --url a folder or hub id.")] = None,
    max_tokens: Annotated[int, typer.Option(help="Tokens at most.")] = 128,
    temperature: Annotated[float, typer.Option(help="0: always the likeliest token.")] = 0.7,
    seed: Annotated[int | None, typer.Option(help="Same seed, same text.")] = None,
    stream: Annotated[bool, typer.Option("--stream", help="Print the text as it comes.")] = False,
) -> None:
    """Complete PROMPT."""
    body: dict[str, object] = {
        "prompt": prompt,
        "max_tokens": max_tokens,
        "temperature": temperature,
        "seed": seed,
        "stream": stream,
    }
    if url:
        asyncio.run(_complete(url, api_key, body | {"model": model}))
    else:
        asyncio.run(_complete_alone(settings.read({"model": model, "no_auth": True}), body))


async def _complete_alone(config: Config, body: dict[str, object]) -> None:
    async with own_server(config) as url:
        await _complete(url, None, body)


async def _complete(url: str, api_key: str | None, body: dict[str, object]) -> None:
    """Send the request and print the text."""
    from httpx2 import AsyncClient, HTTPError

    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    try:
        async with (
            AsyncClient(timeout=600, headers=headers) as client,
            client.stream("POST", f"{url.rstrip('/')}/v1/completions", json=body) as response,
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
