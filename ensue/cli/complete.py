"""`ensue complete`: one completion on the terminal, from a server that is named or from one started for it."""

from __future__ import annotations

from typing import Annotated

import typer

from ensue.cli import settings
from ensue.config import API_KEY_VARIABLE, URL_VARIABLE


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
    import asyncio

    from ensue.cli.completing import complete_alone, complete_at

    if url:
        asyncio.run(complete_at(url, api_key, body | {"model": model}))
    else:
        asyncio.run(complete_alone(settings.read({"model": model, "no_auth": True}), body))
