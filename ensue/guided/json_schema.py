"""From a caller's JSON schema to an equivalent, or narrower, one of the few keywords that every backend enforces.

Keywords that can't be enforced are refused by name and place; unknown keywords are annotations, and dropped. The result
has no reference but `#/$defs/N`, no drafts and no `oneOf`. Nothing is ever fetched.
"""

from __future__ import annotations

import re
from typing import Any

from ensue.errors import InvalidGrammar
from ensue.guided.schema_arrays import (
    lower_additional_items,
    lower_contains,
    lower_items,
    lower_prefix_items,
    lower_unevaluated_items,
)
from ensue.guided.schema_combos import (
    lower_all_of,
    lower_any_of,
    lower_dynamic_ref,
    lower_if,
    lower_not,
    lower_one_of,
    lower_ref,
)
from ensue.guided.schema_counts import lower_max_properties, lower_min_properties
from ensue.guided.schema_ids import with_pointers
from ensue.guided.schema_names import lower_property_names
from ensue.guided.schema_objects import (
    lower_additional_properties,
    lower_dependencies,
    lower_dependent_required,
    lower_dependent_schemas,
    lower_pattern_properties,
    lower_properties,
    lower_required,
    lower_unevaluated_properties,
)
from ensue.guided.schema_part import Lower, Part, Path, Schema, keep_count, refuse
from ensue.guided.schema_refs import find_dynamic_target, find_target
from ensue.guided.schema_scalars import (
    lower_bound,
    lower_const,
    lower_enum,
    lower_format,
    lower_multiple_of,
    lower_pattern,
    lower_type,
)
from ensue.guided.schema_unique import lower_unique_items

ENFORCED = (
    "$ref", "type", "enum", "const",
    "properties", "patternProperties", "additionalProperties", "required", "minProperties", "maxProperties",
    "dependentRequired", "dependentSchemas", "dependencies", "propertyNames",
    "items", "prefixItems", "additionalItems", "minItems", "maxItems",
    "minLength", "maxLength", "pattern", "format",
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
    "allOf", "anyOf", "oneOf",
)  # fmt: skip
ENFORCED_IN_PART = (
    "not",
    "uniqueItems",
    "unevaluatedProperties",
    "unevaluatedItems",
    "contains",
    "if",
    "$dynamicRef",
    "$recursiveRef",
)
NOT_ENFORCED = ("extends", "disallow", "divisibleBy")

MAX_DENIALS = 5_000

_SINCE_DRAFT_6 = ("const", "contains", "propertyNames", "if", "then", "else")  # unknown to readers of older drafts
# Of those whose name is not the published one, readers disagree: neighbours hold, but nothing is said of their denial.
_OLD_DRAFT = re.compile(r"http://json-schema\.org/draft-0[3-7]/schema#?")
_PUBLISHED = re.compile(
    r"http://json-schema\.org/(draft-0[4-7])/schema#?|https://json-schema\.org/draft/(2019-09)/schema"
)
# Of later drafts, and they would let more values fit where a reader of this one does not know them.
_SINCE_2019 = ("minContains", "maxContains", "prefixItems")
_WIDENING = {
    **dict.fromkeys(("draft-04", "draft-05", "draft-06", "draft-07"), _SINCE_2019),
    "2019-09": ("prefixItems",),
}
_OLD_DRAFTS = ("draft-03", "draft-04", "draft-05", "draft-06", "draft-07")  # `$ref` hides its neighbours


def lower(schema: Any, *, is_frugal: bool = False, is_joining: bool = False) -> Schema:
    """Check a schema and rewrite it.

    Args:
        is_frugal: with fewer alternatives, and so narrower, for schemas that would be too large else.
        is_joining: what several patternProperties say holds of names of each, where a name may have more than one.

    Raises:
        InvalidGrammar: `param` is the place within the schema, as in `properties.a.pattern`.
    """
    return _Lowering(schema, is_frugal=is_frugal, is_joining=is_joining).run()


class _Lowering:
    keywords = frozenset((*ENFORCED, *ENFORCED_IN_PART, *NOT_ENFORCED))

    def __init__(self, root: Any, *, is_frugal: bool, is_joining: bool) -> None:
        self.is_frugal = is_frugal
        self.is_joining = is_joining
        self.denials: dict[str, Schema | bool | InvalidGrammar] = {}
        self.denials_left = MAX_DENIALS
        names = root if isinstance(root, dict) else {}
        draft = str(names.get("$schema", ""))
        self.is_old = any(name in draft for name in _OLD_DRAFTS)
        self._is_before_draft_6 = any(name in draft for name in _OLD_DRAFTS[:2])
        id_keyword = "id" if self._is_before_draft_6 else "$id"
        self._root = with_pointers(root, id_keyword=id_keyword, is_old=self.is_old)
        self._is_surely_old = self.is_old and _OLD_DRAFT.fullmatch(draft) is not None
        published = _PUBLISHED.fullmatch(draft)
        self._unknown = _WIDENING.get(published[1] or published[2], ()) if published else ()
        self._names: dict[str, str] = {}  # reference → name in $defs
        self._targets: list[tuple[str, Any, Path]] = []  # not lowered yet

    def run(self) -> Schema:
        whole, definitions = self.schema(self._root, ()), {}
        while self._targets:
            name, target, path = self._targets.pop()
            definitions[name] = self.schema(target, path)
        if whole is False:
            raise InvalidGrammar("The schema allows no value.")
        result = {} if whole is True else whole
        return {**result, "$defs": definitions} if definitions else result

    def schema(self, node: Any, path: Path) -> Schema | bool:
        """Lower one schema."""
        if isinstance(node, bool):
            return node
        if not isinstance(node, dict):
            raise refuse(path, "A schema must be an object or a boolean.")
        if self._is_surely_old and "$ref" in node:
            node = {"$ref": node["$ref"]}
        node = {keyword: value for keyword, value in node.items() if keyword not in self._unknown}
        part = Part(self, node, path)
        for keyword, value in node.items():
            if keyword in _LOWERINGS:
                _LOWERINGS[keyword](part, value, (*path, keyword))
            elif keyword in NOT_ENFORCED:
                raise refuse((*path, keyword), f"The keyword {keyword} cannot be enforced.")
        return part.result()

    def visible(self, node: Any) -> Any:
        if not isinstance(node, dict):
            return node
        if self.is_old and "$ref" in node:
            return {"$ref": node["$ref"]}
        hidden = (*self._unknown, *(_SINCE_DRAFT_6 if self._is_before_draft_6 else ()))
        return {k: v for k, v in node.items() if k not in hidden} if hidden else node

    def reference(self, reference: str, path: Path) -> str:
        """The name in $defs of what a reference points to; it is lowered later."""
        if reference not in self._names:
            target, target_path = self.resolve(reference, path)
            self._names[reference] = str(len(self._names))
            self._targets.append((self._names[reference], target, target_path))
        return self._names[reference]

    def check_dynamic(self, reference: Any, path: Path) -> None:
        try:
            find_dynamic_target(self._root, reference)
        except InvalidGrammar as error:
            raise refuse(path, error.message) from None

    def resolve(self, reference: Any, path: Path) -> tuple[Any, Path]:
        try:
            return find_target(self._root, reference)
        except InvalidGrammar as error:
            raise refuse(path, error.message) from None


_LOWERINGS: dict[str, Lower] = {
    "$ref": lower_ref,
    "$dynamicRef": lower_dynamic_ref,
    "$recursiveRef": lower_dynamic_ref,
    "type": lower_type,
    "enum": lower_enum,
    "const": lower_const,
    "properties": lower_properties,
    "patternProperties": lower_pattern_properties,
    "additionalProperties": lower_additional_properties,
    "unevaluatedProperties": lower_unevaluated_properties,
    "required": lower_required,
    "minProperties": lower_min_properties,
    "maxProperties": lower_max_properties,
    "dependentRequired": lower_dependent_required,
    "dependentSchemas": lower_dependent_schemas,
    "dependencies": lower_dependencies,
    "propertyNames": lower_property_names,
    "items": lower_items,
    "prefixItems": lower_prefix_items,
    "additionalItems": lower_additional_items,
    "unevaluatedItems": lower_unevaluated_items,
    "contains": lower_contains,
    "uniqueItems": lower_unique_items,
    "minItems": keep_count,
    "maxItems": keep_count,
    "minLength": keep_count,
    "maxLength": keep_count,
    "pattern": lower_pattern,
    "format": lower_format,
    "minimum": lower_bound,
    "maximum": lower_bound,
    "exclusiveMinimum": lower_bound,
    "exclusiveMaximum": lower_bound,
    "multipleOf": lower_multiple_of,
    "allOf": lower_all_of,
    "anyOf": lower_any_of,
    "oneOf": lower_one_of,
    "not": lower_not,
    "if": lower_if,
}
