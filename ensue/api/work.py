"""One generation from its reservation to its settlement, whichever way it ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from ensue.api.accounting import Account, Accountant, Ask, Outcome
from ensue.api.context import RequestContext
from ensue.api.disconnect import ClientDisconnected
from ensue.api.error_handlers import draining, internal_error
from ensue.errors import RequestError
from ensue.outputs import Usage
from ensue.service.completion import Completion, CompletionService, PreparedCompletion

CANCELLED, ERROR = "cancelled", "error"


class Work:
    """Reserves, starts, and is closed once with what ended it."""

    def __init__(
        self, context: RequestContext, accountants: Sequence[Accountant], endpoint: str, user: str | None
    ) -> None:
        """
        Args:
            endpoint: the route's path.
            user: the request's label.
        """
        self._context = context
        self._accountants = accountants
        self._endpoint, self._user = endpoint, user
        self._account = Account()
        self._completion: Completion | None = None
        self._closing: asyncio.Task[None] | None = None

    async def start(self, service: CompletionService, prepared: PreparedCompletion) -> Completion:
        """Nothing is asked of the engine before all have reserved; to be closed even if this raises.

        Raises:
            RequestError: an accountant or the engine refuses.
        """
        ask = Ask(
            request_id=self._context.header,
            endpoint=self._endpoint,
            model=prepared.model.name,
            key=self._context.key,
            prompt_tokens=prepared.prompt_tokens,
            max_completion_tokens=prepared.max_completion_tokens,
            user=self._user,
            used=self._used,
        )
        await self._account.open(ask, self._accountants)
        self._context.answer_headers.update(self._account.headers())
        self._completion = await service.start(prepared)
        return self._completion

    async def close(self, error: BaseException | None = None) -> None:
        """Cancel what still runs and settle. The first call says how it ended, and is finished even if cancelled.

        Args:
            error: what kept the answer from its end.
        """
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(error))
        await asyncio.shield(self._closing)

    async def _close(self, error: BaseException | None) -> None:
        try:
            if self._completion is not None:
                await self._completion.aclose()
        finally:
            await self._account.settle(self._outcome(error))

    def _used(self) -> Usage:
        return Usage() if self._completion is None else self._completion.usage

    def _outcome(self, error: BaseException | None) -> Outcome:
        completion, context = self._completion, self._context
        first_at = None if completion is None else completion.first_token_at
        return Outcome(
            usage=self._used(),
            finish=self._finish(error),
            status=context.status or _status(error),
            queue_s=None if completion is None else completion.queue_s,
            first_token_s=None if first_at is None else first_at - context.started_at,
            elapsed_s=time.perf_counter() - context.started_at,
        )

    def _finish(self, error: BaseException | None) -> str:
        """A client that leaves once all choices have ended has lost nothing."""
        is_gone = isinstance(error, ClientDisconnected)
        if self._completion is not None and self._completion.finish is not None and (error is None or is_gone):
            return self._completion.finish
        return CANCELLED if is_gone else ERROR


def _status(error: BaseException | None) -> int | None:
    """Of an answer that is yet to begin."""
    match error:
        case None:
            return 200
        case ClientDisconnected():
            return None
        case RequestError():
            return error.status
        case asyncio.CancelledError():
            return draining().status
    return internal_error().status
