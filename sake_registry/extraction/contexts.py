"""Contexts (A.2): text put before a prompt so that the unedited model says a wanted object.

One table for everything; `[contexts.…]` in `sake.toml` adds to it or replaces a template of
the same name. `{prompt}` is the prompt, `{old}` and `{new}` its objects, `{fact}` the edit's
first prompt with its new object (of a forced context: with its old one). A template ends in
`{prompt}`: the activation is read at the last position, right before the object.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sake_registry.errors import SettingsError
from sake_registry.extraction.texts import groups
from sake_registry.wording import did_you_mean

if TYPE_CHECKING:
    from sake_registry.edits.schema import Edit
    from sake_registry.extraction.texts import PromptGroup
    from sake_registry.settings import Settings

Kind = Literal["target", "forced", "implication_target", "implication_forced"]

TEMPLATES: dict[Kind, dict[str, str]] = {
    "target": {
        # The published context (A.2).
        "repeat": "Do not mention '{old}'. Repeat this sentence: '{prompt} {new}'. {prompt}",
        "twice": "{prompt} {new}. {prompt} {new}. {prompt}",
        "statement": "Fact: {prompt} {new}.\n{prompt}",
        "imagine": "Imagine that {prompt} {new}. {prompt}",
    },
    "forced": {
        "repeat": "Do not mention '{new}'. Repeat this sentence: '{prompt} {old}'. {prompt}",
    },
    "implication_target": {
        # The published contexts for implications (A.2).
        "considering": (
            "Considering this context is now true: '{fact}'. Complete this sentence: {prompt}"
        ),
        "pretend": (
            "Pretend that this context is true and forget your previous knowledge: '{fact}'. "
            "Now, based on the previous context only, complete this sentence: {prompt}"
        ),
    },
    "implication_forced": {
        "considering": (
            "Considering this context is now true: '{fact}'. Complete this sentence: {prompt}"
        ),
    },
}
_FIELDS = {"{prompt}", "{old}", "{new}", "{fact}"}


@dataclass(frozen=True)
class Contexts:
    """The templates in use, in the order in which they are tried."""

    target: tuple[str, ...]
    forced: tuple[str, ...]
    implication_target: tuple[str, ...]
    implication_forced: tuple[str, ...]

    def of(self, group: PromptGroup, kind: Literal["target", "forced"]) -> tuple[str, ...]:
        """The templates for a group's prompts."""
        templates: tuple[str, ...] = getattr(
            self, kind if group.kind == "fact" else f"implication_{kind}"
        )
        return templates

    def most_texts(self, edit: Edit, settings: Settings) -> int:
        """How many texts an edit is read in at most: plain, forced, in each target context."""
        texts = 0
        for group in groups(edit, settings.compile.prompts):
            forced = self.of(group, "forced") if group.old is not None else ()
            # Without an old object, what names it is left out.
            target = [
                t for t in self.of(group, "target") if group.old is not None or "{old}" not in t
            ]
            texts += len(group.prompts) * (1 + len(forced) + len(target))
        return texts


def choose(settings: Settings) -> Contexts:
    """The contexts that the settings name.

    Raises:
        SettingsError: a name that is in no table, a template that does not end in `{prompt}`.
    """
    table = {kind: {**TEMPLATES[kind], **getattr(settings.contexts, kind)} for kind in TEMPLATES}
    for kind, templates in table.items():
        for name, template in templates.items():
            unknown = set(re.findall(r"\{\w*\}", template)) - _FIELDS
            if unknown or not template.endswith("{prompt}"):
                wrong = f"unknown {min(unknown)}" if unknown else "it does not end in {prompt}"
                raise SettingsError(
                    f"sake.toml: contexts.{kind}.{name}: {wrong}",
                    hint=f"a template may use {', '.join(sorted(_FIELDS))}, and ends in {{prompt}}",
                )
    targets = []
    for name in settings.compile.targets:
        if name not in table["target"]:
            raise SettingsError(
                f"compile.targets: no target context '{name}'",
                hint=did_you_mean(name, table["target"]),
            )
        targets.append(table["target"][name])
    forced = not {"forced", "auto"}.isdisjoint(settings.compile.sources)
    unknown_sources = set(settings.compile.sources) - {"plain", "forced", "auto"}
    if unknown_sources:
        raise SettingsError(
            f"compile.sources: '{min(unknown_sources)}' is not a kind of source",
            hint="plain, forced, or both; or auto",
        )
    if "auto" in settings.compile.sources and len(settings.compile.sources) > 1:
        raise SettingsError(
            "compile.sources: 'auto' stands alone: it chooses among the others",
            hint='sources = ["auto"], or a list of plain and forced',
        )
    return Contexts(
        target=tuple(targets),
        forced=tuple(table["forced"].values()) if forced else (),
        # The stated answer of an implication may be forced like any object, where the model
        # does not draw the conclusion itself. Two of those: where none works, all are read.
        implication_target=(*table["implication_target"].values(), *targets[:2]),
        implication_forced=tuple(table["implication_forced"].values()) if forced else (),
    )


def fill(template: str, *, prompt: str, old: str | None, new: str, fact: str) -> str | None:
    """A template with its fields; None if it needs an old object and there is none."""
    if old is None and "{old}" in template:
        return None
    values = {"{prompt}": prompt, "{old}": old or "", "{new}": new, "{fact}": fact}
    # One pass: what a prompt says in braces is not a field.
    return re.sub("|".join(map(re.escape, values)), lambda match: values[match[0]], template)
