"""Log lines, ours and those of libraries, are JSON on standard error."""

from __future__ import annotations

import json
import subprocess
import sys

SCRIPT = """
import logging, structlog
from ensue.config import ServerConfig
from ensue.logs import set_up_logging
set_up_logging(ServerConfig(log_level="info"))
structlog.get_logger("ensue").debug("hidden")
structlog.get_logger("ensue").info("ours", answer=42)
logging.getLogger("uvicorn.error").warning("theirs")
secret = "sk-ensue-" + "x" * 3
try:
    1 / 0
except ZeroDivisionError:
    structlog.get_logger("ensue").exception("failed")
"""


def test_every_line_is_json_with_level_and_time() -> None:
    result = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in result.stderr.splitlines()]
    assert [line["event"] for line in lines] == ["ours", "theirs", "failed"]
    assert [line["level"] for line in lines] == ["info", "warning", "error"]
    assert lines[0]["answer"] == 42
    assert lines[2]["exception"][0]["exc_type"] == "ZeroDivisionError"
    assert "sk-ensue-xxx" not in result.stderr
    assert all("timestamp" in line for line in lines)


FULL = """
import logging, structlog
from ensue.config import ServerConfig
from ensue.logs import set_up_logging
set_up_logging(ServerConfig())
for _ in range(1000):
    structlog.get_logger("ensue").warning("ours " + "x" * 100)
    logging.getLogger("uvicorn.error").warning("theirs")
print("went on")
"""


def test_a_log_that_cannot_be_written_stops_nothing() -> None:
    with open("/dev/full", "w") as full:
        result = subprocess.run([sys.executable, "-c", FULL], stdout=subprocess.PIPE, stderr=full, text=True)
    assert result.stdout == "went on\n"
