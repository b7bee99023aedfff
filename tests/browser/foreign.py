"""A page of another origin, and one that got its name by DNS rebinding: neither may use a server without keys."""

from __future__ import annotations

import http.server
import sys
import threading
from urllib.parse import urlsplit

from tests.browser.watched import watched_page

SIMPLE = """async url => {  // no preflight
    await fetch(url + "/v1/completions", {method: "POST", mode: "no-cors", body: '{"prompt": "x"}'});
}"""
WITH_JSON = """async url => {
    const headers = {"content-type": "application/json"};
    try {
        await fetch(url + "/v1/completions", {method: "POST", headers, body: '{"prompt": "x"}'});
        return "answered";
    } catch (error) {
        return "refused";
    }
}"""
SAME_ORIGIN = """async () => {
    const headers = {"content-type": "application/json"};
    return (await fetch("/v1/completions", {method: "POST", headers, body: '{"prompt": "x"}'})).status;
}"""
REBOUND = "rebound.example"


class Silent(http.server.BaseHTTPRequestHandler):
    """An empty page."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def foreign_page(url: str) -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), Silent) as other, watched_page() as seen:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        seen.page.goto(f"http://127.0.0.1:{other.server_port}/")
        with seen.page.expect_response(f"{url}/v1/completions") as response:
            seen.page.evaluate(SIMPLE, url)
        assert response.value.status == 403
        assert seen.page.evaluate(WITH_JSON, url) == "refused"
        other.shutdown()


def rebound_page(url: str) -> None:
    port = urlsplit(url).port
    with watched_page(f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1") as seen:
        answer = seen.page.goto(f"http://{REBOUND}:{port}/docs")
        assert answer is not None
        assert (answer.status, "not served here" in answer.text()) == (400, True)
        assert seen.page.evaluate(SAME_ORIGIN) == 400


if __name__ == "__main__":
    foreign_page(sys.argv[1])
    rebound_page(sys.argv[1])
