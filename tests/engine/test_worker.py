"""The step loop and the socket's thread, each by itself: who gets credit, who is told of a drain, who is dropped."""

from __future__ import annotations

import queue
import socket
import tempfile
from pathlib import Path

import pytest

from ensue.engine import wire
from ensue.engine import worker as worker_module
from ensue.engine.grammars import Grammars
from ensue.engine.llm_engine import LLMEngine, QueueLimits
from ensue.engine.wire import Abort, Add, Drain, Failed, Grant, Hello, Loading, Message, Ready, Step
from ensue.engine.worker import Outbox, StepLoop, _Joined, _Left
from ensue.outputs import EngineStats, TokenOutput
from tests.engine.toy import VOCABULARY, make_engine, make_request

ADD = Add(1, make_request((1, 2), max_tokens=2))


class Letters(Outbox):
    """An outbox without a socket, that keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, Message]] = []

    def ready(self) -> None:
        pass

    def send(self, client: int, message: Message) -> None:
        self.sent.append((client, message))


def letters_after(*messages: tuple[int, Message | _Joined | _Left], engine: LLMEngine | None = None) -> Letters:
    """What a step loop sends that takes these messages, and ends with a drain."""
    inbox: worker_module.Inbox = queue.SimpleQueue()
    outbox = Letters()
    loop = StepLoop(engine or make_engine(), Grammars(lambda: VOCABULARY), inbox, outbox)
    for message in (*messages, (0, Drain())):
        inbox.put(message)
    loop.run()
    return outbox


def last_grant(outbox: Letters, client: int) -> Grant:
    return [m.grant for c, m in outbox.sent if c == client and isinstance(m, Ready | Step)][-1]


def test_credit_comes_back_where_no_step_follows() -> None:
    outbox = letters_after((1, _Joined()), (1, ADD), (1, Abort(1)))
    assert last_grant(outbox, 1) == Grant(100, 10_000, num_adds=1)


def test_credit_is_shared_by_those_who_are_there() -> None:
    outbox = letters_after((1, _Joined()), (2, _Joined()), (1, ADD))
    assert last_grant(outbox, 2) == Grant(50, 5_000, num_adds=0)
    outbox = letters_after((1, _Joined()), (2, _Joined()), (2, _Left()), (1, ADD))
    assert last_grant(outbox, 1) == Grant(100, 10_000, num_adds=1)


def test_the_last_room_is_offered_to_each_client_rather_than_to_none() -> None:
    engine = make_engine(limits=QueueLimits(1, 40))
    outbox = letters_after((1, _Joined()), (2, _Joined()), engine=engine)
    assert last_grant(outbox, 1) == last_grant(outbox, 2) == Grant(1, 40, num_adds=0)


def test_outputs_go_to_the_client_that_asked() -> None:
    outbox = letters_after((1, _Joined()), (2, _Joined()), (1, ADD), (2, _Left()))
    outputs = {client: m.outputs for client, m in outbox.sent if isinstance(m, Step) and m.outputs}
    assert list(outputs) == [1]
    assert {handle for handle, _ in outputs[1]} == {1}


def test_requests_of_a_client_that_left_are_ended() -> None:
    engine = make_engine()
    outbox = letters_after((1, _Joined()), (1, ADD), (1, _Left()), engine=engine)
    assert not engine.has_work
    assert not [m for _, m in outbox.sent if isinstance(m, Step) and m.outputs]


def test_a_drain_is_told_to_every_client_and_refuses_what_comes_after() -> None:
    outbox = letters_after((1, _Joined()), (1, ADD), (0, Drain()), (2, _Joined()), (2, ADD))
    assert [client for client, m in outbox.sent if m == Loading("draining")] == [1, 2, 1, 2]
    (refusal,) = [m for client, m in outbox.sent if client == 2 and isinstance(m, Failed)]
    assert (refusal.handle, refusal.error, refusal.code) == (1, "Overloaded", "draining")
    assert any(m.outputs for client, m in outbox.sent if client == 1 and isinstance(m, Step))


def test_a_client_that_does_not_read_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "MAX_BEHIND_BYTES", 100_000)
    inbox: worker_module.Inbox = queue.SimpleQueue()
    step = Step([(1, TokenOutput(0, tuple(range(100_000))))], EngineStats(), Grant(1, 1, 0))
    with tempfile.TemporaryDirectory(prefix="ensue-") as folder, socket.socket(socket.AF_UNIX) as client:
        outbox = Outbox(inbox, Path(folder) / "worker.sock")
        outbox.ready()
        client.connect(f"{folder}/worker.sock")
        client.sendall(wire.encode(Hello()))
        assert inbox.get(timeout=30) == (1, _Joined())
        for _ in range(10):
            outbox.send(1, step)
        assert inbox.get(timeout=30) == (1, _Left())
