"""The scope detector: does a text ask for this fact of this subject, and for nothing else?

A small network reads the states of the tokens (`models.multilingual`) of a fact, some of its own
prompts and the name of its relation, beside those of a text, the subject masked in both. Its
answer is one of `KINDS`: the text asks for the fact, or is of a kind that only looks as if it did.

It is the dedicated classifier that the paper points at (3.2.3). `training/scope` makes its
weights; docs/scope-detector.md says from what, and what it can do.
"""

from __future__ import annotations

import pkgutil
import threading
from collections import OrderedDict
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence

from sake_registry.models.embedder import locate_embedder
from sake_registry.models.multilingual import (
    STATE_WIDTH,
    WIDTH,
    MultilingualEncoder,
    multilingual,
)
from sake_registry.routing.representation import MASK, sentences
from sake_registry.settings import MULTILINGUAL, learned_shift

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from torch import Tensor

KINDS = (
    "asks", "near", "time", "part", "through", "beside", "mention", "if", "task", "why", "name",
)  # fmt: skip
"""What a text that names the subject does: it asks for the fact; or asks another question of the
subject, for another time, for a part or variant, of somebody reached through the subject, of
somebody else; mentions the subject in passing; supposes; is a task about a text; asks about the
fact, not for it; or names something else whose name holds the subject's."""
ASKS, TASK = KINDS.index("asks"), KINDS.index("task")

PROMPTS = 3
"""Own prompts that are read beside a text: those most like it."""
PROMPT_TOKENS, RELATION_TOKENS, FOCUS_TOKENS = 40, 12, 40
RELATION, TEXT, FOCUS, PADDING = range(PROMPTS, PROMPTS + 4)
"""Parts that tokens are of; the first ones are the prompts."""
PLACES = 64
_NEAR_PLACES, _PER_DOUBLING = 40, 8
_FEATURES = 96
_REMEMBERED = 8192
_BATCH = 32


class Shape(NamedTuple):
    """The sizes of a network: the width of its layers, their number and heads, a state's width."""

    width: int = 192
    layers: int = 3
    heads: int = 4
    entry: int = STATE_WIDTH


class Batch(NamedTuple):
    """Pairs of a fact and a text, padded.

    Attributes:
        tokens: (pairs, tokens, width) float32, of `ScopeNetwork.entry`.
        part: (pairs, tokens): a prompt (0, 1, 2), the relation, the text, its focus, or padding.
        place: (pairs, tokens), of `places`.
        subject: (pairs, tokens): 1 where a token is the mask.
        vectors: (pairs, 4, 512): embeddings of the text, of its sentence most like a prompt, of
            that prompt, and of the relation (zero if it has no name).
    """

    tokens: Tensor
    part: Tensor
    place: Tensor
    subject: Tensor
    vectors: Tensor


class ScopeNetwork(nn.Module):
    """Self-attention over the tokens of a fact and of a text, then a class of `KINDS`."""

    def __init__(self, shape: Shape, dropout: float = 0.0) -> None:
        super().__init__()
        d = shape.width
        self.entry = nn.Linear(shape.entry, d)
        self.part, self.place = nn.Embedding(PADDING + 1, d), nn.Embedding(PLACES, d)
        self.subject = nn.Embedding(2, d)
        self.start = nn.Parameter(torch.randn(d) * 0.02)
        layer = nn.TransformerEncoderLayer(
            d, shape.heads, 2 * d, dropout, batch_first=True, norm_first=True, activation="gelu"
        )
        self.layers = nn.TransformerEncoder(layer, shape.layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(d)
        self.weigh = nn.Linear(d, 1)
        self.compare = nn.Sequential(
            nn.Dropout(2 * dropout), nn.Linear(8 * WIDTH + 4, _FEATURES), nn.GELU()
        )
        self.out = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(4 * d + _FEATURES, 128),
            nn.GELU(),
            nn.Linear(128, len(KINDS)),
        )

    def forward(self, batch: Batch) -> Tensor:
        """Logits of `KINDS`, (pairs, kinds)."""
        logits: Tensor = self.out[-1](self.features(batch))
        return logits

    def features(self, batch: Batch) -> Tensor:
        """What the logits are products of, (pairs, 128)."""
        tokens = batch.tokens + self.part(batch.part) + self.place(batch.place)
        tokens = tokens + self.subject(batch.subject)
        tokens = torch.cat([self.start.expand(len(tokens), 1, -1), tokens], 1)
        # Attention with a mask takes longer: one pair by itself has nothing to be masked.
        padding = batch.part == PADDING
        absent = pad(padding, (1, 0), value=False) if padding.any() else None
        text, focus = batch.part == TEXT, batch.part == FOCUS
        # A text of one sentence is its own focus.
        focus = torch.where(focus.any(1, keepdim=True), focus, text)
        read = self.norm(self.layers(tokens, src_key_padding_mask=absent))
        weights = self.weigh(read).masked_fill(_but(text), -1e9).softmax(1)
        pooled = (weights * read).sum(1)
        largest, near = (read.masked_fill(_but(part), -1e4).amax(1) for part in (text, focus))
        compared = self.compare(_comparison(*batch.vectors.unbind(1)))
        features: Tensor = self.out[:-1](
            torch.cat([read[:, 0], pooled, largest, near, compared], 1)
        )
        return features

    @torch.no_grad()
    def shift(self, learned: Sequence[float]) -> None:
        """Add to the weights, and last to the constant, of the logit of what asks."""
        last, added = self.out[-1], torch.tensor(learned)
        assert isinstance(last, nn.Linear)
        last.weight[ASKS] += added[:-1]
        last.bias[ASKS] += added[-1]


def _but(part: Tensor) -> Tensor:
    """All tokens but those of a part, the start among them, (pairs, 1 + tokens, 1)."""
    return pad(~part, (1, 0), value=True)[..., None]


def _comparison(text: Tensor, sentence: Tensor, prompt: Tensor, relation: Tensor) -> Tensor:
    # A part of a unit vector is about 1/20: scaled, it is of the size of the other inputs.
    parts = [
        sentence * 20, prompt * 20, text * 20, relation * 20, (sentence - prompt).abs() * 20,
        sentence * prompt * 400, text * prompt * 400, sentence * relation * 400,
    ]  # fmt: skip
    alike = [(a * b).sum(1, keepdim=True) * 5
             for a, b in ((text, prompt), (sentence, prompt), (text, relation),
                          (sentence, relation))]  # fmt: skip
    return torch.cat(parts + alike, 1)


def places(length: int) -> Tensor:
    """The places of tokens, counted from the end of their part: each near it, then in powers."""
    behind = torch.arange(length - 1, -1, -1)
    far = _NEAR_PLACES + (_PER_DOUBLING * (behind.clamp_min(1) / _NEAR_PLACES).log2()).long()
    return torch.where(behind < _NEAR_PLACES, behind, far).clamp_max(PLACES - 1)


class Piece(NamedTuple):
    """A text as the network takes it in.

    Attributes:
        tokens: (tokens, width) float32, of `ScopeNetwork.entry`.
        subject: (tokens,): whether a token is the mask.
        vectors: (1 + sentences, 512): its embedding, then those of its sentences.
        focus: of a text of several sentences the last one with the mask, read by itself: what
            stands before it, be it unrelated, colours the states of the whole.
    """

    tokens: Tensor
    subject: Tensor
    vectors: Tensor
    focus: Piece | None = None

    def last(self, number: int) -> Piece:
        """The same with so many of its tokens, the last ones."""
        return self._replace(tokens=self.tokens[-number:], subject=self.subject[-number:])


class Fact(NamedTuple):
    """What a text is held against.

    Attributes:
        prompts: the fact's own, masked.
        relation: its name; may be empty.
        points: embeddings of the prompts, (prompts, 512).
    """

    prompts: tuple[str, ...]
    relation: str
    points: Tensor

    def states(self, text: str) -> bool:
        """Whether a text is one of the prompts: then it asks, whatever else is seen in it."""
        return any(_plain(text) == _plain(prompt) for prompt in self.prompts)

    def nearest(self, text: Piece) -> list[str]:
        """The prompts most like a text, at most `PROMPTS`."""
        alike = (text.vectors[1:] @ self.points.T).amax(0)
        order = alike.argsort(descending=True, stable=True)[:PROMPTS]
        return [self.prompts[number] for number in order.tolist()]


def _plain(text: str) -> str:
    return text.casefold().strip(" .:?!…")


class Judgement(NamedTuple):
    """What a text does, as the detector sees it.

    Attributes:
        asks: the probability that it asks for the fact.
        task: the probability that it is a task about a text that would.
        kind: which of `KINDS` it is most probably, if it does not ask.
    """

    asks: float
    task: float
    kind: str


def batch_of(pairs: Iterable[tuple[Sequence[Piece], Piece | None, Piece]]) -> Batch:
    """Prompts, relation and text of each pair, as the network reads them."""
    columns: list[list[Tensor]] = [[], [], [], [], []]
    for prompts, relation, text in pairs:
        own = torch.stack([piece.vectors[0] for piece in prompts])
        alike = text.vectors[1:] @ own.T
        sentence, prompt = divmod(int(alike.argmax()), len(prompts))
        order = alike.amax(0).argsort(descending=True, stable=True)[:PROMPTS].tolist()
        parts = [(part, prompts[i].last(PROMPT_TOKENS)) for part, i in enumerate(order)]
        if relation is not None:
            parts.append((RELATION, relation.last(RELATION_TOKENS)))
        parts.append((TEXT, text))
        if text.focus is not None:
            parts.append((FOCUS, text.focus))
        name = torch.zeros(WIDTH) if relation is None else relation.vectors[0]
        for column, value in zip(
            columns,
            (
                torch.cat([piece.tokens for _, piece in parts]),
                torch.cat([torch.full((len(p.tokens),), part) for part, p in parts]),
                torch.cat([places(len(piece.tokens)) for _, piece in parts]),
                torch.cat([piece.subject for _, piece in parts]),
                torch.stack([text.vectors[0], text.vectors[1 + sentence], own[prompt], name]),
            ),
            strict=True,
        ):
            column.append(value)
    tokens, part, place, subject = (
        pad_sequence(column, batch_first=True, padding_value=padding)
        for column, padding in zip(columns, (0, PADDING, 0, 0), strict=False)
    )
    return Batch(tokens, part, place, subject.long(), torch.stack(columns[4]))


def pieces_of(
    texts: Sequence[str], encoder: MultilingualEncoder, enter: Callable[[Tensor], Tensor]
) -> dict[str, Piece]:
    """Texts as a network takes them in; `enter` makes its tokens of states (tokens, 1280)."""
    parts = {text: sentences(text) for text in texts}
    flat = list(dict.fromkeys([*texts, *(part for some in parts.values() for part in some)]))
    row = {text: number for number, text in enumerate(flat)}
    encoded, masks = encoder.encode(flat), encoder.ids_of(MASK)

    def piece(text: str, sentences: Sequence[str]) -> Piece:
        number = row[text]
        return Piece(
            enter(encoded.states[number]),
            torch.tensor([token in masks for token in encoded.tokens[number]]),
            encoded.sentences[[number, *(row[sentence] for sentence in sentences)]],
        )

    pieces = {text: piece(text, parts[text]) for text in texts}
    for text, whole in pieces.items():
        named = [part for part in parts[text] if masks.intersection(encoded.tokens[row[part]])]
        if named and len(parts[text]) > 1:
            pieces[text] = whole._replace(focus=piece(named[-1], ()).last(FOCUS_TOKENS))
    return pieces


class Detector:
    """The detector with its encoder; it remembers the texts that it has read.

    Args:
        network: trained.
        encoder: the one whose states it was trained on.
    """

    def __init__(self, network: ScopeNetwork, encoder: MultilingualEncoder) -> None:
        self.network, self._encoder = network.eval(), encoder
        self._read: OrderedDict[str, Piece] = OrderedDict()
        self._lock = threading.Lock()

    @torch.inference_mode()
    def judge(self, pairs: Sequence[tuple[Fact, str]]) -> list[Judgement]:
        """What each text does, held against its fact; the subject is masked in both."""
        judged: list[Judgement] = []
        for batch in self._batches(pairs):
            share = self.network(batch).softmax(1)
            other = 1 + share[:, 1:].argmax(1)
            judged.extend(
                Judgement(float(row[ASKS]), float(row[TASK]), KINDS[kind])
                for row, kind in zip(share, other.tolist(), strict=True)
            )
        return [
            judgement._replace(asks=1.0, task=0.0) if fact.states(text) else judgement
            for (fact, text), judgement in zip(pairs, judged, strict=True)
        ]

    @torch.inference_mode()
    def features(self, pairs: Sequence[tuple[Fact, str]]) -> tuple[Tensor, Tensor]:
        """Of each pair what its judgement is a product of, (pairs, 128), and the logarithm of the
        odds that it asks, (pairs,): what may be learned from."""
        features = torch.cat([self.network.features(batch) for batch in self._batches(pairs)])
        logits = self.network.out[-1](features)
        return features, logits[:, ASKS] - logits[:, ASKS + 1 :].logsumexp(1)

    def _batches(self, pairs: Sequence[tuple[Fact, str]]) -> Iterator[Batch]:
        texts = self.pieces(dict.fromkeys(text for _, text in pairs))
        prompts = [fact.nearest(texts[text]) for fact, text in pairs]
        relations = dict.fromkeys(fact.relation for fact, _ in pairs if fact.relation)
        known = self.pieces({**dict.fromkeys(p for some in prompts for p in some), **relations})
        read = [
            ([known[prompt] for prompt in some], known.get(fact.relation), texts[text])
            for (fact, text), some in zip(pairs, prompts, strict=True)
        ]
        for start in range(0, len(read), _BATCH):
            yield batch_of(read[start : start + _BATCH])

    @torch.inference_mode()
    def pieces(self, texts: Iterable[str]) -> dict[str, Piece]:
        """Texts as the network takes them in; those it has read before are remembered."""
        with self._lock:
            known = {text: self._read[text] for text in texts if text in self._read}
        new = [text for text in texts if text not in known]
        if new:
            known |= pieces_of(new, self._encoder, self.network.entry)
            with self._lock:
                self._read.update((text, known[text]) for text in new)
                while len(self._read) > _REMEMBERED:
                    self._read.popitem(last=False)
        return known


def load(learned: str = "") -> Detector:
    """The detector of this package; its weights are part of the method.

    Args:
        learned: what a registry has it learned (`router.learned`).

    Raises:
        ValueError: it is no such text.
        ModelNotFoundError: the multilingual encoder is not installed.
    """
    return _load(learned)


@lru_cache(maxsize=4)
def _load(learned: str) -> Detector:
    from safetensors.torch import load as parse

    content = pkgutil.get_data("sake_registry.data", "detector.safetensors")
    assert content is not None
    weights = {name: tensor.float() for name, tensor in parse(content).items()}
    width, entry = weights["entry.weight"].shape
    layers = 1 + max(
        int(name.split(".")[2]) for name in weights if name.startswith("layers.layers")
    )
    network = ScopeNetwork(Shape(width=width, layers=layers, entry=entry))
    network.load_state_dict(weights)
    if learned:
        network.shift(learned_shift(learned))
    return Detector(network, multilingual(locate_embedder(MULTILINGUAL, local=True)))
