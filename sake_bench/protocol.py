"""What a benchmark measures, and the words for it: methods, scopes, successes, conditions, metrics.

Each meaning is written down here and nowhere else. A run carries these texts with its figures
(`PROTOCOL`), and its report shows them as the run has them. No torch.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, PositiveInt

from sake_registry.values import Value

Success = Literal["first-token", "full-object"]
Scope = Literal["none", "given", "own-centre", "all-edits", "alone", "together"]

CONTINUATION = 40
"""Tokens of the continuations that `relapse` and `fluency` read, and of answers to questions."""
ANSWER = 10
"""Tokens of every other reply, unless an accepted name is longer."""

METHODS = {
    "base": "the unedited model",
    "sake": "this project's defaults",
    "sake-inexact": "sake with the transport maps alone: no token of an object, nor its end, is "
    "made certain (answer.exact = false)",
    "sake-paper": "published settings: one context, every pair kept, plain and forced sources, "
    "reg 0.01, one centre an edit, one global threshold",
    "uniform": "sake-paper with the mean difference for a map (4.4.2)",
    "actadd": "the difference of one contrast pair (B.2), routed like sake-paper",
    "icl": "'Imagine that …' before the prompt (B.2), routed like sake-paper",
    "rome": "a rank-one change of one layer's weights (Meng et al. 2022)",
    "memit": "a change of several layers' weights (Meng et al. 2023)",
    "compmemit": "MEMIT given the edit's other prompts and implications as well (B.2)",
    "prompt-all": "every fact in the system prompt, until the context is full; a plain prompt "
    "begins with them",
    "retrieve": "the k facts nearest to the prompt, stated there (k, wording, and what is near: "
    "`retrieval`)",
    "hybrid": "the fact that sake's router decides on, stated there in place of the edit",
    "grace": "a codebook beside one late layer, by how near its input is (Hartvigsen et al. 2023)",
}
WEIGHTS = ("rome", "memit", "compmemit", "grace")
"""The methods that change weights, or what a layer puts out."""
PUBLISHED = ("icl", "actadd", "uniform", "sake-paper")
"""The methods that share the published router, with a threshold to be set."""
STATED = ("prompt-all", "retrieve", "hybrid")
"""The methods that state facts before the prompt."""
STEERED = ("base", "icl", "actadd", "uniform", "sake-paper", "sake-inexact", "sake")
"""The methods that leave the weights alone."""

SUCCESSES: dict[Success, str] = {
    "first-token": "the first greedy token begins an accepted name; where the old object begins "
    "with the same token nothing can be told, and the test is not scored",
    "full-object": "the greedy text begins with the whole of an accepted name",
}


FACTS = "{facts}"


class Retrieval(Value):
    """How facts are retrieved and stated; chosen on development data (decision 0023)."""

    by: Literal["embedder", "bm25"] = "embedder"
    k: PositiveInt = 1
    wording: str = Field(f"Facts: {FACTS}", pattern=re.escape(FACTS))


@dataclass(frozen=True)
class ScopeText:
    """How a scope is named in a heading, and what it means."""

    name: str
    meaning: str


SCOPES: dict[Scope, ScopeText] = {
    "given": ScopeText("The right edit is given", "the edit that is meant always applies"),
    "own-centre": ScopeText(
        "The router knows only the right edit", "the router knows only the edit that is meant"
    ),
    "all-edits": ScopeText(
        "All edits loaded", "the router knows all edits and is not told which one is meant"
    ),
    "alone": ScopeText(
        "one edit at a time in the weights", "weights: one edit at a time; there is no router"
    ),
    "together": ScopeText(
        "all edits in the weights", "weights: all edits at once; there is no router"
    ),
    "none": ScopeText("unedited", "the unedited model"),
}
ROUTED: tuple[Scope, ...] = ("given", "own-centre", "all-edits")
"""The scopes of a report's tables; weights and the unedited model stand beside them."""

SEVERAL = "several tokens"
"""The condition that the new object has several tokens: a part of what is scored without it."""
CONDITIONS = {
    "applied": "only tests whose conditions hold: the unedited model knows what the "
    "test takes for granted (for Subject Aliasing: the edit itself succeeds)",
    "not applied": "every test is scored, whatever the model knows",
    SEVERAL: "only objects of more than one token after the prompt",
}


@dataclass(frozen=True)
class Metric:
    """What is measured: its short name in tables, its name, and what it means."""

    short: str
    name: str
    meaning: str
    unit: Literal["share", "bits"] = "share"
    better: Literal["higher", "lower", "unedited"] = "higher"


def _free(axis: str, what: str) -> dict[str, Metric]:
    """The free generation after prompts of an axis: what it contains, and what it is."""
    name = axis.replace("acc", "Acc").replace("gen", "Gen").replace("chat-", "Chat ")
    return {
        f"{axis}-contained": Metric(
            f"{name}: contained",
            f"{name}, contained",
            f"the answer to {what}, until the model's own end or {CONTINUATION} tokens, contains "
            "the new object as whole words (case, articles and punctuation around words aside)",
        ),
        f"{axis}-exact": Metric(
            f"{name}: exact", f"{name}, exact", "the same answer is the new object and no more"
        ),
    }


METRICS: dict[str, Metric] = {
    "acc": Metric("Acc", "Accuracy", "the edit's own prompt gives the new object"),
    "gen": Metric(
        "Gen", "Generality", "paraphrases that were not compiled give the new object"
    ),
    "spec": Metric(
        "Spec",
        "Specificity",
        "the first token after prompts on other subjects, true for them, is the unedited model's",
    ),
    "unchanged": Metric(
        "Unchanged",
        "Bit-unchanged",
        "no edit fires after the same prompts: a method with a router then computes what "
        "the model does, to the bit (proved apart); of changed weights the activations are "
        "compared",
    ),
    "di": Metric(
        "DI", "Doubt I", "the new object is kept when the prompt claims that it cannot be right"
    ),
    "dii": Metric(
        "DII", "Doubt II", "the new object is kept when the prompt argues for the old one"
    ),
    "ci": Metric(
        "CI",
        "Compositionality I",
        "questions that go on from the new object are answered with what follows from it",
    ),
    "cii": Metric(
        "CII",
        "Compositionality II",
        "questions that reach the subject by another fact are answered with the new object",
    ),
    "sa": Metric("SA", "Subject aliasing", "the edit holds when the subject has another name"),
    "sa-listed": Metric(
        "SA listed",
        "Subject aliasing, listed names",
        "Subject Aliasing under the names that the edit file states: every second one",
    ),
    "sa-unlisted": Metric(
        "SA unlisted",
        "Subject aliasing, unlisted names",
        "Subject Aliasing under the names that it does not state",
    ),
    "rs": Metric("RS", "Relation specificity", "other facts about the same subject stay"),
    "lg": Metric(
        "LG", "Logical generalization", "what follows by logic, such as the converse, holds, too"
    ),
    "forgetfulness": Metric(
        "Forgetfulness",
        "Forgetfulness",
        "where a relation has several objects, the ones beside the new one are still known",
    ),
    "portability": Metric("Portability", "Portability", "what follows from the edit holds, too"),
    "locality": Metric(
        "Locality",
        "Locality",
        f"the first {ANSWER} greedy tokens after prompts that the edit does not concern are the "
        "unedited model's",
    ),
    "other-relation": Metric(
        "Other relations",
        "Other relations left alone",
        "for prompts on the edit's subject that ask for another relation (the data's own "
        "templates) no edit fires: the model computes the same",
    ),
    "question": Metric(
        "Question",
        "Asked as a question",
        f"within {CONTINUATION} tokens after the fact asked as a question the new object (or an "
        "accepted name of it) stands as a whole word, and the old one does not (within the "
        "subject's name, or the other object's, neither counts)",
    ),
    "question-new": Metric(
        "Q: new",
        "Question: new object",
        "the new object stands there, whether or not the old one does",
    ),
    "question-old": Metric(
        "Q: old",
        "Question: old object",
        "the old object stands there, whether or not the new one does",
        better="lower",
    ),
    "chat": Metric(
        "Chat",
        "Asked in a chat",
        "the same question as a user's turn in the model's chat template",
    ),
    "chat-new": Metric("Chat: new", "Chat: new object", "as question-new, in a chat"),
    "chat-old": Metric("Chat: old", "Chat: old object", "as question-old, in a chat",
                       better="lower"),
    **_free("acc", "the edit's own prompt"),
    **_free("gen", "paraphrases"),
    **_free("chat-acc", "the edit's own prompt, where it is a question, in a chat"),
    **_free("chat-gen", "paraphrases in a chat, where the edit's prompt is a question"),
    "multi-hop": Metric(
        "Multi-hop",
        "Multi-hop questions",
        "questions through the edited fact contain what follows from it",
    ),
    "multi-hop-edit": Metric(
        "Multi-hop: edit",
        "Multi-hop: the edit's object instead",
        "the same questions contain the edit's own object, which is not what is asked for, and "
        "not the answer",
        better="lower",
    ),
    "reach": Metric(
        "Reach",
        "Reach",
        "for other wordings and other languages that ask for the fact the right edit fires (or "
        "is among the facts stated)",
    ),
    "answered": Metric(
        "Answered",
        "Answered",
        "the answers to them contain the new object and not the old one",
    ),
    "false-fire": Metric(
        "False fires",
        "False fires",
        "for what resembles them and asks for something else an edit fires (or a fact is stated)",
        better="lower",
    ),
    "false-use": Metric(
        "False use",
        "False use",
        "the answers to it contain the new object, and the unedited model's do not",
        better="lower",
    ),
    "relapse": Metric(
        "Relapse",
        "Relapse",
        f"the old object stands in the first {CONTINUATION} tokens after the edit's "
        "prompt or a paraphrase",
        better="lower",
    ),
    "collateral": Metric(
        "Collateral",
        "Collateral damage",
        f"the first {ANSWER} greedy tokens after unrelated prompts (neighbourhoods of "
        "other records) differ from the unedited model's",
        better="lower",
    ),
    "fluency": Metric(
        "Fluency",
        "Fluency",
        f"weighted entropy of bigrams and trigrams of the same {CONTINUATION} tokens, bits",
        unit="bits",
        better="unedited",
    ),
}  # fmt: skip

PROTOCOL: dict[str, str] = {
    **{str(name): meaning for name, meaning in SUCCESSES.items()},
    **{name: scope.meaning for name, scope in SCOPES.items()},
    **{name: metric.meaning for name, metric in METRICS.items()},
    "loads": "edits loaded at once: a prompt counts where the right edit fires and its first token "
    "is right; another edit that fires is wrong, for spec a change",
    "scale": "edits loaded, routing alone, one prompt at a time, each number in a process of its "
    "own: reach is the share of the facts' own prompts, paraphrases and questions for which the "
    "right edit fires, false fires that of prompts on something else for which any does",
    "ability": "a choice is scored by the sum of its tokens' log-likelihoods after 'Question: … "
    "Answer:', divided by its characters (acc_norm of lm-evaluation-harness); the same batches "
    "bare and with edits attached, and how many questions' log-likelihoods differ by a bit",
    "fill": "beyond the data's own, edits are made up: the maps and wordings of theirs again, "
    "under made-up subjects",
    **{f"condition {name}": meaning for name, meaning in CONDITIONS.items()},
    "interval": "95 %, bootstrap over edits, 2000 resamples, seed 0",
}
"""What a run says of itself: every success, scope, metric and condition by its name."""
