"""Fill a gap in a text: the model writes what stands between `prompt` and `suffix`; the three likeliest of twelve."""

import os

from openai import OpenAI

client = OpenAI(base_url=os.environ["ENSUE_URL"] + "/v1", api_key=os.environ["ENSUE_API_KEY"])
model = client.models.list().data[0].id
before, after = "Once upon a time, there was a little", " who loved to play."
filled = client.completions.create(
    model=model, prompt=before, suffix=after, max_tokens=24, temperature=0.8, n=3, best_of=12, seed=1
)
for choice in filled.choices:
    print(f"{before}[{choice.text}]{after}")
