"""Guided decoding: time to compile, time of a mask; with a running server, throughput guided ÷ unguided, and the gaps
between the tokens of an innocent stream while constraints are compiled beside it.

python -m benchmarks.guided [--vocabulary 32000] [--url http://127.0.0.1:8000 --key sk-ensue-… --clients 8]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import ensue.tiny
from ensue.build.vocabulary import vocabulary_of
from ensue.errors import InvalidGrammar
from ensue.guided.backend import WORKER, Matcher
from ensue.guided.constraint import Constraint
from ensue.guided.llguidance import LlguidanceBackend
from ensue.guided.vocabulary import Vocabulary
from ensue.text.tokenizer import Tokenizer

ROOT = Path(__file__).parents[1]
SCHEMAS = ROOT / "tests" / "guided" / "real"
GRAMMARS = ROOT / "examples" / "grammars"
NUM_WALKS, NUM_STEPS = 6, 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocabulary", type=int, default=32_000, help="tokens of the vocabulary that masks are for")
    parser.add_argument("--url", help="a running server; without it only masks are measured")
    parser.add_argument("--key", default="")
    parser.add_argument("--clients", type=int, default=8)
    options = parser.parse_args()
    backend = LlguidanceBackend(vocabulary(options.vocabulary), WORKER)
    print(f"{'constraint':32} {'compile ms':>10} {'mask µs median':>15} {'mask ms p99':>12} {'accept µs':>10}")
    for name, constraint in constraints():
        measure(name, constraint, backend)
    if options.url:
        compare(options.url, options.key, options.clients)
        gaps(options.url, options.key, options.clients)


def vocabulary(num_tokens: int) -> Vocabulary:
    """The bundled model's, and pairs of its tokens up to that number."""
    bundled = vocabulary_of(Tokenizer.from_folder(Path(ensue.tiny.__file__).parent))
    words = [token for token in bundled.tokens if 0 < len(token) < 8]
    more = dict.fromkeys(one + other for one, other in product(words, words[::7])).keys() - {*bundled.tokens}
    return Vocabulary(
        (*bundled.tokens, *sorted(more)[:: max(1, len(more) // num_tokens)])[:num_tokens], bundled.special_ids
    )


def constraints() -> Iterator[tuple[str, Constraint]]:
    for path in sorted(SCHEMAS.glob("*.json")):
        yield path.name, Constraint.of_schema(json.loads(path.read_text()))
    for path in sorted(GRAMMARS.iterdir()):
        yield path.name, Constraint("grammar", path.read_text())
    yield "regex", Constraint("regex", "[a-z ]{10,400}")
    yield "choice of 500", Constraint.of_choices(tuple(f"option {i}" for i in range(500)))


def measure(name: str, constraint: Constraint, backend: LlguidanceBackend) -> None:
    began = time.perf_counter()
    try:
        grammar = backend.compile(constraint)
    except InvalidGrammar as error:
        print(f"{name:32} refused: {error.param}: {error.message[:70]}")
        return
    compile_s = time.perf_counter() - began
    masks, accepts = [], []
    for seed in range(NUM_WALKS):
        for mask_s, accept_s in walk(backend.load(grammar), random.Random(seed)):
            masks.append(mask_s)
            accepts.append(accept_s)
    masks.sort()
    accepts.sort()
    p99 = masks[int(0.99 * len(masks))]
    print(
        f"{name:32} {compile_s * 1e3:10.1f} {masks[len(masks) // 2] * 1e6:15.0f} {p99 * 1e3:12.2f} "
        f"{accepts[len(accepts) // 2] * 1e6:10.0f}"
    )


def walk(matcher: Matcher, noise: random.Random) -> Iterator[tuple[float, float]]:
    for _ in range(NUM_STEPS):
        began = time.perf_counter()
        mask = matcher.bitmask()
        masked = time.perf_counter()
        ids = [8 * i + bit for i, byte in enumerate(mask) if byte for bit in range(8) if byte >> bit & 1]
        if not ids:
            return
        token_id, before = noise.choice(ids), time.perf_counter()
        matcher.accept(token_id)
        yield masked - began, time.perf_counter() - before


def compare(url: str, key: str, num_clients: int) -> None:
    """Tokens a second with and without a constraint that never ends before max_tokens."""
    rates = {}
    for name, more in {"unguided": {}, "guided": {"guided_regex": "(?s:.){10000}"}}.items():
        began = time.perf_counter()
        with ThreadPoolExecutor(num_clients) as pool:
            counts = pool.map(lambda seed, more=more: ask(url, key, seed, more), range(4 * num_clients))
            rates[name] = sum(counts) / (time.perf_counter() - began)
        print(f"{name:10} {rates[name]:8.1f} tokens/s")
    print(f"guided ÷ unguided {rates['guided'] / rates['unguided']:.3f}")


def gaps(url: str, key: str, num_clients: int) -> None:
    """Time between the tokens of a stream: alone, and beside constraints that are compiled for one token each."""
    print(f"{'gaps of a stream':24} {'p50 ms':>8} {'p99 ms':>8} {'longest':>8}  beside")
    for name, kinds in {
        "alone": (),
        "plain requests": PLAIN,
        "heavy constraints": HEAVY,
        "hostile ones": HOSTILE,
    }.items():
        has_ended, num_asked = threading.Event(), 0
        with ThreadPoolExecutor(num_clients) as pool:
            numbers = [iter(range(client, 10**9, num_clients)) for client in range(num_clients if kinds else 0)]
            askers = [pool.submit(keep_asking, url, key, kinds, mine, has_ended) for mine in numbers]
            times = [moment for seed in range(6) for moment in stream(url, key, seed)]
            has_ended.set()
            num_asked = sum(asker.result() for asker in askers)
        times.sort()
        p50, p99 = times[len(times) // 2], times[int(0.99 * len(times))]
        print(f"{name:24} {p50 * 1e3:8.1f} {p99 * 1e3:8.1f} {times[-1] * 1e3:8.1f}  {num_asked} requests")


Kind = Callable[[int], dict[str, Any]]
PLAIN: tuple[Kind, ...] = (lambda number: {"user": f"client {number}"},)
HEAVY: tuple[Kind, ...] = (
    lambda number: {"guided_json": {"type": "object", "properties": {f"p{number}_{i}": {} for i in range(400)}}},
    lambda number: {"guided_regex": f"x{number}([a-z]{{1,200}} ?){{5,20}}"},
    lambda number: {"guided_choice": [f"{number} of {i}" for i in range(2000)]},
    lambda number: {"guided_grammar": f'root ::= [a-z]{{1,{900 + number}}} root "x" | "y{number}"'},
)
HOSTILE: tuple[Kind, ...] = (
    lambda number: {"guided_regex": f"{number}((a{{0,90}}){{0,90}}){{0,90}}"},
    lambda number: {"guided_regex": "(" * 60 + f"a{number}" + "+)" * 60},
    lambda number: {"guided_grammar": f'root ::= root root root | "a" | "b{number}" | ""'},
    lambda number: {"guided_json": {"type": "array", "minItems": 10**9 + number}},
)


def keep_asking(url: str, key: str, kinds: tuple[Kind, ...], numbers: Iterator[int], has_ended: threading.Event) -> int:
    """Ask for one token at a time, each under a constraint of its own; refusals are answers."""
    num_asked = 0
    while not has_ended.is_set():
        number = next(numbers)
        with contextlib.suppress(urllib.error.HTTPError):
            ask(url, key, number, {"max_tokens": 1, **kinds[number % len(kinds)](number)})
        num_asked += 1
    return num_asked


def stream(url: str, key: str, seed: int) -> Iterator[float]:
    """Seconds from each token of a stream to the next one."""
    before = None
    with urllib.request.urlopen(posted(url, key, seed, {"max_tokens": 200, "stream": True})) as response:
        for line in response:
            if line.startswith(b"data: {"):
                now = time.perf_counter()
                if before is not None:
                    yield now - before
                before = now


def ask(url: str, key: str, seed: int, more: dict[str, Any]) -> int:
    with urllib.request.urlopen(posted(url, key, seed, more)) as response:
        return int(json.load(response)["usage"]["completion_tokens"])


def posted(url: str, key: str, seed: int, more: dict[str, Any]) -> urllib.request.Request:
    body = {"prompt": "Once upon a time", "max_tokens": 64, "ignore_eos": True, "seed": seed, **more}
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    return urllib.request.Request(f"{url}/v1/completions", json.dumps(body).encode(), headers)


if __name__ == "__main__":
    main()
