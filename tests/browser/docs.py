"""/docs as a visitor uses it: Authorize, try a completion, read the answer, which is text whatever the model says."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from playwright.sync_api import Locator, expect

from tests.browser.watched import Watched, watched_page

TRAP = """<img src="docs/none" onerror="document.title='trapped'"><script>document.title='trapped'</script>"""
ANSI = "\x1b[31mred\x1b]0;title\x07"


def authorize(seen: Watched, key: str) -> None:
    page = seen.page
    page.locator(".btn.authorize").click()
    page.locator(".auth-container input").fill(key)
    page.locator(".auth-btn-wrapper button.authorize").click()
    page.locator(".auth-btn-wrapper .btn-done").click()


def complete(operation: Locator, body: dict[str, Any]) -> Locator:
    """The answer as it is shown."""
    operation.locator("textarea.body-param__text").fill(json.dumps(body))
    operation.locator("button.execute").click()
    return operation.locator(".live-responses-table .response").first


def main(url: str) -> None:
    key = os.environ["KEY"]
    with watched_page() as seen:
        seen.page.goto(f"{url}/docs")
        authorize(seen, key)
        operation = seen.page.locator("#operations-completions-createCompletion")
        operation.locator(".opblock-summary-control").click()
        answer = complete(operation, {"prompt": "Once upon a time", "max_tokens": 12, "temperature": 0})
        expect(answer.locator(".response-col_status")).to_contain_text("200")
        expect(answer).to_contain_text('"object": "text_completion"')
        expect(answer).to_contain_text("there was")

        trapped = complete(operation, {"prompt": TRAP + ANSI, "echo": True, "max_tokens": 0})
        expect(trapped).to_contain_text("<img src=")
        expect(trapped).to_contain_text("[31mred")
        assert trapped.locator("img, script").count() == 0
        assert seen.page.title() == "ensue"

        chat = seen.page.locator("#operations-chat-createChatCompletion")
        chat.locator(".opblock-summary-control").click()
        chat.get_by_role("tab", name="Schema").first.click()
        expect(chat.locator(".opblock-section-request-body")).to_contain_text("parallel_tool_calls")

        assert seen.page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
        assert key not in seen.page.url
        assert not [asked for asked in seen.requested if not asked.startswith(f"{url}/") or key in asked]
        assert seen.faults() == []


if __name__ == "__main__":
    main(sys.argv[1])
