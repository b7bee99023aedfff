"""Frames carry every message whole, and refuse what is not one."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue.engine import wire
from ensue.engine.wire import (
    Abort,
    Add,
    Bye,
    Drain,
    Failed,
    Grant,
    Heartbeat,
    Hello,
    Loading,
    Message,
    Ready,
    Step,
    Stop,
)
from ensue.errors import ContextLengthExceeded, Overloaded
from ensue.outputs import EngineStats, FinishReason, Timings, TokenLogprobs, TokenOutput
from ensue.request import BeamParams, CompiledGrammar, GenerationRequest
from ensue.sampling_params import SamplingParams
from tests.engine.toy import make_engine

REQUEST = GenerationRequest(
    request_id="r",
    prompt_token_ids=(1, 2, 3),
    sampling=SamplingParams(temperature=0.5, top_k=7, logit_bias=((3, -100.0),)),
    seed=-(2**63),
    max_tokens=5,
    num_logprobs=2,
    beam=BeamParams(3, early_stopping="never"),
    grammar=CompiledGrammar("llguidance", b"\x00\xff", b"d"),
    deadline=1.5,
)
OUTPUT = TokenOutput(
    sample_index=0,
    token_ids=(4, 5),
    logprobs=TokenLogprobs((-1.0, -float("inf")), (1, 2), ((4,), (9,)), ((-1.0,), (-0.5,))),
    finish_reason=FinishReason.STOP,
    beam_score=-0.125,
    timings=Timings(0.1, 0.2),
)
MESSAGES: list[Message] = [
    Hello(),
    Add(7, REQUEST),
    Stop(7, 1),
    Abort(7),
    Drain(),
    Loading("weights", 0.5),
    Ready(make_engine().info, 2**62, Grant(1, 2, 3)),
    Step([(7, OUTPUT), (8, OUTPUT)], EngineStats(num_running=2), Grant(1, 2, 3)),
    Failed(7, "ContextLengthExceeded", "Too long.", "prompt", "context_length_exceeded"),
    Heartbeat(0.25, True),
    Bye("drained"),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_comes_back_as_it_was(message: Message) -> None:
    frame = wire.encode(message)
    length, kind = wire.body_length(frame[: wire.HEADER.size])
    body = frame[wire.HEADER.size :]
    assert len(body) == length
    assert wire.decode(kind, body) == message


@given(kind=st.integers(0, 255), body=st.binary(max_size=40))
def test_noise_is_refused_or_is_a_message(kind: int, body: bytes) -> None:
    try:
        message = wire.decode(kind, body)
    except wire.WireError:
        return
    assert isinstance(message, Message)


def test_values_that_our_own_types_refuse_are_refused() -> None:
    frame = wire.encode(Add(7, REQUEST))
    hot = frame.replace(struct.pack(">d", 0.5), struct.pack(">d", 9.0), 1)  # the temperature
    with pytest.raises(wire.WireError, match="temperature"):
        wire.decode(hot[4], hot[wire.HEADER.size :])


@pytest.mark.parametrize("length", [0, wire.MAX_FRAME_BYTES + 1])
def test_a_length_out_of_bounds_is_refused(length: int) -> None:
    with pytest.raises(wire.WireError, match="out of bounds"):
        wire.body_length(wire.HEADER.pack(length, 0))


def test_an_error_crosses_with_its_class_and_fields() -> None:
    error = Failed.of(1, Overloaded("Full.", code="draining", retry_after_s=3)).as_error()
    assert isinstance(error, Overloaded)
    assert (error.message, error.code, error.retry_after_s) == ("Full.", "draining", 3)
    assert isinstance(Failed.of(1, ContextLengthExceeded("x", param="prompt")).as_error(), ContextLengthExceeded)
