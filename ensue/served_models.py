"""Which models are served, and by what: the one place that turns the `model` of a request into something that runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ensue.config import LimitsConfig
from ensue.engine.base import Engine
from ensue.errors import ModelNotFound, shown
from ensue.guided.prover import Prover
from ensue.text.chat_template import ChatTemplate
from ensue.text.tokenizer import Tokenizer


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
    prover: Prover | None = None  # of constraints; None: there is no guided decoding
    sampling_defaults: Mapping[str, float | int] = field(default_factory=dict)  # where they differ from ensue's own

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name, *self.aliases)


class ServedModels:
    """All served models; the first is the default."""

    def __init__(self, models: Sequence[ServedModel]) -> None:
        assert models, "there is something to serve"
        self._models = tuple(models)
        self._by_name = {name: model for model in self._models for name in model.names}

    def all(self) -> tuple[ServedModel, ...]:
        return self._models

    @property
    def default(self) -> ServedModel:
        return self._models[0]

    def resolve(self, name: str | None) -> ServedModel:
        """The model of that name or alias; the default for None.

        Raises:
            ModelNotFound: nothing has that name.
        """
        if name is None:
            return self.default
        model = self._by_name.get(name)
        if model is None:
            raise ModelNotFound(f"The model `{shown(name)}` does not exist.", param="model")
        return model
