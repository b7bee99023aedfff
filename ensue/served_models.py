"""Which models are served, and by what: the one place that turns the `model` of a request into something that runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ensue.config import LimitsConfig
from ensue.engine.base import Engine
from ensue.errors import ModelNotFound, shown
from ensue.guided.prover import Prover
from ensue.rights import KeyRights
from ensue.text.chat_template import ChatTemplate
from ensue.text.tokenizer import Tokenizer
from ensue.tools import ToolSupport


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One model: its names, the engine behind it, and how its text is read and written."""

    name: str  # canonical
    engine: Engine
    tokenizer: Tokenizer
    limits: LimitsConfig
    root: str  # a hub id or a name, never a path
    created: int  # Unix seconds
    aliases: tuple[str, ...] = ()
    chat_template: ChatTemplate | None = None
    tool_support: ToolSupport | None = None
    prover: Prover | None = None  # of constraints; None: there is no guided decoding
    sampling_defaults: Mapping[str, float | int] = field(default_factory=dict)  # where they differ from ensue's own

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name, *self.aliases)


class ServedModels:
    """All served models; the first is the default for those who may use it."""

    def __init__(self, models: Sequence[ServedModel]) -> None:
        assert models, "there is something to serve"
        self._models = tuple(models)
        self._by_name = {name: model for model in self._models for name in model.names}

    def all(self) -> tuple[ServedModel, ...]:
        return self._models

    @property
    def default(self) -> ServedModel:
        return self._models[0]

    def usable(self, rights: KeyRights | None) -> tuple[ServedModel, ...]:
        """Those that a key with these rights may use; all of them without a key."""
        return tuple(model for model in self._models if _may_use(rights, model))

    def resolve(self, name: str | None, rights: KeyRights | None = None) -> ServedModel:
        """The model of that name or alias; for None the first that a key with these rights may use.

        Raises:
            ModelNotFound: nothing has that name, or the key may not use it: from outside these are the same.
        """
        if name is None:
            return self._first(rights)
        model = self._by_name.get(name)
        if model is None or not _may_use(rights, model):
            raise ModelNotFound(f"The model `{shown(name)}` does not exist.", param="model")
        return model

    def _first(self, rights: KeyRights | None) -> ServedModel:
        for model in self.usable(rights):
            return model
        raise ModelNotFound("This API key may use none of the served models.", param="model")


def _may_use(rights: KeyRights | None, model: ServedModel) -> bool:
    return rights is None or rights.may_use_model(model.names)
