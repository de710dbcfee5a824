"""How a map is fitted is chosen on wordings that its fit did not see: planted rows, a real head."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import given
from hypothesis import settings as settings_of
from hypothesis import strategies as st
from torch import Tensor, nn

from sake_registry import transport
from sake_registry.compiler.choosing import (
    COMPLEMENTS,
    SHARES,
    SOURCES,
    Choice,
    Recipe,
    Rows,
    _folds,
    _tried,
    choose,
    recipes,
)
from sake_registry.extraction.extract import margins
from sake_registry.models.site import Site
from sake_registry.settings import CompileSettings
from tests import tiny_models

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH = 32
NEW = 9
"""The new object's token; the old one's differ with the wording."""


def settings(**values: Any) -> CompileSettings:
    return CompileSettings.model_validate(values)


@pytest.fixture(scope="module")
def site() -> Site:
    """A model whose output embedding gives token i what a state has in direction i."""
    model = tiny_models.make("llama")
    with torch.no_grad():
        model.lm_head.weight.zero_()
        model.lm_head.weight[:WIDTH] = torch.eye(WIDTH)
    return Site(model)


def towards(token: int, strength: float) -> Tensor:
    return strength * torch.nn.functional.one_hot(torch.tensor(token), WIDTH).float()


def noise(n: int, seed: int) -> Tensor:
    return 0.05 * torch.randn(n, WIDTH, generator=torch.Generator().manual_seed(seed))


def planted(stems: Tensor, *, forced: float = 0.0, by_wording: float = 20.0) -> Rows:
    """Nine pairs of three wordings. Each wording leads to a token of its own, 1 to 3, and behind
    the target context to `NEW`; forced to the old object, the model says token 5."""
    n = 9
    plain = torch.stack([towards(1 + i % 3, by_wording) for i in range(n)]) + noise(n, 0)
    return Rows(
        plain=plain,
        forced=plain + towards(5, forced) + noise(n, 1) if forced else plain[:0],
        target=towards(NEW, 6.0) + noise(n, 2),
        worked=torch.ones(n, dtype=torch.bool),
        stems=stems,
    )


WORDINGS = torch.arange(9) % 3
"""As planted: the prompts of a wording are one stem."""


def test_explicit_settings_leave_one_recipe() -> None:
    chosen = settings(sources=["plain", "forced"], reg=0.5, complement=0.3)
    (recipe,) = recipes(chosen, forced=True)
    assert recipe == Recipe(("plain", "forced"), 0.5, 0.3, "lowrank")
    assert str(recipe) == "plain+forced, reg 0.5, complement 0.3"
    # Where nothing is forced, behind an object's first token, that is what is said of it.
    (without,) = recipes(chosen, forced=False)
    assert without == Recipe(("plain",), 0.5, 0.3, "lowrank")


def test_auto_leaves_them_all_open_those_that_change_least_first() -> None:
    found = recipes(settings(), forced=True)
    assert len(set(found)) == len(found) == len(SOURCES) * len(SHARES) * len(COMPLEMENTS)
    assert [recipe.complement for recipe in found] == sorted(
        (recipe.complement for recipe in found), reverse=True
    )
    assert {recipe.sources for recipe in recipes(settings(), forced=False)} == {("plain",)}
    assert {recipe.reg for recipe in recipes(settings(reg="25%"), forced=False)} == {"25%"}


@pytest.mark.parametrize("solver", ["pot", "uniform"])
def test_the_other_solvers_have_no_complement_to_choose(solver: str) -> None:
    found = recipes(settings(solver=solver), forced=False)
    assert {recipe.complement for recipe in found} == {1.0}


def test_where_held_out_wordings_lead_elsewhere_a_small_complement_is_chosen(site: Site) -> None:
    rows = planted(WORDINGS)
    (paper,) = recipes(settings(sources=["plain"], reg="10%", complement=1.0), forced=False)
    kept = choose(rows, NEW, [paper], site)
    assert kept.score == 0.0
    assert kept.margin is not None
    assert kept.margin < 0
    choice = choose(rows, NEW, recipes(settings(), forced=False), site)
    assert choice.recipe.complement <= 0.2
    assert choice.score == 1.0
    assert choice.margin is not None
    assert choice.margin > 0


def test_prompts_of_one_wording_are_held_out_together(site: Site) -> None:
    """The same rows: if each prompt passes for a wording of its own, others like it stay in the
    fit, and a map that is of no use for a new wording looks perfect."""
    (paper,) = recipes(settings(sources=["plain"], reg="10%", complement=1.0), forced=False)
    assert choose(planted(WORDINGS), NEW, [paper], site).score == 0.0
    apart = torch.tensor([0, 1, 2, 4, 5, 3, 8, 6, 7])
    assert choose(planted(apart), NEW, [paper], site).score == 1.0


def test_forced_sources_are_chosen_where_the_forced_model_is_to_be_carried_over(
    site: Site,
) -> None:
    rows = planted(WORDINGS, forced=30.0, by_wording=1.0)
    among = recipes(settings(reg="10%", complement=1.0), forced=True)
    assert [recipe.sources for recipe in among] == list(SOURCES)
    plain = choose(rows, NEW, among[:1], site)
    # Of the plain prompts, all are answered; forced, the model says the old object still.
    assert plain.score == 1.0
    assert plain.margin is not None
    assert plain.margin < 0
    choice = choose(rows, NEW, among, site)
    assert "forced" in choice.recipe.sources
    assert choice.margin is not None
    assert choice.margin > 0
    assert choice.score == 1.0


def test_the_score_is_of_fits_without_what_they_are_tried_on(site: Site) -> None:
    """By hand, with the folds of three wordings."""
    rows = planted(WORDINGS, by_wording=5.0)
    (recipe,) = recipes(settings(sources=["plain"], reg="10%", complement=0.6), forced=False)
    found = []
    for stem in range(3):
        held = stem == WORDINGS
        reg = transport.share_of_trace(rows.target[~held], 0.1)
        fitted = transport.fit(rows.plain[~held], rows.target[~held], reg, "lowrank", 0.6)
        logits = site.logits(transport.apply(fitted, rows.plain[held].double()).float()).detach()
        others = logits.clone()
        others[:, NEW] = -torch.inf
        found.append(logits[:, NEW] - others.amax(-1))
    margins = torch.cat(found)
    choice = choose(rows, NEW, [recipe], site)
    assert choice.score == pytest.approx(float((margins > 0).float().mean()))
    assert choice.margin == pytest.approx(float(margins.quantile(0.05)), abs=1e-3)


@pytest.mark.parametrize("sources", [["auto"], ["plain", "forced"]])
def test_with_too_few_pairs_the_usual_recipe_is_taken_and_no_score_claimed(
    site: Site, sources: list[str]
) -> None:
    rows = planted(WORDINGS, forced=30.0)
    rows.worked[1:] = False
    among = recipes(settings(sources=sources), forced=True)
    choice = choose(rows, NEW, among, site)
    assert (choice.score, choice.margin) == (None, None)
    assert choice.recipe in among
    if sources == ["auto"]:
        assert choice.recipe.sources == ("plain",)
        assert 0 < choice.recipe.complement < 1


def test_of_one_wording_nothing_is_held_out(site: Site) -> None:
    """Behind another lead-in the same wording is no paraphrase."""
    choice = choose(planted(torch.zeros(9).long()), NEW, recipes(settings(), forced=False), site)
    assert (choice.score, choice.margin) == (None, None)
    assert choice.recipe.complement == 0.2


def test_two_wordings_are_held_out_in_turn(site: Site) -> None:
    """A map that is of no use for a new wording is seen through with two of them as well."""
    (paper,) = recipes(settings(sources=["plain"], reg="10%", complement=1.0), forced=False)
    two = planted(WORDINGS.clamp(max=1))
    two.plain[WORDINGS == 2] = two.plain[WORDINGS == 1]
    assert choose(two, NEW, [paper], site).score == 0.0


def by_every_recipe(rows: Rows, candidates: Sequence[Recipe], site: Site) -> Choice:
    """As `choose`, each recipe measured against every token."""
    folds = _folds(rows)
    tried = _tried(rows, folds, candidates)
    measured = [margins(site, one.rows, NEW) for one in tried]
    reached = [float(margin.quantile(0.05)) for margin in measured]
    best = reached.index(max(reached))
    score = float((measured[best][: tried[best].plain] > 0).float().mean())
    return Choice(tried[best].recipe, score, reached[best])


@cache
def site_with(head: str, dtype: torch.dtype) -> Site:
    model = tiny_models.make("llama")
    if head == "low rank":  # no row of it can be read by itself
        model.lm_head = nn.Sequential(nn.Linear(WIDTH, 8), nn.Linear(8, model.config.vocab_size))
    return Site(model.to(dtype))


@pytest.mark.parametrize("head", ["linear", "low rank"])
@settings_of(max_examples=6, deadline=None)
@given(seed=st.integers(0, 1 << 30), dtype=st.sampled_from([torch.float32, torch.bfloat16]))
def test_measuring_fewer_recipes_chooses_what_measuring_all_would(
    head: str, seed: int, dtype: torch.dtype
) -> None:
    drawn = torch.Generator().manual_seed(seed)
    site = site_with(head, dtype)
    with torch.no_grad():
        for weight in site.head.parameters():
            weight.copy_(torch.randn(weight.shape, generator=drawn))
    plain, target = (torch.randn(9, WIDTH, generator=drawn) for _ in range(2))
    rows = Rows(
        plain=plain, forced=plain + torch.randn(9, WIDTH, generator=drawn), target=target + plain,
        worked=torch.ones(9, dtype=torch.bool), stems=WORDINGS,
    )  # fmt: skip
    candidates = recipes(CompileSettings(), forced=True)
    assert choose(rows, NEW, candidates, site) == by_every_recipe(rows, candidates, site)


def test_rows_that_no_dtype_holds_are_refused(site: Site) -> None:
    rows = planted(WORDINGS, forced=30.0)
    rows.forced[:] = torch.inf
    with pytest.raises(ValueError, match="finite"):
        choose(rows, NEW, recipes(settings(sources=["plain"]), forced=True), site)


def test_pairs_that_failed_are_tried_but_not_fitted_on(site: Site) -> None:
    rows = planted(WORDINGS, by_wording=1.0)
    rows.target[0] = towards(7, 1e6)
    rows.worked[0] = False
    choice = choose(rows, NEW, recipes(settings(), forced=False), site)
    assert choice.score == 1.0
    fitted, reg = rows.fit(choice.recipe, rows.worked)
    assert float(fitted.target_mean[7]) < 1
    assert reg < 1


def test_without_forced_rows_a_fit_by_forced_sources_takes_the_plain_ones() -> None:
    rows = planted(WORDINGS)
    by_forced, _ = rows.fit(Recipe(("forced",), 1.0, 1.0, "lowrank"), rows.worked)
    by_plain, _ = rows.fit(Recipe(("plain",), 1.0, 1.0, "lowrank"), rows.worked)
    assert torch.equal(by_forced.source_mean, by_plain.source_mean)
