"""Score texts without generating: the log-probability of each token of a prompt, as evaluation harnesses ask."""

import os

from openai import OpenAI

client = OpenAI(base_url=os.environ["ENSUE_URL"] + "/v1", api_key=os.environ["ENSUE_API_KEY"])
model = client.models.list().data[0].id
for text in ("The dog barked at the cat.", "The barked dog cat at the."):
    scored = client.completions.create(model=model, prompt=text, max_tokens=0, echo=True, logprobs=0)
    logprobs = scored.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.token_logprobs is not None
    total = sum(value for value in logprobs.token_logprobs if value is not None)
    print(f"{total:8.2f}  {text}")
