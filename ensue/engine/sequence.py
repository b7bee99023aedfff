"""One running generation: its tokens, its blocks, how far it is computed. Plain data with one owner, the scheduler."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass, field

from ensue.engine.guide import Guide
from ensue.engine.history import History, LogitRules
from ensue.engine.rows import SampledToken, SampleRow
from ensue.outputs import FinishReason
from ensue.request import GenerationRequest

Handle = tuple[int, int]  # (client, that client's number for the request)


@dataclass(eq=False, slots=True)
class Sequence:
    """One sample of a request.

    Intervals over token_ids: [0, num_computed) is in the cache · [num_computed, num_tokens) is to be computed.
    A sequence is decoding when one token is left to compute, its newest one.
    """

    handle: Handle
    request: GenerationRequest
    sample: int  # 0 … num_samples − 1, as the outputs count
    arrival: int
    added_at: float
    token_ids: list[int] = field(default_factory=list)
    block_table: list[int] = field(default_factory=list)
    num_computed: int = 0
    block_hashes: tuple[bytes, ...] = ()  # of its first blocks, as far as they were needed
    num_cached_tokens: int | None = None  # prompt tokens that were in the cache when it was first scheduled
    next_to_score: int = 1  # position of the first prompt token whose logprob was not sent yet
    num_held: int = 0  # newest tokens that are not told yet: the rows before them are to bring their logprobs
    siblings: list[Sequence] = field(default_factory=list)  # wait for this one to compute the prompt they share
    finish_reason: FinishReason | None = None
    is_complete: bool = False  # by its grammar, without an end token
    is_preempted: bool = False
    is_catching_up: bool = False  # since it was started, it has not come to choose a token
    num_preemptions: int = 0
    scheduled_at: float | None = None
    first_token_at: float | None = None
    rules: LogitRules | None = None  # None where no setting changes logits
    history: History | None = None  # None where no penalty counts tokens
    guide: Guide | None = None  # None where no grammar does

    def __post_init__(self) -> None:
        request = self.request
        self.token_ids = [*request.prompt_token_ids, *request.resumed_token_ids]
        if self.rules is None:
            self.rules, self.history = LogitRules.of(request), History.of(request)
            self._count(request.resumed_token_ids)

    def sibling(self, sample: int) -> Sequence:
        """Another sample of the same request, which has generated nothing of its own yet."""
        history = self.history and self.history.copy()
        guide = None if self.guide is None else self.guide.fork()
        return Sequence(
            self.handle,
            self.request,
            sample,
            self.arrival,
            self.added_at,
            rules=self.rules,
            history=history,
            guide=guide,
        )

    @property
    def key(self) -> tuple[int, int, int]:
        """The order of service: priority, then first come, first served."""
        return (self.request.priority, self.arrival, self.sample)

    @property
    def num_tokens(self) -> int:
        return len(self.token_ids)

    @property
    def num_prompt_tokens(self) -> int:
        return len(self.request.prompt_token_ids)

    @property
    def num_generated(self) -> int:
        return self.num_tokens - self.num_prompt_tokens

    @property
    def num_to_compute(self) -> int:
        return self.num_tokens - self.num_computed

    @property
    def has_place(self) -> bool:
        """Whether a step always computes one of its tokens: the newest, or the first of those that were forced."""
        return self.num_to_compute == 1 or self.num_computed >= self.num_prompt_tokens

    @property
    def to_score(self) -> range:
        """Positions of the tokens, given or forced, whose logprobs are wanted and were not sent yet."""
        if self.num_held:
            return range(self.num_tokens - self.num_held, self.num_tokens)
        is_wanted = self.request.num_prompt_logprobs is not None
        return range(self.next_to_score, self.num_prompt_tokens) if is_wanted else range(0)

    @property
    def num_skippable(self) -> int:
        """The first positions, whose rows nothing but later ones needs."""
        return (self.to_score.start if self.to_score else self.num_tokens) - 1

    @property
    def is_finished(self) -> bool:
        return self.finish_reason is not None

    def take_over(self, leader: Sequence, siblings: list[Sequence]) -> None:
        """Go on with the prompt that an ended sample was computing for all."""
        self.block_table, leader.block_table = leader.block_table, []
        self.num_computed, self.next_to_score = leader.num_computed, leader.next_to_score
        self.scheduled_at, self.is_preempted = leader.scheduled_at, leader.is_preempted
        self.is_catching_up = leader.is_catching_up
        self.block_hashes, self.num_cached_tokens = leader.block_hashes, leader.num_cached_tokens
        self.siblings, leader.siblings = siblings, []

    def sample_row(self) -> SampleRow:
        """How to choose the token after the last one."""
        request, rules = self.request, self.rules
        is_too_short = self.num_generated < request.min_tokens
        return SampleRow(
            sampling=request.sampling,
            seed=request.seed,
            sample_index=request.first_sample_index + self.sample,
            position=self.num_tokens,
            num_logprobs=request.num_logprobs,
            num_candidates=self._num_candidates,
            rules=rules,
            banned_ids=rules.banned_after(self.token_ids) if rules else (),
            masked_ids=(*request.end_token_ids, *request.stop_token_ids) if is_too_short else (),
            history=self.history,
            guide_mask=None if self.guide is None else self.guide.mask,
        )

    @property
    def _num_candidates(self) -> int:
        """Beam search: enough for `width` tokens that don't end a beam to be among them."""
        request = self.request
        if request.beam is None:
            return 0
        num_completing = 0 if self.guide is None else request.beam.width  # tokens after which nothing can follow
        return request.beam.width + len({*request.end_token_ids, *request.stop_token_ids}) + num_completing

    def append(self, token: SampledToken, max_model_len: int) -> None:
        """Take a chosen token, and finish where the request says so.

        Raises:
            GenerationFailed: the grammar can't go on.
        """
        request = self.request
        self._add(token.token_id)
        if self._ends(token.token_id):
            self.finish_reason = FinishReason.STOP
            return
        if self.guide is not None:
            self.guide.accept(token.token_id)
            self.is_complete = self.guide.is_complete
        if self.is_complete:
            self.finish_reason = FinishReason.STOP
        elif self.num_generated >= request.max_tokens or self.num_tokens >= max_model_len:
            self.finish_reason = FinishReason.LENGTH

    def forced_token(self, max_model_len: int) -> int | None:
        """The token that the grammar leaves no choice of, where taking it without a choice changes nothing.

        What may end a text is chosen like any other token, and so is the last one where its logprobs are wanted: they
        must be known at the end. Beams choose for themselves.
        """
        request = self.request
        token_id = None if self.guide is None or request.beam is not None else self.guide.only_token
        if token_id is None or token_id in request.end_token_ids or token_id in request.stop_token_ids:
            return None
        is_last = self.num_generated + 1 >= request.max_tokens or self.num_tokens + 1 >= max_model_len
        is_banned = self.rules is not None and self.rules.bans(token_id, self.token_ids)
        return None if is_banned or (is_last and request.num_logprobs is not None) else token_id

    def hold(self, token_id: int) -> None:
        """Take a forced token that is told later.

        Raises:
            GenerationFailed: the grammar can't go on.
        """
        assert self.guide is not None
        self._add(token_id)
        self.num_held += 1
        self.guide.accept(token_id)

    def _add(self, token_id: int) -> None:
        self.token_ids.append(token_id)
        self._count((token_id,))

    def _ends(self, token_id: int) -> bool:
        request = self.request
        is_end = token_id in request.end_token_ids or token_id in request.stop_token_ids
        may_end = self.guide is None or self.guide.is_accepting
        return is_end and may_end and self.num_generated >= request.min_tokens

    def fork(self, sample: int, token: SampledToken, guide: Guide | None = None) -> Sequence:
        """Another beam: the same text and one token more. Its blocks are the scheduler's to give.

        Args:
            guide: after that token, where there is one.
        """
        beam = copy(self)
        beam.sample, beam.token_ids, beam.block_table = sample, [*self.token_ids, token.token_id], []
        beam.guide = guide
        beam.history = self.history and self.history.copy()
        beam._count((token.token_id,))
        return beam

    def _count(self, token_ids: Iterable[int]) -> None:
        if self.history is not None:
            for token_id in token_ids:
                self.history.append(token_id)

    @property
    def stop_token_id(self) -> int | None:
        """The stop token that ended it; None where an end token did."""
        last = self.token_ids[-1]
        is_stop = self.finish_reason is FinishReason.STOP and last not in self.request.end_token_ids
        return last if is_stop and not self.is_complete else None
