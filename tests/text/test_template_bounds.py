"""A template that loops or grows without end is stopped, at load if it does so at once, else in the request."""

from __future__ import annotations

import time

import pytest

from ensue.errors import InvalidRequest, ModelError
from ensue.text import template_bounds
from ensue.text.chat_template import ChatTemplate

MANY = "range(9999)"
GROWING = "{%% set g = namespace(x='ab') %%}{%% for i in range(99) %%}{%% %s %%}{%% endfor %%}"
COSTLY = {
    "loops": f"{{% for a in {MANY} %}}{{% for b in {MANY} %}}{{% for c in {MANY} %}}{{% endfor %}}"
    + "{% endfor %}" * 2,
    "recursive loop": "{% for a in [1, 2] recursive %}{{ loop([1, 2]) if loop.depth < 90 }}{% endfor %}",
    "macros": "{% macro f(n) %}{{ f(n - 1) ~ f(n - 1) if n }}{% endmacro %}{{ f(90) }}",
    "output": f"{{% for a in {MANY} %}}{{{{ 'x' * 99999 }}}}{{% endfor %}}",
    "joins": GROWING % "set g.x = g.x ~ g.x",
    "sums": GROWING % "set g.x = g.x + g.x",
    "block": GROWING % "set y %}{{ g.x }}{{ g.x }}{% endset %}{% set g.x = y",
    "lists": "{% set g = namespace(x=[1]) %}{% for i in range(99) %}{% set g.x = g.x + g.x %}{% endfor %}",
    "product": "{{ 'a' * 10**12 }}",
    "other product": "{{ 10**12 * 'a' }}",
    "power": "{{ 10**99999999 }}",
    "squares": "{% set g = namespace(x=3) %}{% for i in range(99) %}{% set g.x = g.x * g.x %}{% endfor %}",
    "width": "{{ 'a'.ljust(9999999999) }}",
    "filter": "{{ 'a' | center(9999999999) }}",
}


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_bounds, "MAX_RENDER_S", 0.2)


@pytest.mark.parametrize("source", COSTLY.values(), ids=COSTLY)
def test_a_template_that_costs_too_much_is_no_model(source: str) -> None:
    with pytest.raises(ModelError, match="takes too long or writes too much"):
        ChatTemplate(source, {})


@pytest.mark.parametrize("source", COSTLY.values(), ids=COSTLY)
def test_messages_that_make_a_template_cost_too_much_are_refused(source: str) -> None:
    template = ChatTemplate("{% if messages | length > 2 %}" + source + "{% endif %}fine", {})
    few, many = [{"role": "user", "content": "a"}], [{"role": "user", "content": "a"}] * 3
    assert template.render(few) == "fine"
    with pytest.raises(InvalidRequest, match="takes too long or writes too much") as refused:
        template.render(many)
    assert refused.value.param == "messages"
    assert template.render(few) == "fine"


def test_bounds_hold_for_a_rendering_and_not_for_what_came_before() -> None:
    template = ChatTemplate("{% for m in messages %}{{ m.content ~ '!' + '?' * 2 }}{% endfor %}", {})
    begin = time.thread_time()
    while time.thread_time() < begin + 0.5:
        assert template.render([{"role": "user", "content": "a"}] * 99) == "a!??" * 99
