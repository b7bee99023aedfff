"""POST /tokenize, POST /detokenize, GET /tokenizer_info: vLLM's shapes."""

from __future__ import annotations

from typing import Any

import pytest

from ensue.config import LimitsConfig
from ensue.rights import KeyRights
from ensue.store.keys import KeyStore
from ensue.text.chat_template import ChatTemplate
from ensue.text.tokenizer import Tokenizer
from tests.api.conftest import Api, MakeApi

MESSAGES = [{"role": "user", "content": "Hello"}]


async def test_a_prompt_gets_the_tokenizers_special_tokens(api: Api, tokenizer: Tokenizer) -> None:
    answer = await api.post("/tokenize", {"model": "tiny", "prompt": "Hello <|im_end|>"})
    ids = tokenizer.encode("Hello <|im_end|>")
    assert answer == {"count": len(ids), "max_model_len": 1024, "tokens": ids, "token_strs": None}
    bare = await api.post("/tokenize", {"prompt": "Hello <|im_end|>", "add_special_tokens": False})
    assert bare["tokens"] == ids[1:]


async def test_tokens_are_named_as_the_vocabulary_writes_them(api: Api, tokenizer: Tokenizer) -> None:
    answer = await api.post("/tokenize", {"prompt": "One day, é", "return_token_strs": True})
    assert answer["token_strs"] == [tokenizer.token_text(token_id) for token_id in answer["tokens"]]
    assert answer["token_strs"][0] == "<|begin_of_text|>"


@pytest.mark.parametrize("more", [{}, {"add_generation_prompt": False}, {"continue_final_message": True}])
async def test_messages_go_through_the_template_and_get_no_more_special_tokens(
    api: Api, tokenizer: Tokenizer, template: ChatTemplate, more: dict[str, Any]
) -> None:
    text = template.render(MESSAGES, **({"add_generation_prompt": True} | more))
    answer = await api.post("/tokenize", {"messages": MESSAGES} | more)
    assert answer["tokens"] == tokenizer.encode(text, add_special_tokens=False)
    assert answer["tokens"].count(tokenizer.bos_token_id) == 1


async def test_ids_become_text_again(api: Api, tokenizer: Tokenizer) -> None:
    text = "One day, a naïve 🦊 said <|im_end|>"
    assert await api.post("/detokenize", {"tokens": tokenizer.encode(text)}) == {"prompt": "<|begin_of_text|>" + text}
    assert await api.post("/detokenize", {"tokens": []}) == {"prompt": ""}


async def test_a_text_longer_than_the_context_is_counted(api: Api) -> None:
    answer = await api.post("/tokenize", {"prompt": "a b " * 2000})
    assert answer["count"] > answer["max_model_len"]


async def test_clients_learn_special_tokens_and_template(api: Api, template: ChatTemplate) -> None:
    info = (await api.client.get("/tokenizer_info", params={"model": "tiny"})).json()
    assert info == {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|begin_of_text|>",
        "eos_token": "<|end_of_text|>",
        "pad_token": "<|pad|>",
        "unk_token": None,
        "chat_template": template.source,
    }
    assert (await api.client.get("/tokenizer_info", params={"model": "other"})).status_code == 404


REFUSED: list[tuple[str, dict[str, Any], str | None, str]] = [
    ("/tokenize", {}, None, "prompt"),
    ("/tokenize", {"prompt": "a", "messages": MESSAGES}, None, "prompt"),
    ("/tokenize", {"prompt": ["a"]}, None, "prompt"),
    ("/tokenize", {"prompt": "a", "add_generation_prompt": False}, None, "add_generation_prompt"),
    ("/tokenize", {"prompt": "a", "chat_template_kwargs": {"a": 1}}, None, "chat_template_kwargs"),
    ("/tokenize", {"prompt": "a", "continue_final_message": True}, None, "continue_final_message"),
    ("/tokenize", {"prompt": "a", "add_special_tokens": 1}, None, "add_special_tokens"),
    ("/tokenize", {"prompt": "a", "return_token_strs": "yes"}, None, "return_token_strs"),
    ("/tokenize", {"prompt": "a", "return_token_str": True}, "unknown_parameter", "return_token_str"),
    ("/tokenize", {"messages": MESSAGES, "chat_template": "{{ 1 }}"}, "unsupported_parameter", "chat_template"),
    ("/tokenize", {"messages": MESSAGES, "tools": [{}]}, "unsupported_parameter", "tools[0].type"),
    ("/tokenize", {"messages": []}, None, "messages"),
    ("/tokenize", {"messages": MESSAGES * 4097}, None, "messages"),
    ("/tokenize", {"prompt": "a" * 1_000_001}, None, "prompt"),
    ("/tokenize", {"messages": [{"role": "user", "content": "a" * 999_999}]}, None, "messages"),
    ("/detokenize", {}, None, "tokens"),
    ("/detokenize", {"tokens": 5}, None, "tokens"),
    ("/detokenize", {"tokens": [5, -1]}, None, "tokens[1]"),
    ("/detokenize", {"tokens": [5, True]}, None, "tokens[1]"),
    ("/detokenize", {"tokens": [5, 10**6]}, None, "tokens[1]"),
    ("/detokenize", {"tokens": [5] * 250_001}, None, "tokens"),
    ("/detokenize", {"tokens": [5], "prompt": "a"}, "unknown_parameter", "prompt"),
]


@pytest.mark.parametrize(("path", "body", "code", "param"), REFUSED, ids=[str(row[:2])[:60] for row in REFUSED])
async def test_a_bad_field_is_refused_by_name(
    api: Api, path: str, body: dict[str, Any], code: str | None, param: str
) -> None:
    error = (await api.post(path, body, 400))["error"]
    assert (error["code"], error["param"]) == (code, param), error


async def test_the_bounds_are_settings(make_api: MakeApi) -> None:
    api = make_api(limits=LimitsConfig(max_tokenize_chars=3, max_detokenize_tokens=2))
    assert (await api.post("/tokenize", {"prompt": "abcd"}, 400))["error"]["param"] == "prompt"
    assert (await api.post("/detokenize", {"tokens": [1, 2, 3]}, 400))["error"]["param"] == "tokens"


@pytest.mark.parametrize("scope", ["tokenize", "chat"])
async def test_the_routes_need_the_scope_tokenize(make_api: MakeApi, keys: KeyStore, scope: str) -> None:
    api, (_, token) = make_api(keys=keys), keys.create("k", KeyRights(scopes=frozenset([scope])))
    headers = {"authorization": f"Bearer {token}"}
    calls = (("POST", "/tokenize", {"prompt": "a"}), ("POST", "/detokenize", {"tokens": [5]}))
    for method, path, body in (*calls, ("GET", "/tokenizer_info", None)):
        response = await api.client.request(method, path, json=body, headers=headers)
        assert response.status_code == (200 if scope == "tokenize" else 403)
