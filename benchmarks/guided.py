"""Guided decoding: time to compile, time of a mask; with a running server, throughput guided ÷ unguided, and the gaps
between the tokens of an innocent stream while as many requests a second, of several kinds, are answered beside it.

python -m benchmarks.guided [--vocabulary 32000] [--url http://127.0.0.1:8000 --key sk-ensue-… --clients 8 --rate 8]
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
NUM_TURNS, STREAMS_A_TURN = 3, 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocabulary", type=int, default=32_000, help="tokens of the vocabulary that masks are for")
    parser.add_argument("--url", help="a running server; without it only masks are measured")
    parser.add_argument("--key", default="")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rate", type=float, default=8, help="requests a second beside a stream, of each kind")
    options = parser.parse_args()
    backend = LlguidanceBackend(vocabulary(options.vocabulary), WORKER)
    print(f"{'constraint':32} {'compile ms':>10} {'mask µs median':>15} {'mask ms p99':>12} {'accept µs':>10}")
    for name, constraint in constraints():
        measure(name, constraint, backend)
    if options.url:
        compare(options.url, options.key, options.clients)
        gaps(options.url, options.key, options.clients, options.rate)


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


def gaps(url: str, key: str, num_clients: int, rate: float) -> None:
    """Time between the tokens of a stream: alone, and beside requests for one token each, equally many a second.

    The kinds take turns, so that what else the machine does meets all of them.
    """
    times: dict[str, list[float]] = {name: [] for name in KINDS}
    num_asked, lasted_s = dict.fromkeys(KINDS, 0), dict.fromkeys(KINDS, 0.0)
    for turn in range(NUM_TURNS):
        for name, kinds in KINDS.items():
            began = time.perf_counter()
            more, asked = beside(url, key, kinds, num_clients, rate, turn)
            times[name] += more
            num_asked[name] += asked
            lasted_s[name] += time.perf_counter() - began
    plain = quantiles(times["plain requests"])
    print(
        f"{'gaps of a stream beside':24} {'requests/s':>10} {'p50 ms':>8} {'p99 ms':>8} {'÷ plain: p50':>13} {'p99':>6}"
    )
    for name in KINDS:
        p50, p99 = quantiles(times[name])
        ratios = f"{p50 / plain[0]:13.2f} {p99 / plain[1]:6.2f}"
        print(f"{name:24} {num_asked[name] / lasted_s[name]:10.1f} {p50 * 1e3:8.1f} {p99 * 1e3:8.1f} {ratios}")


def beside(
    url: str, key: str, kinds: tuple[Kind, ...], num_clients: int, rate: float, turn: int
) -> tuple[list[float], int]:
    """The gaps of some streams, and how many requests were answered beside them."""
    has_ended = threading.Event()
    clients = range(num_clients) if kinds else ()
    with ThreadPoolExecutor(num_clients) as pool:
        schedules = [schedule(range(client, 10**6, num_clients), rate) for client in clients]
        askers = [pool.submit(keep_asking, url, key, kinds, mine, 1000 * turn, has_ended) for mine in schedules]
        times = [moment for seed in range(STREAMS_A_TURN) for moment in stream(url, key, seed)]
        has_ended.set()
        return times, sum(asker.result() for asker in askers)


def schedule(numbers: range, rate: float) -> Iterator[tuple[int, float]]:
    """Numbers, and how long to wait for the moment of each; what is too late is left out, not asked in a burst."""
    began = time.perf_counter()
    for number in numbers:
        wait_s = began + number / rate - time.perf_counter()
        if wait_s >= 0 or number == numbers[0]:
            yield number, wait_s


def quantiles(times: list[float]) -> tuple[float, float]:
    times = sorted(times)
    return times[len(times) // 2], times[int(0.99 * len(times))]


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


KINDS: dict[str, tuple[Kind, ...]] = {
    "nothing": (),
    "plain requests": PLAIN,
    "heavy constraints": HEAVY,
    "hostile ones": HOSTILE,
}


def keep_asking(
    url: str,
    key: str,
    kinds: tuple[Kind, ...],
    schedule: Iterator[tuple[int, float]],
    first: int,
    has_ended: threading.Event,
) -> int:
    """Ask for one token at a time, each under a constraint of its own; refusals are answers."""
    num_asked = 0
    for number, wait_s in schedule:
        if has_ended.wait(wait_s):
            break
        with contextlib.suppress(urllib.error.HTTPError):
            ask(url, key, number, {"max_tokens": 1, **kinds[number % len(kinds)](first + number)})
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
