"""Several choices, streamed as they are made."""

import asyncio
import os
from collections import defaultdict

from openai import AsyncOpenAI


async def main() -> None:
    """Print each choice of three when the stream ends."""
    client = AsyncOpenAI(base_url=os.environ["ENSUE_URL"] + "/v1", api_key=os.environ["ENSUE_API_KEY"])
    model = (await client.models.list()).data[0].id
    stream = await client.completions.create(model=model, prompt="One day,", max_tokens=40, n=3, seed=7, stream=True)
    texts: dict[int, str] = defaultdict(str)
    async for event in stream:
        for choice in event.choices:
            texts[choice.index] += choice.text
    for index, text in sorted(texts.items()):
        print(f"{index}: {text.strip()}\n")


asyncio.run(main())
