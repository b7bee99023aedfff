"""A worker process over the toy model: `python worker_process.py SOCKET STEP_DELAY_S`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from ensue.engine.grammars import Grammars
from ensue.engine.llm_engine import LLMEngine, RowResult
from ensue.engine.scheduler import SchedulerOutput
from ensue.engine.worker import Report, run_worker
from tests.engine.toy import VOCABULARY, ToyRunner, make_engine


class SlowRunner(ToyRunner):
    """Each step takes a while; token 96 in a prompt makes it fail, 95 makes it hang."""

    delay_s = 0.0

    def run(self, work: SchedulerOutput) -> list[RowResult]:
        time.sleep(self.delay_s)
        tokens = {token for item in work.scheduled for token in item.sequence.request.prompt_token_ids}
        if 96 in tokens:
            raise RuntimeError("the device is gone")
        if 95 in tokens:
            time.sleep(3600)
        return super().run(work)


def build(report: Report) -> LLMEngine:
    report("weights", 0.5)
    engine = make_engine(num_blocks=4096, max_model_len=4000)
    runner = SlowRunner(4096)
    runner.delay_s = float(sys.argv[2])
    engine._runner = runner
    return engine


if __name__ == "__main__":
    run_worker(build, Grammars(lambda: VOCABULARY), Path(sys.argv[1]), lambda phase, fraction: None)
