"""Choosing how a map is fitted, by how it does on paraphrases that its fit did not see.

What is chosen: which sources stand for the model before the edit, how much regularisation, and
how much a map keeps of what no pair has shown (`transport.fit`). It is tried on activations that
are there already, so no text is run again. Prompts of one wording are held out together: behind
another lead-in the same wording is no paraphrase. The forced contexts are held out with them, as
the nearest thing to a user who insists on the old object.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import TYPE_CHECKING

import torch

from sake_registry import transport
from sake_registry.extraction.extract import margins_and_rivals, some_logits
from sake_registry.transport import Samples

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from sake_registry.models.site import Site
    from sake_registry.settings import CompileSettings
    from sake_registry.transport import Solver, TransportMap

FOLDS = 3
SHARES = ("100%", "10%")
COMPLEMENTS = (1.0, 0.6, 0.4, 0.2, 0.1)
SOURCES = (("plain",), ("plain", "forced"), ("forced",))
_LOW = 0.05
"""The margin that counts is the one which all but this share of held-out rows reach: what decides
is the worst paraphrase, and one odd prompt is not it."""


_RIVALS = 8
"""Tokens that each row shows of those that come nearest to the one that is wanted."""
_ROUNDED = 0.25
"""Logits by which one product may differ from another of the same numbers: in bfloat16, that of a
logit of 16 to 32 is a multiple of 0.125."""


@dataclass(frozen=True)
class Recipe:
    """One way of fitting a map; `reg` is a number, or a share of the targets' variance (`10%`)."""

    sources: tuple[str, ...]
    reg: float | str
    complement: float
    solver: Solver

    def __str__(self) -> str:
        return f"{'+'.join(self.sources)}, reg {self.reg}, complement {self.complement:g}"


@dataclass(frozen=True)
class Rows:
    """Activations before one token of an object.

    `plain` and `target` are (n, width), `forced` (k·n, width) or empty; `worked` (n,) marks the
    pairs to fit on, `stems` (n,) the wordings.
    """

    plain: Tensor
    forced: Tensor
    target: Tensor
    worked: Tensor
    stems: Tensor

    def fit(self, recipe: Recipe, use: Tensor) -> tuple[TransportMap, float]:
        """The recipe's map, fitted on the marked pairs, and its regularisation as a number.

        Raises:
            ValueError: nothing is marked, or the rows are not finite.
        """
        reg = self.reg(recipe, use)
        samples = self.samples(recipe.sources, use)
        return samples.fit(reg, recipe.solver, recipe.complement), reg

    def samples(self, sources: Sequence[str], use: Tensor) -> Samples:
        """The marked pairs, to fit recipes with these sources on."""
        source = [self.plain[use]] if "plain" in sources else []
        if "forced" in sources and len(self.forced):
            source.append(self.forced[use.repeat(len(self.forced) // len(use))])
        # With forced sources alone, a fact without an old object has only its plain prompts.
        return Samples(torch.cat(source or [self.plain[use]]), self.target[use])

    def reg(self, recipe: Recipe, use: Tensor) -> float:
        """A recipe's regularisation as a number, for the marked pairs."""
        if isinstance(recipe.reg, str):
            share = float(recipe.reg.removesuffix("%")) / 100
            return transport.share_of_trace(self.target[use], share)
        return recipe.reg


@dataclass(frozen=True)
class Choice:
    """A recipe, and how it did on what was held out.

    `score` is the share of held-out prompts after which the mapped state says the object,
    `margin` the one that 95 % of held-out rows, forced ones too, reach; None where there were
    too few pairs, or one wording alone, so that none could be held out. Both are those of the
    recipe that did best, on what it was chosen on: a little flattered.
    """

    recipe: Recipe
    score: float | None = None
    margin: float | None = None


def recipes(settings: CompileSettings, *, forced: bool) -> list[Recipe]:
    """The recipes that settings leave open, those that change least first.

    Args:
        forced: whether there are forced activations.
    """
    sources: Sequence[tuple[str, ...]] = SOURCES[:1]
    if forced:
        sources = SOURCES if settings.sources == ["auto"] else (tuple(settings.sources),)
    exact = settings.solver == "lowrank"
    # The mean difference has no regularisation, and POT's dense fit no complement.
    regs = SHARES if settings.reg == "auto" else (settings.reg,)
    open_ = COMPLEMENTS if exact else (1.0,)
    fixed = settings.complement
    complements = open_ if isinstance(fixed, str) else (fixed,)
    return [
        Recipe(kind, reg, complement, settings.solver)
        for complement, kind, reg in product(complements, sources, regs)
    ]


@dataclass(frozen=True)
class _Tried:
    """Held-out rows as a recipe's maps leave them, (rows, width): the plain ones first."""

    recipe: Recipe
    rows: Tensor
    plain: int


def choose(rows: Rows, token: int, candidates: Sequence[Recipe], site: Site) -> Choice:
    """The recipe whose maps leave held-out rows the largest margin for the token.

    Of equal ones the first. Where nothing can be held out, the recipe is the one in the middle of
    what is open: experience, not a measurement.

    A margin against a few rivals is never smaller than that against all tokens, and costs hardly
    anything: a recipe is measured against all only while it may be the best. What is chosen is
    what measuring every recipe would choose.

    Raises:
        ValueError: no recipe's maps leave the rows finite.
    """
    folds = _folds(rows)
    if not folds:
        usual = [r for r in candidates if r.complement <= 0.2 and r.sources == ("plain",)]
        return Choice((usual or list(candidates))[0])
    left = _tried(rows, folds, candidates)
    best: tuple[float, int, Choice] | None = None
    bounds = _Bounds(site, token, [tried.rows for tried in left])
    while (number := bounds.next()) is not None and (
        best is None or bounds.of(number) >= best[0] - _ROUNDED
    ):
        tried = left[number]
        margin, rivals = margins_and_rivals(site, tried.rows, token, _RIVALS)
        bounds.narrow(number, rivals)
        margin = margin.cpu()
        reached = float(margin.quantile(_LOW))
        if not math.isfinite(reached):  # a row that float16 cannot hold
            continue
        if best is None or (reached, -number) > (best[0], -best[1]):
            leads = margin[: tried.plain] > 0
            choice = Choice(tried.recipe, float(leads.float().mean()), reached)
            best = reached, number, choice
    if best is None:
        raise ValueError("no map leaves held-out activations finite")
    return best[2]


def _tried(rows: Rows, folds: Sequence[Tensor], candidates: Sequence[Recipe]) -> list[_Tried]:
    """What each recipe makes of each fold's rows, fitted without them."""

    @cache
    def samples(sources: tuple[str, ...], fold: int) -> Samples:
        return rows.samples(sources, rows.worked & ~folds[fold])

    tried = []
    for recipe in candidates:
        plain, forced = [], []
        for fold, held in enumerate(folds):
            reg = rows.reg(recipe, rows.worked & ~held)
            fitted = samples(recipe.sources, fold).fit(reg, recipe.solver, recipe.complement)
            plain.append(transport.apply(fitted, rows.plain[held].double()).float())
            if len(rows.forced):
                of_forced = rows.forced[held.repeat(len(rows.forced) // len(held))]
                forced.append(transport.apply(fitted, of_forced.double()).float())
        tried.append(_Tried(recipe, torch.cat([*plain, *forced]), sum(map(len, plain))))
    return tried


class _Bounds:
    """How large the margin of each of some sets of rows can be at most, by the rivals that are
    known so far; infinite before there are any.

    Args:
        rows: of each set, (rows, width).
    """

    def __init__(self, site: Site, token: int, rows: Sequence[Tensor]) -> None:
        self._site, self._rows = site, rows
        self._left = dict.fromkeys(range(len(rows)), math.inf)
        self._known = {token}
        own = [some_logits(site, some, torch.tensor([token])) for some in rows]
        self._own = [None if logits is None else logits[:, 0] for logits in own]
        self._largest = [torch.full((len(some),), -math.inf) for some in rows]

    def next(self) -> int | None:
        """The set whose bound is the largest, of equal ones the first; None if none is left."""
        return max(self._left, key=lambda number: (self._left[number], -number), default=None)

    def of(self, number: int) -> float:
        return self._left[number]

    def narrow(self, number: int, rivals: Tensor) -> None:
        """A set is measured, and has shown rivals: the bounds of the others are narrowed."""
        del self._left[number]
        new = sorted(set(rivals.flatten().tolist()) - self._known)
        self._known.update(new)
        for other in self._left if new else ():
            own = self._own[other]
            logits = some_logits(self._site, self._rows[other], torch.tensor(new))
            if own is None or logits is None:
                return
            largest = self._largest[other].to(logits.device).maximum(logits.amax(1))
            self._largest[other] = largest
            bound = float((own - largest).cpu().quantile(_LOW))
            self._left[other] = math.inf if math.isnan(bound) else bound


def _folds(rows: Rows) -> list[Tensor]:
    """Marks of what each fold holds out, where enough pairs that worked are left to fit on; none
    if all prompts are of one wording."""
    stems = sorted(set(rows.stems.tolist()))
    if len(stems) < 2:
        return []
    place = torch.tensor([stems.index(stem) for stem in rows.stems.tolist()])
    folds = min(FOLDS, len(stems))
    marks = [place % folds == fold for fold in range(folds)]
    return [held for held in marks if held.any() and int((rows.worked & ~held).sum()) >= 2]
