"""List D: constraints made to cost, to crash or to leak."""

from __future__ import annotations

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.abuse.victim import Victim
from tests.product.server import wait_until
from tests.product.test_guided_abuse import HOSTILE

UNIQUE = 300


def memory_of(pid: int) -> int:
    """Resident bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def guided(victim: Victim, **fields: Any) -> int | None:
    return victim.complete(json.dumps({"prompt": "x", "max_tokens": 4, **fields}).encode()).status


def test_hostile_constraints_are_answered(victim: Victim) -> None:
    with ThreadPoolExecutor(6) as pool:
        statuses = list(pool.map(lambda row: guided(victim, **row[0]), HOSTILE))
    assert set(statuses) <= {200, 400}


def test_many_different_schemas_do_not_pile_up(victim: Victim) -> None:
    def ask(number: int) -> int | None:
        schema = {"type": "object", "properties": {f"p{number}": {"type": "integer"}}, "required": [f"p{number}"]}
        return guided(victim, guided_json=schema)

    pids = victim.server.child_pids()
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(ask, range(UNIQUE // 3))) == {200}
        before = {role: memory_of(pid) for role, pid in pids.items()}
        assert set(pool.map(ask, range(UNIQUE // 3, UNIQUE))) == {200}
    for role, pid in pids.items():
        assert memory_of(pid) - before[role] < 100 * 2**20, role


def test_flood_of_costly_constraints_holds_up_no_other_key(victim: Victim) -> None:
    """Another key waits for a proof or two of the flood's, and what nobody waits for any more is not proved."""
    rules = "\n".join(f"r{i}: r{i + 1} r{i + 1} | r{i + 1}" for i in range(40))
    flood, key = [], victim.make_key()
    for number in range(300):  # more than may wait
        grammar = f'start: r0\n{rules}\nr40: "{number}" |'
        flood.append(victim.send_completion(json.dumps({"prompt": "x", "guided_grammar": grammar}).encode()))
    asked = json.dumps({"prompt": "x", "max_tokens": 4, "guided_regex": "[m-p]{3}"}).encode()
    assert victim.complete(asked, key=key).status == 200
    for connection in flood:
        connection.close()
    assert wait_until(lambda: guided(victim, guided_regex="[q-t]{3}") == 200, 60)


def test_killed_prover_is_replaced(victim: Victim) -> None:
    """Whatever it was proving is answered, and the next constraint is proved by another one."""
    assert guided(victim, guided_regex="[a-c]{3}") == 200
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(guided, victim, guided_regex=f"[a-z]{{3}}x{i}") for i in range(12)]
        for pid in provers(victim):
            os.kill(pid, signal.SIGKILL)
        assert {future.result() for future in asked} <= {200, 400, 500, 503}
    assert wait_until(lambda: guided(victim, guided_regex="[d-f]{3}") == 200, 30)


def provers(victim: Victim) -> list[int]:
    """Children of the API process."""
    api = victim.server.child_pids()["api"]
    return [int(pid) for pid in Path(f"/proc/{api}/task/{api}/children").read_text().split()]
