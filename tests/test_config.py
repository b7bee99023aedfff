"""The settings: three sources, one precedence, a sentence for every mistake."""

from __future__ import annotations

import pytest

from ensue import config
from ensue.config import GIB, MIB, Config
from ensue.errors import ConfigError


def test_load_without_anything_gives_the_defaults() -> None:
    assert config.load({}, {}, {}) == Config()


def test_the_command_line_wins_over_the_environment_and_that_over_the_file() -> None:
    environ, toml = {"ENSUE_PORT": "2", "ENSUE_HOST": "::1"}, {"port": 3, "host": "127.0.0.2", "max_n": 5}
    loaded = config.load({"port": "1"}, environ, toml)
    assert (loaded.server.port, loaded.server.host, loaded.limits.max_n) == (1, "::1", 5)


@pytest.mark.parametrize(
    ("given", "value"),
    [("4GiB", 4 * GIB), ("512 mib", 512 * MIB), ("1.5G", 3 * GIB // 2), ("1000", 1000), ("2GB", 2 * 10**9)],
)
def test_a_size_is_read_with_its_unit(given: str, value: int) -> None:
    assert config.load({"kv_cache_memory": given}, {}, {}).engine.kv_cache_memory == value


@pytest.mark.parametrize("given", ["4 apples", "-1", "", "GiB", "1e9"])
def test_a_bad_size_is_refused(given: str) -> None:
    with pytest.raises(ConfigError, match=r"max_body_bytes in ensue.toml must be a size"):
        config.load({}, {}, {"max_body_bytes": given})


def test_lists_come_from_repeated_options_commas_or_arrays() -> None:
    names = ("a", "b")
    assert config.load({"served_model_name": ["a", "b"]}, {}, {}).server.served_model_name == names
    assert config.load({}, {"ENSUE_SERVED_MODEL_NAME": "a, b"}, {}).server.served_model_name == names
    assert config.load({}, {}, {"served_model_name": ["a", "b"]}).server.served_model_name == names


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({"ENSUE_PROT": "1"}, "Unknown setting ENSUE_PROT in the environment. Did you mean ENSUE_PORT?"),
        ({"ENSUE_PORT": "many"}, "ENSUE_PORT must be a whole number, not 'many'."),
        ({"ENSUE_PORT": "-1"}, "ENSUE_PORT must be at least 0, not -1."),
        ({"ENSUE_DTYPE": "int3"}, "ENSUE_DTYPE must be one of auto, bfloat16, float32, not 'int3'."),
        ({"ENSUE_NO_AUTH": "perhaps"}, "ENSUE_NO_AUTH must be true or false, not 'perhaps'."),
    ],
)
def test_a_bad_variable_is_named(environ: dict[str, str], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load({}, environ, {})
    assert caught.value.message == sentence


def test_an_unknown_file_key_is_named() -> None:
    with pytest.raises(ConfigError, match=r"Unknown setting prot in ensue.toml. Did you mean port\?"):
        config.load({}, {}, {"prot": 1})


def test_variables_that_kubernetes_injects_are_ignored() -> None:
    environ = {
        "ENSUE_SERVICE_HOST": "10.0.0.1",
        "ENSUE_SERVICE_PORT_HTTP": "8000",
        "ENSUE_PORT": "tcp://10.0.0.1:8000",
        "ENSUE_PORT_8000_TCP_ADDR": "10.0.0.1",
    }
    assert config.load({}, environ, {}) == Config()


def test_a_boolean_is_no_number() -> None:
    with pytest.raises(ConfigError, match=r"port in ensue.toml must be a whole number, not True"):
        config.load({}, {}, {"port": True})


@pytest.mark.parametrize(
    ("toml", "sentence"),
    [
        ({"port": 3.7}, "port in ensue.toml must be a whole number, not 3.7."),
        ({"host": ["a"]}, "host in ensue.toml must be a text, not ['a']."),
        ({"host": ""}, "host in ensue.toml must not be empty."),
        ({"served_model_name": ["a", ""]}, "served_model_name in ensue.toml must not be empty."),
        ({"served_model_name": ["a", "b", "a"]}, "served_model_name in ensue.toml has 'a' twice."),
        ({"drain_s": float("nan")}, "drain_s in ensue.toml must be a number, not nan."),
        ({"drain_s": "9"}, "drain_s in ensue.toml must be a number, without quotes: drain_s = 9"),
        ({"port": "80"}, "port in ensue.toml must be a whole number, without quotes: port = 80"),
        ({"no_auth": "true"}, "no_auth in ensue.toml must be true or false, without quotes: no_auth = true"),
        ({"drain_s": float("inf")}, "drain_s in ensue.toml must be a number, not inf."),
        ({"max_num_seqs": 10**20}, f"max_num_seqs in ensue.toml must be at most {2**63 - 1}, not {10**20}."),
        (
            {"kv_cache_memory": "9e9"},
            "kv_cache_memory in ensue.toml must be a size such as 4GiB, 512MiB or a number of bytes, not '9e9'.",
        ),
        (
            {"kv_cache_memory": "99999999999 GB"},
            f"kv_cache_memory in ensue.toml must be at most {2**63 - 1}, not 99999999999 GB.",
        ),
    ],
)
def test_a_value_that_nothing_could_do_is_refused(toml: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load({}, {}, toml)
    assert caught.value.message == sentence


@pytest.mark.parametrize("value", [8000, 8000.0])
def test_a_whole_number_may_be_written_in_any_way(value: object) -> None:
    assert config.load({}, {}, {"port": value}).server.port == 8000
    assert config.load({}, {"ENSUE_PORT": "8000"}, {}).server.port == 8000


def test_names_are_unique_over_all_sections() -> None:
    names = [field.name for field in config.all_settings()]
    assert len(names) == len(set(names))
