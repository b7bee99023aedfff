"""simonw/llm: its command line, with a file that names our models; prompts, streams, schemas, conversations."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

CONFIG = """
- model_id: tiny
  model_name: ensue-tiny
  api_base: "URL"
  api_key_name: own
  supports_schema: true
- model_id: tiny-text
  model_name: ensue-tiny
  api_base: "URL"
  api_key_name: own
  completion: true
"""
QUESTION = "What is the capital of France?"
ANSWER = "The capital of France is Paris."


def run(*arguments: str) -> str:
    """What the command prints."""
    command = [str(Path(sys.executable).parent / "llm"), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120)
    assert result.returncode == 0, result.stderr
    return result.stdout


def main(url: str) -> None:
    folder = Path(os.environ["LLM_USER_PATH"])
    folder.mkdir(parents=True)
    (folder / "extra-openai-models.yaml").write_text(CONFIG.replace("URL", url))
    run("keys", "set", "own", "--value", os.environ["OPENAI_API_KEY"])
    assert "tiny-text" in run("models")
    greedy = ("-o", "temperature", "0")
    assert run("-m", "tiny", *greedy, QUESTION).strip() == ANSWER  # streamed
    assert run("-m", "tiny", "--no-stream", *greedy, QUESTION).strip() == ANSWER
    streamed = run("-m", "tiny-text", *greedy, "-o", "max_tokens", "12", "Once upon a time")
    assert streamed == run("-m", "tiny-text", "--no-stream", *greedy, "-o", "max_tokens", "12", "Once upon a time")
    person = json.loads(run("-m", "tiny", *greedy, "-o", "max_tokens", "200", "--schema", "name, age int", "Bob is 7."))
    assert isinstance(person["age"], int)
    assert run("-c", "-m", "tiny", *greedy, "-o", "max_tokens", "20", "And of Italy?").strip()
    logged = json.loads(run("logs", "--json", "-n", "1"))
    assert logged[0]["input_tokens"] > 0  # from the usage event of a stream
    assert logged[0]["output_tokens"] > 0


if __name__ == "__main__":
    main(f"{sys.argv[1]}/v1")
