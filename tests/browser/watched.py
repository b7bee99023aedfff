"""A page in Chromium that remembers what went wrong in it, and what it asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from playwright.sync_api import Page, Request, sync_playwright

TIMEOUT_MS = 60_000  # of one step, on a busy machine
WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", event =>
    window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
"""


@dataclass
class Watched:
    """A page, and what was seen of it."""

    page: Page
    messages: list[str] = field(default_factory=list)  # warnings and errors of its console
    requested: list[str] = field(default_factory=list)  # URLs

    def faults(self) -> list[str]:
        return [*self.messages, *self.page.evaluate("window.violations")]


@contextmanager
def watched_page(*arguments: str) -> Iterator[Watched]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=os.environ["CHROMIUM"], args=list(arguments))
        page = browser.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        page.add_init_script(WATCH)
        watched = Watched(page)

        def note(request: Request) -> None:
            watched.requested.append(request.url)

        page.on("request", note)
        page.on("console", lambda m: watched.messages.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: watched.messages.append(str(error)))
        yield watched
        browser.close()
