"""One completion with OpenAI's client. The key is that of the server's first start.

ENSUE_URL=http://127.0.0.1:8000 ENSUE_API_KEY=sk-ensue-… python examples/complete.py
"""

import os

from openai import OpenAI

client = OpenAI(base_url=os.environ["ENSUE_URL"] + "/v1", api_key=os.environ["ENSUE_API_KEY"])
model = client.models.list().data[0].id
completion = client.completions.create(model=model, prompt="Once upon a time", max_tokens=60, temperature=0.7, seed=1)
print(completion.choices[0].text)
print(completion.usage)
