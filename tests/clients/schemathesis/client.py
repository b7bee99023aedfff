"""schemathesis: requests made from our own description, good and bad ones; no answer is a 5xx, all are as described."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
)
FUZZING_S = 40
SETTINGS = Path(__file__).parent / "schemathesis.toml"


def run(url: str, key: str, *options: str) -> str:
    """What the command prints; it fails where one check does."""
    command = [
        *(str(Path(sys.executable).parent / "st"), "--config-file", str(SETTINGS), "run", f"{url}/openapi.json"),
        *("--header", f"Authorization: Bearer {key}", "--checks", ",".join(CHECKS)),
        *("--workers", "1", "--seed", "1", "--continue-on-failure", "--warnings", "off", "--no-color"),
        *("--request-timeout", "60", *options),
    ]
    result = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=500)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def get(url: str, key: str) -> Any:
    """What a GET answers; raises HTTPError where that is no 200."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


def main(url: str) -> None:
    key = os.environ["OPENAI_API_KEY"]
    paths = get(f"{url}/openapi.json", key)["paths"]
    num_operations = sum(len(methods) for path, methods in paths.items() if path != "/openapi.json")  # which it leaves
    printed = run(url, key, "--phases", "examples,coverage")
    assert f" {num_operations} passed" in printed, printed
    run(url, key, "--phases", "fuzzing", "--max-examples", "10", "--max-time", str(FUZZING_S))
    assert get(f"{url}/admin/keys", key)["data"], "else all was refused from some request on"


if __name__ == "__main__":
    main(sys.argv[1])
