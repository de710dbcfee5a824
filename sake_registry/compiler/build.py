"""Building one edit: activations, then maps, then routes, each kept under its key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import model_validator

from sake_registry.bundle.format import Group, Routing, Step
from sake_registry.compiler.choosing import Rows, choose, recipes
from sake_registry.errors import BuildError
from sake_registry.extraction.extract import MOST_STEPS, GroupActivations, collect, margins
from sake_registry.extraction.texts import groups
from sake_registry.models.tokens import object_tokens
from sake_registry.progress import SILENT
from sake_registry.routing.entries import anchored_texts, centre_texts, own_topics, representative
from sake_registry.settings import MULTILINGUAL
from sake_registry.values import Value
from sake_registry.wording import shorten

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from sake_registry.compiler.context import RunContext
    from sake_registry.edits.keys import EditKeys
    from sake_registry.edits.schema import Edit
    from sake_registry.extraction.texts import PromptGroup
    from sake_registry.models.embedder import Embed
    from sake_registry.models.site import Site
    from sake_registry.progress import Progress
    from sake_registry.routing.metric import Metric
    from sake_registry.settings import Settings
    from sake_registry.store import Store, Tensors
    from sake_registry.transport import TransportMap

LOW_HIT_RATE = 0.5

Outcome = Literal["built", "refitted", "reused"]

FACTORS = ("source_mean", "target_mean", "basis", "scale")
"""The tensors of a map, in the store and in a bundle."""


class Fit(Value):
    """What was fitted for an edit; the maps' factors are tensors beside it, by `map_name`.

    `kept` are the numbers of the groups of prompts that `groups` are: those that can be fitted.
    """

    groups: tuple[Group, ...]
    kept: tuple[int, ...]
    warnings: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _each_group_is_of_prompts(self) -> Fit:
        if len(self.kept) != len(self.groups):
            raise ValueError("its groups are not those that were kept")
        return self

    @property
    def factors(self) -> list[list[dict[str, str]]]:
        """What the store calls the factors of each map, by group and step."""
        return [
            [
                {factor: map_name(g, s, factor) for factor in FACTORS}
                for s in range(len(group.steps))
            ]
            for g, group in enumerate(self.groups)
        ]


def map_name(group: int, step: int, factor: str) -> str:
    """What the store calls a factor of a map."""
    return f"{group}.{step}.{factor}"


def stored_activations(
    store: Store, keys: EditKeys
) -> tuple[list[GroupActivations], tuple[str, ...], str] | None:
    """The activations of an edit's groups, what was to be said of their objects' tokens, and the
    machine that read them."""

    def parse(tensors: Tensors, note: Any) -> tuple[list[GroupActivations], tuple[str, ...], str]:
        return _unpacked(tensors), tuple(note["warnings"]), _machine({**note})

    return store.read("activations", keys.activations, parse)


def stored_fit(store: Store, keys: EditKeys) -> tuple[Tensors, Fit, str] | None:
    """The maps of an edit: their factors by `map_name`, what was fitted, and the machine that
    did."""

    def parse(tensors: Tensors, note: Any) -> tuple[Tensors, Fit, str]:
        fields = {**note}
        machine = _machine(fields)
        fit = Fit.model_validate(fields)
        names = {n for steps in fit.factors for step in steps for n in step.values()}
        return {name: tensors[name] for name in names}, fit, machine

    return store.read("maps", keys.maps, parse)


def stored_routes(store: Store, keys: EditKeys) -> tuple[Tensor, Routing, str] | None:
    """The router points of an edit, how prompts find it, and the machine that embedded them."""

    def parse(tensors: Tensors, note: Any) -> tuple[Tensor, Routing, str]:
        fields = {**note}
        machine = _machine(fields)
        return tensors["points"], Routing.model_validate(fields), machine

    return store.read("routes", keys.edit, parse)


def _machine(note: dict[str, Any]) -> str:
    """Takes out of a note on which machine its object was built; an earlier sake did not say."""
    machine = note.pop("machine", "")
    if not isinstance(machine, str):
        raise TypeError("its machine is no text")
    return machine


def build(edit: Edit, keys: EditKeys, run: RunContext, progress: Progress = SILENT) -> Outcome:
    """Make sure that the store holds an edit's activations, maps and routes; says what it took.

    Args:
        progress: advanced by the texts that are run, in a phase that the caller began.

    Raises:
        BuildError: too few pairs worked, or they cannot be fitted; the activations stay in the
            store.
        StorageError: the store cannot be written.
    """
    store, settings = run.store, run.settings
    parts = groups(edit, settings.compile.prompts)
    collected, fitted = stored_activations(store, keys), stored_fit(store, keys)
    routes = stored_routes(store, keys)
    outcome: Outcome = "reused" if fitted and routes else "refitted"
    if collected is None:
        outcome = "built"
        collected = _collect(parts, keys.activations, run, progress)
    activations, warnings, _ = collected
    machine = {"machine": run.machine}
    if fitted is None:
        tensors, fit = fit_groups(edit, parts, activations, settings, run.load()[1])
        fit = fit.model_copy(update={"warnings": (*fit.warnings, *warnings)})
        store.put("maps", keys.maps, tensors, fit.model_dump(mode="json") | machine)
    else:
        fit = fitted[1]
    if routes is None:
        points, routing = route(edit, parts, fit.kept, settings, run.embed, run.metric())
        store.put(
            "routes", keys.edit, {"points": points}, routing.model_dump(mode="json") | machine
        )
    return outcome


def _collect(
    parts: tuple[PromptGroup, ...], key: str, run: RunContext, progress: Progress
) -> tuple[list[GroupActivations], tuple[str, ...], str]:
    """The same as `stored_activations`, read now and put into the store."""
    loaded, site = run.load()
    compile_ = run.settings.compile
    rows = collect(
        parts, loaded, site, run.contexts, compile_.batch_size,
        whole=compile_.whole, progress=progress,
    )  # fmt: skip
    tensors: dict[str, Tensor] = {}
    for g, group in enumerate(rows):
        closing = _NONE if group.closing is None else group.closing
        tensors |= {f"{g}.{name}": getattr(group, name) for name in _TENSORS}
        tensors[f"{g}.tokens"] = torch.tensor(group.tokens)
        tensors[f"{g}.closing"] = torch.tensor(closing)
    warnings = _token_warnings(parts, loaded.tokenizer, whole=compile_.whole)
    note = {"warnings": warnings, "machine": run.machine}
    run.store.put("activations", key, tensors, note)
    return _unpacked(tensors), tuple(warnings), run.machine


_TENSORS = ("plain", "forced", "target", "margin", "context")
_NONE = -1
"""Stands for a closing token that there is not."""


def _unpacked(tensors: dict[str, Tensor]) -> list[GroupActivations]:
    """The groups of an activations object."""
    number = len({name.partition(".")[0] for name in tensors})
    return [
        GroupActivations(
            tokens=tuple(tensors[f"{g}.tokens"].tolist()),
            closing=None if (end := int(tensors[f"{g}.closing"])) == _NONE else end,
            **{name: tensors[f"{g}.{name}"] for name in _TENSORS},
        )
        for g in range(number)
    ]


def _token_warnings(parts: tuple[PromptGroup, ...], tokenizer: Any, *, whole: bool) -> list[str]:
    warnings = []
    for group in parts:
        prompt = group.prompts[0]
        length = len(object_tokens(tokenizer, prompt, group.new)[1])
        if whole and length > MOST_STEPS:
            warnings.append(
                f"'{group.new}' has {length} tokens, and the first {MOST_STEPS} are steered: the "
                "model goes on by itself from there"
            )
        if group.old is not None and not whole:
            first = {object_tokens(tokenizer, prompt, o)[1][0] for o in (group.old, group.new)}
            if len(first) == 1:
                warnings.append(
                    f"'{group.old}' and '{group.new}' begin with the same token, and only the "
                    "first token is steered: the answer may stay as it is (compile.whole = true "
                    "steers the others)"
                )
    return warnings


def fit_groups(
    edit: Edit,
    parts: tuple[PromptGroup, ...],
    rows: list[GroupActivations],
    settings: Settings,
    site: Site,
) -> tuple[dict[str, Tensor], Fit]:
    """Fit the maps of each group: their factors (float32) by `map_name`, and what was fitted.

    A group has a map for its object's first token, one for each later token after which the
    unedited model does not go on by itself, and one for the end of its object where the model runs
    on. The fact's group must have enough pairs that worked; an implication that has not is left as
    it is, with a warning.

    Raises:
        BuildError: too few of the fact's pairs worked, or no map can be fitted to them.
    """
    chosen = settings.compile
    tensors: dict[str, Tensor] = {}
    fitted: list[Group] = []
    kept: list[int] = []
    warnings: list[str] = []
    for number, (group, activations) in enumerate(zip(parts, rows, strict=True)):
        worked = activations.worked[:, 0]
        hits, total = int(worked.sum()), len(worked)
        if hits < chosen.min_pairs and not chosen.keep_failed:
            message = (
                f"{edit.id}: the model says '{group.new}' in only {hits} of {total} target "
                f"contexts, {chosen.min_pairs} are needed ('{shorten(group.prompts[0])}' …)"
            )
            hint = (
                "write the object as the model writes it, add prompts that end right before the "
                "object, or add a context under [contexts.target] in sake.toml"
            )
            if group.kind == "fact":
                raise BuildError(message, hint=hint)
            warnings.append(f"{message.removeprefix(edit.id + ': ')}: left as it is")
            continue
        if hits < LOW_HIT_RATE * total:
            warnings.append(
                f"the model says '{group.new}' in {hits} of {total} target contexts: add prompts "
                "that end right before it, or write it as the model does"
            )
        steps: list[Step] = []
        goes_on = _goes_on(activations, site)
        length = len(activations.tokens)
        for position in range(len(activations.said)):
            if 0 < position < length and goes_on[position - 1] == 1:
                continue
            single = _fit_step(edit, group, activations, position, settings, site)
            if single is None:
                warnings.append(
                    f"'{group.new}': no context makes the model say its token "
                    f"{position + 1} of {length}: the answer may break off there"
                )
                break
            transport_map, step = single
            for factor in FACTORS:
                name = map_name(len(kept), len(steps), factor)
                tensors[name] = getattr(transport_map, factor).contiguous()
            steps.append(step)
        used = [c for c in activations.context[worked | chosen.keep_failed].tolist() if c >= 0]
        made = Group(
            kind=group.kind,
            old=group.old,
            new=group.new,
            tokens=activations.tokens,
            closing=activations.closing,
            written=group.written,
            added=group.added,
            worked=hits,
            contexts=tuple(used.count(i) for i in range(max(used, default=-1) + 1)),
            goes_on=tuple(round(share, 6) for share in goes_on),
            steps=tuple(steps),
        )
        if made.score is not None and made.score < chosen.min_score:
            warnings.append(
                f"'{group.new}' follows only {made.score:.0%} of the prompts held out of the fit "
                f"(compile.min_score {chosen.min_score:.0%}): add prompts in other wordings"
            )
        kept.append(number)
        fitted.append(made)
    return tensors, Fit(groups=tuple(fitted), kept=tuple(kept), warnings=tuple(warnings))


def _goes_on(activations: GroupActivations, site: Site) -> list[float]:
    """After how many prompts the unedited model says each later token of the object by itself."""
    looked_at = len(activations.said) - (activations.closing is not None)
    steps = range(1, looked_at)
    says = [margins(site, activations.plain[:, i], activations.tokens[i]) > 0 for i in steps]
    return [float(share.float().mean()) for share in says]


def _fit_step(
    edit: Edit,
    group: PromptGroup,
    activations: GroupActivations,
    position: int,
    settings: Settings,
    site: Site,
) -> tuple[TransportMap, Step] | None:
    """The map (float32) before one token of the object, or behind its last; None if no pair
    works."""
    chosen = settings.compile
    worked = activations.worked[:, position]
    use = torch.ones_like(worked) if chosen.keep_failed else worked
    if not use.any():
        return None
    rows = Rows(
        plain=activations.plain[:, position],
        # A model that was forced to the old object is not there after the new one's first token.
        forced=activations.forced if not position else activations.forced[:0],
        target=activations.target[:, position],
        worked=use,
        stems=torch.tensor(group.stem_of),
    )
    try:
        candidates = recipes(chosen, forced=len(rows.forced) > 0)
        choice = choose(rows, activations.said[position], candidates, site)
        fitted, reg = rows.fit(choice.recipe, use)
        single = fitted.to(torch.float32)
    except (ValueError, torch.linalg.LinAlgError) as error:  # type: ignore[attr-defined]
        raise BuildError(
            f"{edit.id}: no map to '{group.new}' can be fitted: {error}",
            hint="another dtype: --dtype bfloat16 or float32 (float16 may overflow)",
        ) from error
    recipe = choice.recipe
    return single, Step(
        position=position,
        worked=int(worked.sum()),
        used=int(use.sum()),
        sources="+".join(recipe.sources),
        reg=reg,
        share=recipe.reg if isinstance(recipe.reg, str) else None,
        complement=recipe.complement,
        solver=recipe.solver,
        score=choice.score,
        margin=choice.margin,
        rank=fitted.rank,
        scale_min=float(fitted.scale.min()) if fitted.rank else recipe.complement,
        scale_max=float(fitted.scale.max()) if fitted.rank else recipe.complement,
        residual=fitted.residual,
    )


def route(
    edit: Edit,
    parts: tuple[PromptGroup, ...],
    kept: Sequence[int],
    settings: Settings,
    embed: Embed,
    metric: Metric,
) -> tuple[Tensor, Routing]:
    """Router points of an edit, (points, embedder's width), and how prompts find it.

    Args:
        kept: the numbers of the groups in `parts` that have maps.

    Raises:
        BuildError: the edit has a router of its own, for which there is no threshold, or not the
            embedder.
    """
    kind = edit.scope.router or settings.router.kind
    threshold = edit.scope.threshold or settings.router.bound_of(kind, len(edit.prompts))
    if kind == "detector" and not settings.router.is_read:
        raise BuildError(
            f"{edit.id}: its router 'detector' reads texts with another embedder than the registry",
            hint=f'`embedder = "{MULTILINGUAL}"` under [router] in sake.toml, without '
            "`representation`, serves both",
        )
    if kind == "detector" and (threshold or 0) > 1:
        raise BuildError(
            f"{edit.id}: its threshold {threshold:g} is none of the router 'detector'",
            hint="`threshold` under `scope` is a probability there, at most 1",
        )
    if threshold is None:
        raise BuildError(
            f"{edit.id}: its router '{kind}' has no threshold where the model's own states are "
            f"compared (router.representation '{settings.router.representation}')",
            hint="set `threshold` beside `router` under `scope` in its file",
        )
    groups_kept = [parts[number] for number in kept]
    topics: tuple[str, ...] = ()
    if kind == "centre":
        routes, texts = centre_texts([group.prompts for group in groups_kept])
        points = torch.stack([embed(t).mean(0) for t in texts])
    else:
        unchanged = [edit.fill(u.prompt) for u in edit.unchanged]
        stems = [group.stems for group in groups_kept]
        relation = edit.fact.relation.text
        read = kind == "detector"
        routes, flat = anchored_texts(edit.fact.subject.all, stems, unchanged, relation, read=read)
        points = embed(flat)
        if read:
            routes, points = representative(routes, points)
        else:
            topics = own_topics(routes, points, relation, embed, metric)
    usual = kind == settings.router.kind and not edit.scope.threshold
    return points, Routing(
        kind=kind,
        threshold=threshold,
        implied=settings.router.implied_threshold if usual else None,
        topics=topics,
        asks=edit.fact.relation.text if kind == "detector" else "",
        routes=routes,
    )
