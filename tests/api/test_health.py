"""Probes, versions, models, metrics, schema."""

from __future__ import annotations

import pytest

from ensue import __version__
from ensue.api.bodies import BODIES, Body
from ensue.api.names import known
from ensue.engine.fake import FakeEngine
from ensue.errors import Overloaded
from ensue.guided.prover import ProofStats, Prover
from ensue.guided.vocabulary import Vocabulary
from ensue.outputs import EngineInfo
from tests.api.conftest import Api, MakeApi


class LoadingEngine(FakeEngine):
    """An engine whose model is not there yet."""

    phase_now = "weights"

    @property
    def info(self) -> EngineInfo:
        raise Overloaded("The model is loading.", code="model_loading", retry_after_s=5)

    @info.setter
    def info(self, value: EngineInfo) -> None:
        pass

    @property
    def is_ready(self) -> bool:
        return False

    @property
    def phase(self) -> str:
        return self.phase_now


@pytest.fixture
def loading(make_api: MakeApi) -> Api:
    return make_api(LoadingEngine())


async def test_a_process_that_answers_is_healthy_and_an_engine_that_runs_is_ready(api: Api) -> None:
    assert (await api.client.get("/health")).status_code == 200
    assert (await api.client.get("/ready")).status_code == 200


@pytest.mark.parametrize(
    ("phase", "code"),
    [
        ("weights", "model_loading"),
        ("dead", "engine_restarting"),
        ("draining", "draining"),
        ("stalled", "server_is_overloaded"),
    ],
)
async def test_not_ready_says_why_and_for_how_long(
    loading: Api, monkeypatch: pytest.MonkeyPatch, phase: str, code: str
) -> None:
    monkeypatch.setattr(LoadingEngine, "phase_now", phase)
    response = await loading.client.get("/ready")
    assert response.status_code == 503
    assert response.headers["retry-after"]
    answer = response.json()
    assert (answer["error"]["code"], answer["phase"]) == (code, phase)
    assert answer["elapsed_s"] >= 0
    assert (await loading.client.get("/health")).status_code == 200


async def test_while_loading_requests_are_told_when_to_come_back(loading: Api) -> None:
    response = await loading.client.post("/v1/completions", json={"prompt": "x"})
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    assert response.json()["error"]["code"] == "model_loading"


async def test_while_loading_models_and_version_are_known(loading: Api) -> None:
    assert (await loading.client.get("/v1/models")).json()["data"][0]["max_model_len"] is None
    version = (await loading.client.get("/version")).json()
    assert (version["version"], version["fingerprint"]) == (__version__, None)


async def test_version_says_what_makes_answers_reproducible(api: Api) -> None:
    version = (await api.client.get("/version")).json()
    assert version.keys() == {"version", "model", "fingerprint", "row_independent", "self_test", "dtype", "device"}
    assert (version["model"], version["row_independent"]) == ("tiny", True)


async def test_models_are_listed_under_all_their_names(make_api: MakeApi) -> None:
    api = make_api(aliases=("org/alias",), sampling_defaults={"temperature": 0.7})
    listed = (await api.client.get("/v1/models")).json()
    assert (listed["object"], [model["id"] for model in listed["data"]]) == ("list", ["tiny", "org/alias"])
    model = listed["data"][0]
    assert (model["object"], model["created"], model["root"], model["max_model_len"]) == ("model", 7, "org/tiny", 1024)
    defaults = {"temperature": 0.7, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}
    assert model["default_sampling_params"] == defaults


@pytest.mark.parametrize("path", ["/v1/models/org/alias", "/v1/models/org%2Falias"])
async def test_a_models_name_may_have_slashes(make_api: MakeApi, path: str) -> None:
    api = make_api(aliases=("org/alias",))
    assert (await api.client.get(path)).json()["id"] == "org/alias"


async def test_metrics_count_requests_tokens_and_time(api: Api) -> None:
    await api.complete({"max_tokens": 4, "prompt": [[5, 6, 7]]})
    await api.error({"n": 0})
    text = (await api.client.get("/metrics")).text
    assert 'ensue_prompt_tokens_total{model="tiny"} 3.0' in text
    assert 'ensue_completion_tokens_total{model="tiny"} 4.0' in text
    assert 'ensue_time_to_first_token_seconds_count{model="tiny"} 1.0' in text
    assert 'ensue_requests_total{endpoint="/v1/completions",model="tiny",status="200"} 1.0' in text
    assert 'ensue_requests_total{endpoint="/v1/completions",model="",status="400"} 1.0' in text


async def test_metrics_tell_of_proofs(make_api: MakeApi) -> None:
    prover = Prover(lambda: Vocabulary(()))
    api = make_api(prover=prover)
    for num_hits in (3, 5):
        prover.stats = ProofStats(num_hits=num_hits, num_misses=2, num_refused=1)
        text = (await api.client.get("/metrics")).text
        assert f'ensue_guided_cache_hits_total{{model="tiny"}} {num_hits}.0' in text
        assert 'ensue_guided_cache_misses_total{model="tiny"} 2.0' in text


@pytest.mark.parametrize("body", BODIES)
async def test_the_schema_knows_every_field_and_resolves(api: Api, body: type[Body]) -> None:
    schema = (await api.client.get("/openapi.json")).json()
    schemas = schema["components"]["schemas"]
    described = schemas[body.__name__]
    text = described.get("description", "")
    assert described["properties"].keys() | {name for name in known(body) if name in text} == known(body)
    text = str(schema)
    references = {part.split("'")[0] for part in text.split("#/components/schemas/")[1:]}
    assert references <= schemas.keys()


async def test_the_schema_has_no_framework_errors(api: Api) -> None:
    assert "HTTPValidationError" not in (await api.client.get("/openapi.json")).text
