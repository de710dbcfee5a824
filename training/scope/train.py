"""Trains the scope detector and writes its weights: `make scope-model`.

The data are `training/scope/data`: relations with wordings that ask for them and wordings that
look alike (`corpus`), and frames (`episodes`). A tenth of the relations is never trained on; what
the detector makes of them is printed at the end. The same data, steps, seed, machine type and
thread count give the same weights.
"""

from __future__ import annotations

import argparse
import logging
import random
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, dropout

from sake_registry.models.embedder import locate_embedder
from sake_registry.models.multilingual import multilingual
from sake_registry.routing.detector import (
    ASKS,
    KINDS,
    Batch,
    Piece,
    ScopeNetwork,
    Shape,
    batch_of,
    pieces_of,
)
from sake_registry.settings import MULTILINGUAL
from training.scope.corpus import frames_of, held_out, library, read
from training.scope.episodes import Episode, Episodes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from torch import Tensor

    from sake_registry.models.multilingual import MultilingualEncoder

log = logging.getLogger("training.scope")

DATA = Path(__file__).parent / "data"
WEIGHTS = Path("sake_registry/data/detector.safetensors")

RANK = 448
"""Principal components of the tokens' states that training reads: 97 % of their variance. They
are folded into the network's entry at the end."""
SMOOTHING = 0.02
OF_KINDS = 0.3
"""Weight of telling the kinds apart, beside telling what asks from what does not."""
RATE, WARM_UP, LEAST = 1e-3, 100, 0.02
DECAY, CLIPPED = 0.03, 1.0
DROPOUT = 0.1
BATCH = 64
SORTED = 20
"""Batches whose episodes are sorted by length, so that little is padding."""
TESTED = 4000


class Bank:
    """Texts as the network takes them in, each encoded once.

    Args:
        sample: texts from which the principal components are taken.
    """

    def __init__(self, encoder: MultilingualEncoder, sample: Sequence[str]) -> None:
        self._encoder = encoder
        self.pieces: dict[str, Piece] = {}
        rows = torch.cat(encoder.encode(sample).states)
        self.mean: Tensor = rows.mean(0)
        centred = rows - self.mean
        values, axes = torch.linalg.eigh(centred.T @ centred / len(rows))
        self.basis: Tensor = axes.flip(1)[:, :RANK] / values.flip(0)[:RANK].mean().sqrt()

    def add(self, texts: Iterable[str]) -> None:
        """Encode texts that are not known yet."""
        new = [text for text in dict.fromkeys(texts) if text not in self.pieces]
        for start in range(0, len(new), 1000):
            part = new[start : start + 1000]
            self.pieces |= pieces_of(part, self._encoder, self._reduced)

    def _reduced(self, states: Tensor) -> Tensor:
        return ((states - self.mean) @ self.basis).half()

    def length(self, episode: Episode) -> int:
        """Tokens of an episode, about."""
        text = self.pieces[episode.text]
        parts = [*(self.pieces[prompt] for prompt in episode.prompts[:3]), text, text.focus]
        return sum(len(part.tokens) for part in parts if part)

    def batch(self, episodes: Sequence[Episode]) -> Batch:
        """Episodes as the network reads them, but for its entry."""
        known = self.pieces
        batch = batch_of(
            (
                [known[prompt] for prompt in episode.prompts],
                known[episode.relation] if episode.relation else None,
                known[episode.text],
            )
            for episode in episodes
        )
        return batch._replace(tokens=batch.tokens.float())

    def unfolded(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The opposite of `folded`, as far as the principal components hold what is read."""
        network = {name: tensor.float() for name, tensor in weights.items()}
        weight = network["entry.weight"]
        network["entry.weight"] = weight @ torch.linalg.pinv(self.basis).T
        network["entry.bias"] = network["entry.bias"] + weight @ self.mean
        return network

    def folded(self, network: ScopeNetwork) -> dict[str, Tensor]:
        """The network's weights, its entry reading states as they are."""
        weights = dict(network.state_dict())
        weight = weights["entry.weight"] @ self.basis.T
        weights["entry.bias"] = weights["entry.bias"] - weight @ self.mean
        weights["entry.weight"] = weight
        return weights


def logit(scores: Tensor) -> Tensor:
    """Of what asks, against all that does not."""
    return scores[:, ASKS] - scores[:, ASKS + 1 :].logsumexp(1)


def loss_of(scores: Tensor, kinds: Tensor) -> Tensor:
    """Binary cross-entropy of what asks, with that of the kinds beside it."""
    asks = (kinds == ASKS).float() * (1 - 2 * SMOOTHING) + SMOOTHING
    binary = binary_cross_entropy_with_logits(logit(scores), asks)
    return binary + OF_KINDS * cross_entropy(scores, kinds)


def batches(
    episodes: Sequence[Episode], bank: Bank, drawn: random.Random
) -> Iterator[tuple[Batch, Tensor]]:
    """Batches of episodes without end, each of about the same length, with their kinds."""
    lengths = [bank.length(episode) for episode in episodes]
    while True:
        order = list(range(len(episodes)))
        drawn.shuffle(order)
        some = []
        for start in range(0, len(order), BATCH * SORTED):
            part = sorted(order[start : start + BATCH * SORTED], key=lengths.__getitem__)
            some += [part[b : b + BATCH] for b in range(0, len(part) - BATCH + 1, BATCH)]
        drawn.shuffle(some)
        for chosen in some:
            yield bank.batch([episodes[i] for i in chosen]), kinds_of(episodes[i] for i in chosen)


def kinds_of(episodes: Iterable[Episode]) -> Tensor:
    """The numbers of episodes' kinds."""
    return torch.tensor([KINDS.index(episode.kind) for episode in episodes])


def train(
    network: ScopeNetwork,
    drawn: Iterator[tuple[Batch, Tensor]],
    steps: int,
    rate: float = RATE,
) -> None:
    """Train a network for so many batches."""
    decayed = [p for p in network.parameters() if p.dim() > 1]
    others = [p for p in network.parameters() if p.dim() <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}],
        lr=rate,
    )
    begun, running = time.monotonic(), 0.0
    for step in range(1, steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, step / WARM_UP) * max(LEAST, 1 - step / steps)
        batch, kinds = next(drawn)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            entered = batch._replace(tokens=network.entry(dropout(batch.tokens, DROPOUT)))
            scores = network(entered)
        loss = loss_of(scores.float(), kinds)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), CLIPPED)
        optimizer.step()
        value = float(loss.detach())
        running = value if step == 1 else 0.98 * running + 0.02 * value
        if step % 200 == 0:
            log.info("step %d loss %.3f, %.0f s", step, running, time.monotonic() - begun)


@torch.inference_mode()
def report(network: ScopeNetwork, bank: Bank, episodes: Sequence[Episode]) -> None:
    """Log what a network makes of episodes: shares that are taken to ask, by kind and language."""
    asks = torch.cat(
        [
            logit(network(batch._replace(tokens=network.entry(batch.tokens))))
            for start in range(0, len(episodes), BATCH)
            if (batch := bank.batch(episodes[start : start + BATCH]))
        ]
    )
    for bound in (0.3, 0.5, 0.7):
        fires = (asks.sigmoid() >= 1 - bound).tolist()
        shares: dict[str, list[bool]] = defaultdict(list)
        for episode, fire in zip(episodes, fires, strict=True):
            asked = episode.kind == KINDS[ASKS]
            shares[episode.kind].append(fire)
            shares[f"{episode.language} {'asks' if asked else 'else'}"].append(fire)
            shares["else" if not asked else "all asks"].append(fire)
        said = ", ".join(f"{k} {100 * sum(v) / len(v):.0f}" for k, v in sorted(shares.items()))
        log.info("held out, bound %.1f: %s", bound, said)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the scope detector.")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--episodes", type=int, default=160_000)
    parser.add_argument("--steps", type=int, default=8_000)
    parser.add_argument("--width", type=int, default=Shape().width)
    parser.add_argument("--layers", type=int, default=Shape().layers)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--begin", type=Path, help="go on from these weights")
    parser.add_argument(
        "--keep", type=float, default=0.0, help="share of --begin's weights in what is written"
    )
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(given.threads)
    torch.manual_seed(given.seed)

    encoder = multilingual(locate_embedder(MULTILINGUAL))
    relations = read(sorted(given.data.glob("*.txt")))
    frames = frames_of(given.data / "frames")
    seen = [r for r in relations if not held_out(r)] + library()
    unseen = [r for r in relations if held_out(r)]
    log.info("%d relations, %d held out", len(seen), len(unseen))
    texts = sorted({w.text for r in seen for ws in r.asks.values() for w in ws})
    bank = Bank(encoder, random.Random(given.seed).sample(texts, 1500))
    training, testing = (
        [maker.draw() for _ in range(number)]
        for number, maker in (
            (given.episodes, Episodes(seen, encoder, frames, given.seed + 1)),
            (TESTED, Episodes(unseen, encoder, frames, given.seed + 2)),
        )
    )
    bank.add(t for e in (*training, *testing) for t in (*e.prompts, e.relation, e.text) if t)
    log.info("%d texts", len(bank.pieces))
    entry = bank.basis.shape[1]
    network = ScopeNetwork(Shape(given.width, given.layers, entry=entry), DROPOUT)
    if given.begin:
        network.load_state_dict(bank.unfolded(load_file(given.begin)))
    stream = batches(training, bank, random.Random(given.seed + 3))
    train(network, stream, given.steps, given.rate)
    # Weights that went on from others forget some of what those knew; their mean forgets less
    # (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models").
    weights, share = bank.folded(network), given.keep if given.begin else 0.0
    if share:
        began = load_file(given.begin)
        weights = {n: torch.lerp(w, began[n].to(w.dtype), share) for n, w in weights.items()}
        network.load_state_dict(bank.unfolded(weights))
    save_file({name: tensor.half().contiguous() for name, tensor in weights.items()}, given.out)
    report(network.eval(), bank, testing)


if __name__ == "__main__":
    main()
