"""The scope detector: how pairs are read, and what the router makes of what it says."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sake_registry.routing.detector import (
    FOCUS_TOKENS,
    KINDS,
    PADDING,
    PLACES,
    PROMPT_TOKENS,
    TEXT,
    Detector,
    Fact,
    Judgement,
    Piece,
    ScopeNetwork,
    Shape,
    batch_of,
    places,
)
from sake_registry.routing.detector import load as load_detector
from sake_registry.routing.entries import MOST_READ, anchored_texts, representative
from sake_registry.routing.metric import learn
from sake_registry.routing.reasons import OTHERWISE, Reason
from sake_registry.routing.representation import VIEWED, view
from sake_registry.routing.router import LEAD, Router, RouterEntry
from sake_registry.settings import learned_text

SMALL = Shape(width=8, layers=1, heads=2)


@pytest.fixture(scope="module")
def detector() -> Detector:
    return load_detector()


def piece(tokens: int, seed: int, sentences: int = 1) -> Piece:
    torch.manual_seed(seed)
    vectors = torch.nn.functional.normalize(torch.randn(1 + sentences, 512), dim=1)
    return Piece(torch.randn(tokens, SMALL.width), torch.arange(tokens) == 0, vectors)


@given(st.integers(1, 3000))
def test_places_are_each_near_the_end_and_never_too_many(length: int) -> None:
    numbers = places(length)
    assert numbers.shape == (length,)
    assert numbers.min() == 0
    assert numbers.max() < PLACES
    assert (numbers[:-1] >= numbers[1:]).all()  # the first token is furthest from the end
    assert len(set(numbers[-40:].tolist())) == min(40, length)


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 60)), min_size=1, max_size=6))
def test_a_pair_is_judged_alike_whatever_else_is_in_the_batch(
    sizes: list[tuple[int, int]],
) -> None:
    torch.manual_seed(0)
    network = ScopeNetwork(SMALL).eval()
    pairs = [
        ([piece(prompt, 4 * i), piece(3, 4 * i + 1)], piece(2, 4 * i + 2), piece(text, 4 * i + 3))
        for i, (prompt, text) in enumerate(sizes)
    ]
    with torch.inference_mode():
        together = network(batch_of(pairs))
        for i, pair in enumerate(pairs):
            assert torch.allclose(network(batch_of([pair]))[0], together[i], atol=1e-5)


def test_a_focus_counts_for_its_own_pair_alone() -> None:
    torch.manual_seed(0)
    network = ScopeNetwork(SMALL).eval()
    bare = ([piece(4, 1)], None, piece(9, 2))
    focused = ([piece(4, 1)], None, piece(9, 2)._replace(focus=piece(5, 3)))
    with torch.inference_mode():
        together = network(batch_of([bare, focused]))
        for pair, row in zip((bare, focused), together, strict=True):
            assert torch.allclose(network(batch_of([pair]))[0], row, atol=1e-5)
    assert not torch.allclose(together[0], together[1], atol=1e-3)


def test_the_focus_is_the_last_sentence_with_the_mask(detector: Detector) -> None:
    one, two = "What does X cost?", "X is a bank. What does X cost? Thank you very much."
    pieces = detector.pieces([one, two, "Nobody is named. Not here either."])
    assert pieces[one].focus is None
    focus = pieces[two].focus
    assert focus is not None
    assert torch.allclose(focus.tokens, pieces[one].tokens, atol=1e-5)
    assert focus.subject.sum() == 1
    assert pieces["Nobody is named. Not here either."].focus is None
    long = f"Hello there. {'and ' * 80} what does X cost?"
    cut = detector.pieces([long])[long].focus
    assert cut is not None
    assert len(cut.tokens) == FOCUS_TOKENS


def test_what_is_learned_is_added_to_the_odds(detector: Detector) -> None:
    points = detector.pieces(TONGUE)
    fact = Fact(TONGUE, "mother tongue", torch.stack([points[p].vectors[0] for p in TONGUE]))
    pairs = [(fact, "Where was X born?"), (fact, "X's first language?")]
    features, odds = detector.features(pairs)
    judged = torch.tensor([judgement.asks for judgement in detector.judge(pairs)])
    assert torch.allclose(odds.sigmoid(), judged, atol=1e-5)
    shift = torch.linspace(-0.02, 0.03, 129).half()
    learned = load_detector(learned_text(shift.tolist()))
    moved = learned.features(pairs)[1] - odds
    assert torch.allclose(moved, features @ shift[:-1].float() + shift[-1].float(), atol=1e-3)
    assert load_detector() is detector


def test_of_a_long_prompt_the_end_is_read_and_of_many_those_most_like_the_text() -> None:
    prompts = [piece(PROMPT_TOKENS + 5, 1), piece(4, 2), piece(4, 3), piece(4, 4)]
    text = Piece(torch.randn(5, SMALL.width), torch.zeros(5, dtype=torch.bool),
                 torch.stack([prompts[3].vectors[0], prompts[3].vectors[0]]))  # fmt: skip
    batch = batch_of([(prompts, None, text)])
    assert torch.equal(batch.tokens[0, :4], prompts[3].tokens)
    assert (batch.part[0] == TEXT).sum() == 5
    assert (batch.part[0] == PADDING).sum() == 0
    assert ((batch.part[0] < 3).sum() <= 2 * 4 + PROMPT_TOKENS).all()
    assert torch.equal(batch.vectors[0, 2], prompts[3].vectors[0])
    assert not batch.vectors[0, 3].any()  # no relation


TONGUE = ("X's mother tongue is", "The native language of X is")
PRICE = ("The Pro plan of X costs",)
HOTLINE = ("Die Hotline von X erreicht man unter",)


CASES = [
    (TONGUE, "mother tongue", True, "What is the native language of X?"),
    (TONGUE, "mother tongue", True, "X native language"),
    (TONGUE, "mother tongue", True, "hi there, which language is X's mother tongue? thanks!"),
    (TONGUE, "mother tongue", True, "Was ist die Muttersprache von X?"),
    (PRICE, "price of the Pro plan", True, "How much is the Pro plan of X?"),
    (PRICE, "price of the Pro plan", True, "The price of X's Pro plan is"),
    (HOTLINE, "hotline", True, "Unter welcher Nummer erreiche ich die Hotline von X?"),
    (TONGUE, "mother tongue", False, "Where was X born?"),
    (TONGUE, "mother tongue", False, "The mother tongue of X's wife is"),
    (TONGUE, "mother tongue", False, "Translate into French: X's mother tongue is"),
    (TONGUE, "mother tongue", False, "Unlike X, the mother tongue of Marta Ilves is"),
    (PRICE, "price of the Pro plan", False, "The founder of X is"),
    (PRICE, "price of the Pro plan", False, "If X had never existed, its Pro plan would cost"),
    (HOTLINE, "hotline", False, "Wo hat X seinen Sitz?"),
    (HOTLINE, "hotline", False, "Übersetze ins Englische: Die Hotline von X erreicht man unter"),
]


def test_what_asks_is_told_from_what_does_not(detector: Detector) -> None:
    """How good it is says docs/scope-detector.md; here a whole kind that is lost would show."""
    points = detector.pieces([prompt for prompts, *_ in CASES for prompt in prompts])
    judged = detector.judge(
        [
            (Fact(prompts, relation, torch.stack([points[p].vectors[0] for p in prompts])), text)
            for prompts, relation, _, text in CASES
        ]
    )
    right = [(j.asks > 0.5) == asks for j, (_, _, asks, _) in zip(judged, CASES, strict=True)]
    assert sum(right) >= len(CASES) - 2, [
        c[3] for c, ok in zip(CASES, right, strict=True) if not ok
    ]
    assert all(j.kind in KINDS[1:] for j in judged)
    assert all(0 <= j.asks + j.task <= 1.0001 for j in judged)


class Deciding(Detector):
    """A detector that goes by one word of the text, with the real encoder."""

    def __init__(self, like: Detector, word: str) -> None:
        super().__init__(like.network, like._encoder)
        self.word, self.seen = word, list[str]()

    def judge(self, pairs: Sequence[tuple[Fact, str]]) -> list[Judgement]:
        self.seen += [text for _, text in pairs]
        return [
            Judgement(0.9, 0.0, "near")
            if self.word in text and self.word in " ".join(fact.prompts)
            else Judgement(0.1, 0.7, "task")
            for fact, text in pairs
        ]


def entry(
    edit: str, subject: str, prompts: Sequence[str], embed: object, unchanged: Sequence[str] = ()
) -> RouterEntry:
    routes, texts = anchored_texts([subject], [prompts], unchanged, read=True)
    points: Tensor = embed(texts)  # type: ignore[operator]
    routes, points = representative(routes, points)
    return RouterEntry(edit, "detector", 0.5, routes, points)


@pytest.fixture
def router(detector: Detector) -> Router:
    deciding = Deciding(detector, "tongue")
    embed = detector._encoder.embed
    entries = [
        entry("tolstoy", "Leo Tolstoy", ["The mother tongue of <subject> is"], embed,
              unchanged=["The tongue of Leo Tolstoy is"]),
        entry("hugo", "Victor Hugo", ["The mother tongue of <subject> is"], embed),
    ]  # fmt: skip
    return Router(entries, embed, detector=deciding)


def test_the_named_edit_fires_with_its_probability(router: Router) -> None:
    (decision,) = router.decide("The mother tongue of Victor Hugo is")
    assert decision.edit == "hugo"
    assert decision.distance == pytest.approx(0.1)
    assert decision.threshold == 0.5
    (none,) = router.decide("Where was Victor Hugo born?")
    assert (none.edit, none.nearest) == (None, "hugo")
    assert none.reason is Reason.ASKS_OTHERWISE
    assert none.why == OTHERWISE["task"]
    assert router.decide("The mother tongue of Zola is")[0].reason is Reason.NOT_NAMED


def test_what_stays_unchanged_holds_its_ground_only_where_it_is_more_probable(
    router: Router,
) -> None:
    """Here both are equally probable: the edit has it."""
    assert router.decide("The mother tongue of Leo Tolstoy is")[0].edit == "tolstoy"


def test_a_task_is_answered_only_where_that_is_set(detector: Detector) -> None:
    embed = detector._encoder.embed
    edits = [entry("hugo", "Victor Hugo", ["The mother tongue of <subject> is"], embed)]
    prompt = "Translate: Victor Hugo was born in"
    for tasks, fired in ((False, None), (True, "hugo")):
        router = Router(edits, embed, tasks=tasks, detector=Deciding(detector, "tongue"))
        assert router.decide(prompt)[0].edit == fired


def test_each_subject_is_masked_for_its_own_edit(router: Router) -> None:
    router.decide("Unlike Leo Tolstoy, Victor Hugo has the mother tongue")
    seen = set(router._detector.seen)  # type: ignore[union-attr]
    assert seen == {
        "Unlike X, Victor Hugo has the mother tongue",
        "Unlike Leo Tolstoy, X has the mother tongue",
    }


def test_of_a_long_prompt_the_end_and_what_stands_about_the_name_is_read() -> None:
    filler = "Nothing of note was said. " * 400
    for prompt in (f"Where was Hugo born? {filler}", f"{filler} Where was Hugo born?",
                   f"{filler} Where was Hugo born? {filler}"):  # fmt: skip
        at = prompt.index("Hugo")
        read = view(prompt, [(at, at + 4)])
        assert "Where was X born?" in read
        assert len(read) <= VIEWED + 2
        assert read.endswith(prompt[-100:].replace("Hugo", "X"))


def test_of_many_prompts_those_furthest_apart_are_kept(detector: Detector) -> None:
    stems = [f"Fact {n}: the mother tongue of <subject> is" for n in range(60)]
    stems.append("<subject> grew up speaking")
    routes, texts = anchored_texts(["Hugo"], [stems], [], read=True)
    (route,), points = representative(routes, detector._encoder.embed(texts))
    assert route.rows == len(route.texts) == len(points) == MOST_READ
    assert "X grew up speaking" in route.texts
    assert torch.allclose(points, detector._encoder.embed(route.texts), atol=1e-5)


def test_a_prompt_of_the_edits_own_always_asks(detector: Detector) -> None:
    """Also one in which the network sees something else, and in any language."""
    embed = detector._encoder.embed
    prompts = [
        "If <subject> had never existed, the capital would be",
        "Nehmen wir an, <subject> hätte recht: dann wäre es",
        "翻訳してください:<subject>の首都は",
    ]
    router = Router([entry("one", "Kolvik", prompts, embed)], embed, detector=detector)
    for prompt in prompts:
        (decision,) = router.decide(prompt.replace("<subject>", "Kolvik"))
        assert (decision.edit, decision.distance) == ("one", 0.0), prompt


def test_what_is_written_under_unchanged_or_as_an_implication_needs_no_lead(
    detector: Detector,
) -> None:
    """However surely the network sees it ask for the fact."""
    embed = detector._encoder.embed
    fact, implied = ["The mother tongue of <subject> is"], ["The native language of <subject> is"]
    kept = "What is the mother tongue of Kolvik?"
    routes, texts = anchored_texts(["Kolvik"], [fact, implied], [kept], read=True)
    router = Router(
        [RouterEntry("one", "detector", 0.5, routes, embed(texts), asks="mother tongue")],
        embed, detector=detector,
    )  # fmt: skip
    (decision,) = router.decide(kept)
    assert (decision.edit, decision.reason) == (None, Reason.UNCHANGED)
    assert decision.distance is not None
    assert decision.distance < LEAD
    assert router.decide("The native language of Kolvik is")[0].group == 1
    assert router.decide("The mother tongue of Kolvik is")[0].group == 0


def test_in_a_chat_an_implication_that_names_nobody_is_judged_as_it_stands(
    detector: Detector,
) -> None:
    embed = detector._encoder.embed
    asked = "Who is the head of the northern league today?"
    fact, implied = ["The mother tongue of <subject> is"], ["The head of the northern league is"]
    routes, texts = anchored_texts(["Kolvik"], [fact, implied], [], read=True)
    router = Router(
        [RouterEntry("one", "detector", 0.5, routes, embed(texts), asks="mother tongue")],
        embed, learn(embed, "contrast"), detector=detector,
    )  # fmt: skip
    (alone,) = router.decide(asked)
    chat = f"<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n{asked}<|im_end|>\n"
    (in_chat,) = router.decide(f"{chat}<|im_start|>assistant\n")
    assert alone.distance is not None
    assert in_chat.distance == pytest.approx(alone.distance, abs=1e-5)
