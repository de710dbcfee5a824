"""Building one edit: activations, then maps, then routes, each kept under its key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from sake_registry import transport
from sake_registry.distributions.extract import GroupActivations, collect, object_token
from sake_registry.distributions.texts import Group, groups
from sake_registry.errors import BuildError
from sake_registry.routing.entries import anchored_texts, centre_texts
from sake_registry.wording import shorten

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from sake_registry.distributions.contexts import Contexts
    from sake_registry.edits.keys import EditKeys
    from sake_registry.edits.schema import Edit
    from sake_registry.models.embedder import Embedder
    from sake_registry.models.loading import LoadedModel
    from sake_registry.models.site import Site
    from sake_registry.settings import Settings
    from sake_registry.store import Store

LOW_HIT_RATE = 0.5


@dataclass
class Workshop:
    """What building needs, each part made when it is first asked for."""

    settings: Settings
    store: Store
    contexts: Contexts
    load: Callable[[], tuple[LoadedModel, Site]]
    embedder: Callable[[], Embedder]
    progress: Callable[[int], None] = lambda n: None
    texts_run: int = 0

    def ran(self, n: int) -> None:
        self.texts_run += n
        self.progress(n)


def build(edit: Edit, keys: EditKeys, shop: Workshop) -> None:
    """Make sure that the store holds an edit's activations, maps and routes.

    Raises:
        BuildError: too few pairs worked, or they cannot be fitted; the activations stay in the
            store.
        StorageError: the store cannot be written.
    """
    parts = groups(edit, shop.settings.compile.prompts)
    activations = _activations(parts, keys.activations, shop)
    if shop.store.get("maps", keys.maps) is None:
        tensors, note = fit_groups(edit, parts, activations.rows, shop.settings)
        note["warnings"] += activations.warnings
        shop.store.put("maps", keys.maps, tensors, note)
    if shop.store.get("routes", keys.edit) is None:
        stored = shop.store.get("maps", keys.maps)
        assert stored is not None
        points, note = route(edit, parts, stored[1]["kept"], shop.settings, shop.embedder())
        shop.store.put("routes", keys.edit, {"points": points}, note)


@dataclass(frozen=True)
class _Found:
    rows: list[GroupActivations]
    warnings: list[str]


def _activations(parts: tuple[Group, ...], key: str, shop: Workshop) -> _Found:
    stored = shop.store.get("activations", key)
    if stored is None:
        loaded, site = shop.load()
        batch = shop.settings.compile.batch_size
        rows = collect(parts, loaded, site, shop.contexts, batch, shop.ran)
        tensors = {
            f"{g}.{name}": getattr(group, name)
            for g, group in enumerate(rows)
            for name in ("plain", "forced", "target", "worked", "context")
        }
        note = {"warnings": _token_warnings(parts, loaded.tokenizer)}
        shop.store.put("activations", key, tensors, note)
        stored = tensors, note
    tensors, note = stored
    return _Found(unpack(tensors), note["warnings"])


def unpack(tensors: dict[str, Tensor]) -> list[GroupActivations]:
    """The groups of an activations object."""
    number = len({name.partition(".")[0] for name in tensors})
    names = ("plain", "forced", "target", "worked", "context")
    return [GroupActivations(**{n: tensors[f"{g}.{n}"] for n in names}) for g in range(number)]


def _token_warnings(parts: tuple[Group, ...], tokenizer: Any) -> list[str]:
    found = []
    for group in parts:
        if group.old is not None:
            prompt = group.prompts[0]
            first = {object_token(tokenizer, prompt, o) for o in (group.old, group.new)}
            if len(first) == 1:
                found.append(
                    f"'{group.old}' and '{group.new}' begin with the same token, and only the "
                    "first token is steered: the answer may stay as it is"
                )
    return found


def fit_groups(
    edit: Edit, parts: tuple[Group, ...], rows: list[GroupActivations], settings: Settings
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Fit a map for each group: the factors (float32), and a note on what was fitted.

    The fact's group must have enough pairs that worked; an implication that has not is left as
    it is, with a warning.

    Raises:
        BuildError: too few of the fact's pairs worked, or no map can be fitted to them.
    """
    chosen = settings.compile
    tensors: dict[str, Tensor] = {}
    infos: list[dict[str, Any]] = []
    kept: list[int] = []
    warnings: list[str] = []
    for number, (group, activations) in enumerate(zip(parts, rows, strict=True)):
        worked = activations.worked
        hits, total = int(worked.sum()), len(worked)
        if hits < chosen.min_pairs and not chosen.keep_failed:
            message = (
                f"{edit.id}: the model said '{group.new}' in only {hits} of {total} target "
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
            warnings.append(f"the model said '{group.new}' in {hits} of {total} target contexts")
        use = torch.ones_like(worked) if chosen.keep_failed else worked
        source = [activations.plain[use]] if "plain" in chosen.sources else []
        if "forced" in chosen.sources and len(activations.forced):
            source.append(activations.forced[use.repeat(len(activations.forced) // total)])
        # With forced sources alone, a fact without an old object has only its plain prompts.
        source = source or [activations.plain[use]]
        try:
            fitted = transport.fit(
                torch.cat(source), activations.target[use], chosen.reg, chosen.solver
            )
            single = fitted.to(torch.float32)
        except (ValueError, torch.linalg.LinAlgError) as error:  # type: ignore[attr-defined]
            raise BuildError(
                f"{edit.id}: no map to '{group.new}' can be fitted: {error}",
                hint="another dtype: --dtype bfloat16 or float32 (float16 may overflow)",
            ) from error
        g = len(kept)
        for name in ("source_mean", "target_mean", "basis", "scale"):
            tensors[f"{g}.{name}"] = getattr(single, name).contiguous()
        kept.append(number)
        used = activations.context[use].tolist()
        infos.append(
            {
                "kind": group.kind,
                "old": group.old,
                "new": group.new,
                "written": group.written,
                "added": group.added,
                "worked": hits,
                "used": int(use.sum()),
                "contexts": [used.count(i) for i in range(max(used) + 1)],
                "rank": fitted.rank,
                "scale_min": float(fitted.scale.min()) if fitted.rank else 1.0,
                "scale_max": float(fitted.scale.max()) if fitted.rank else 1.0,
                "residual": fitted.residual,
                "reg": chosen.reg,
                "solver": chosen.solver,
            }
        )
    return tensors, {"groups": infos, "kept": kept, "warnings": warnings}


def route(
    edit: Edit, parts: tuple[Group, ...], kept: list[int], settings: Settings, embedder: Embedder
) -> tuple[Tensor, dict[str, Any]]:
    """Router points of an edit, (points, embedder's width), and its routes as plain values."""
    kind = edit.scope.router or settings.router.kind
    groups_kept = [parts[number] for number in kept]
    if kind == "centre":
        routes, texts = centre_texts([group.prompts for group in groups_kept])
        points = torch.stack([embedder.embed(t).mean(0) for t in texts])
    else:
        unchanged = [edit.fill(u.prompt) for u in edit.unchanged]
        stems = [group.stems for group in groups_kept]
        routes, flat = anchored_texts(edit.fact.subject.all, stems, unchanged)
        points = embedder.embed(flat)
    return points, {
        "kind": kind,
        "threshold": edit.scope.threshold or settings.router.threshold,
        "routes": [
            {"group": r.group, "names": list(r.names), "need": r.need, "rows": r.rows}
            for r in routes
        ],
    }
