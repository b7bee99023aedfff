"""/docs: our own origin alone, no inline script, and no file but those of the page."""

from __future__ import annotations

import re

import pytest

from ensue.api.docs_page import MEDIA_TYPES
from tests.api.conftest import Api

EXCEPTION = "img-src 'self' data:"  # docs/security.md says why


async def test_the_page_has_scripts_from_files_alone(api: Api) -> None:
    page = (await api.client.get("/docs")).text
    tags = re.findall(r"<script[^>]*>[^<]*", page)
    assert [re.fullmatch(r'<script src="docs/[\w.-]+">', tag) is not None for tag in tags] == [True, True]
    assert not re.search(r"<style|style=|\son\w+=|//", page)


@pytest.mark.parametrize("path", ["/docs", *(f"/docs/{name}" for name in MEDIA_TYPES)])
async def test_what_the_page_needs_comes_with_its_policy(api: Api, path: str) -> None:
    response = await api.client.get(path)
    assert response.status_code == 200
    policy = response.headers["content-security-policy"].split("; ")
    assert {"default-src 'self'", "frame-ancestors 'none'", EXCEPTION} <= set(policy)
    assert all(part.endswith(("'self'", "'none'")) for part in policy if part != EXCEPTION)
    asked = set(re.findall(r'(?:src|href)="(docs/[\w.-]+)"', (await api.client.get("/docs")).text))
    assert asked == {f"docs/{name}" for name in MEDIA_TYPES}


@pytest.mark.parametrize("name", ["docs.html", "__init__.py", "..%2fopenapi%2fdocument.py", "%2e%2e", "swagger-ui.js"])
async def test_no_other_file_is_served(api: Api, name: str) -> None:
    response = await api.client.get(f"/docs/{name}")
    assert (response.status_code, response.json()["error"]["code"]) == (404, "unknown_url")
