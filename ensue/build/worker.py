"""The engine worker, put together."""

from __future__ import annotations

from pathlib import Path

from ensue.build.vocabulary import vocabulary_of
from ensue.child import Event, EventWriter, ProcessSettings
from ensue.config import Config
from ensue.engine import resources
from ensue.engine.grammars import Grammars
from ensue.engine.llm_engine import LLMEngine, QueueLimits
from ensue.engine.model_runner import ModelRunner
from ensue.engine.sampler import Sampler
from ensue.engine.worker import Report, run_worker
from ensue.errors import ConfigError
from ensue.logs import set_up_logging
from ensue.model import devices, registry
from ensue.model.attention import KVCache
from ensue.model.decoder import Decoder
from ensue.model.loader import weight_bytes
from ensue.outputs import EngineInfo
from ensue.text.tokenizer import Tokenizer

BLOCK_SIZE = 64  # positions a block; measured best on CPUs


def run(settings: ProcessSettings, events: EventWriter) -> None:
    """Load the model and serve it on the socket until told to end."""
    set_up_logging(settings.config.server)

    def build(report: Report) -> LLMEngine:
        engine = build_engine(Path(settings.model.folder), settings.config, report)
        events.send(Event("listening"))  # from here on it counts as a worker that has worked
        return engine

    run_worker(
        build,
        Grammars(lambda: vocabulary_of(Tokenizer.from_folder(Path(settings.model.folder)))),
        Path(settings.socket_path),
        events.phase,
    )


def build_engine(folder: Path, config: Config, report: Report) -> LLMEngine:
    """The native engine over a model folder.

    Raises:
        StartupError: the model or the settings don't fit this machine.
    """
    num_cores = resources.num_usable_cores()
    devices.set_num_threads(config.engine.threads or resources.num_compute_threads(weight_bytes(folder), num_cores))
    decoder = registry.load_model(folder, config.engine, report)
    report("kernels", None)
    devices.load_kernels(decoder.device, decoder.dtype)
    num_blocks = _num_blocks(decoder, config)
    report(f"cache of {num_blocks * BLOCK_SIZE:,} tokens", None)
    cache = KVCache.allocate(decoder.config, num_blocks, BLOCK_SIZE, decoder.dtype, decoder.device)
    runner = ModelRunner(decoder, cache, Sampler(), BLOCK_SIZE)
    limits = QueueLimits(config.limits.max_waiting_requests, config.limits.max_waiting_tokens)
    info = _info(folder, decoder, num_blocks, config)
    return LLMEngine(
        runner, info, config.engine.max_num_batched_tokens, limits, has_prefix_cache=config.engine.prefix_caching
    )


def _num_blocks(decoder: Decoder, config: Config) -> int:
    """As many as the memory allows, but no more than the sequences that may run at once can fill."""
    block_bytes = KVCache.bytes_per_block(decoder.config, BLOCK_SIZE, decoder.dtype)
    budget = config.engine.kv_cache_memory
    if budget is None:
        free = devices.free_device_memory(decoder.device)
        budget = (resources.free_memory() if free is None else free) // 2
    blocks_a_sequence = -(-decoder.config.max_model_len // BLOCK_SIZE)
    num_blocks = min(budget // block_bytes, config.engine.max_num_seqs * blocks_a_sequence)
    if num_blocks < 1:
        raise ConfigError(
            f"{budget:,} bytes of memory for keys and values hold not even one block of {BLOCK_SIZE} tokens, which "
            f"takes {block_bytes:,}. Give more with --kv-cache-memory."
        )
    return num_blocks


def _info(folder: Path, decoder: Decoder, num_blocks: int, config: Config) -> EngineInfo:
    model, self_test = decoder.config, decoder.self_test
    return EngineInfo(
        max_model_len=model.max_model_len,
        max_request_tokens=min(model.max_model_len, num_blocks * BLOCK_SIZE),
        logits_width=model.vocab_size,
        end_token_ids=model.end_token_ids,
        block_size=BLOCK_SIZE,
        max_num_seqs=config.engine.max_num_seqs,
        num_blocks=num_blocks,
        fingerprint=registry.fingerprint(folder, decoder, BLOCK_SIZE),
        row_independent=self_test is not None and self_test.row_independent,
        self_test=self_test,
        dtype=str(decoder.dtype).removeprefix("torch."),
        device=decoder.device.type,
    )
