"""Records of benchmark data sets, whatever their format: one fact to edit and its tests.

A record is what a reader (`counterfact`, `qaedit`, …) makes of one entry of a data file, or of one
of the edits of that entry (`mquake`), and what both the importer (edit files) and the benchmark
(tests) begin from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from sake_registry.edits.checks import plainly
from sake_registry.names import SUBJECT

Aliases = Literal["none", "half"]
"""Which of the subject's other names an edit file states: none, or every second one, the first
among them. The other half then tells how an edit does for names that nobody has listed."""

Axis = Literal[
    "acc",  # the record's own prompt
    "gen",  # paraphrases (CounterFact), rephrased questions (zsRE)
    "neighbourhood",  # another subject of the same relation and old object: must not change
    "di",  # the doubt-raising prompts of B.3
    "dii",
    "ci",  # RippleEdits, Cohen et al. 2024: Compositionality I and II,
    "cii",
    "sa",  # Subject Aliasing,
    "rs",  # Relation Specificity,
    "lg",  # Logical Generalization,
    "forgetfulness",
    "portability",  # KnowEdit
    "locality",
    "other-relation",  # made for a benchmark: the same subject asked something else,
    "question",  # the fact asked as a question,
    "chat",  # and the same through the model's chat template
    "chat-acc",  # where the own prompt is a question: it in a chat,
    "chat-gen",  # and its paraphrases
    "multi-hop",  # MQuAKE: a question through the edited fact to another one
    "reached",  # other wordings and other languages that ask for the fact,
    "look-alike",  # and what resembles them and must be left alone
]


Message = tuple[str, str]
"""A turn of a conversation: whose it is (system, user, assistant), and what it says."""


@dataclass(frozen=True)
class Query:
    """A prompt and the answers that count as right: sets of names, one set an answer."""

    prompt: str
    answers: tuple[tuple[str, ...], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Every accepted name, of every accepted answer."""
        return tuple(dict.fromkeys(name for answer in self.answers for name in answer))


@dataclass(frozen=True)
class Test:
    """One test of a record.

    Attributes:
        conditions: what the unedited model must know for the test to be fair (RippleEdits);
            None where the data do not say.
        on_edit: the condition is that the edit itself holds (Subject Aliasing).
        alias: of an aliasing test, the other name of the subject that it uses.
        second_relation: of a two-hop test, the relation of the second hop, if the file says.
        kind: the class that its figures are also shown by: of wording, or the language.
        messages: the conversation that it is the last turn of, where it is asked in a chat.
    """

    __test__ = False

    axis: Axis
    query: Query
    conditions: tuple[Query, ...] | None = ()
    on_edit: bool = False
    second_relation: str | None = None
    alias: str | None = None
    kind: str = ""
    messages: tuple[Message, ...] = ()


@dataclass(frozen=True)
class Record:
    """One fact to edit, with its tests.

    Attributes:
        id: the id of its edit file.
        index: its entry's place in the data file, from 0.
        prompt: the record's own prompt, `<subject>` in place of the subject; ends before the
            object.
        relation: the relation's id in the data set (P103, COUNTRY_OF_CITIZENSHIP).
        new_aliases: other names of the new object that count as right.
        paraphrases: wordings that come with the record and are no tests, filled in.
        wordings: further prompts of the edit that the data state, with `<subject>`.
    """

    id: str
    index: int
    subject: str
    relation: str
    prompt: str
    new: str
    old: str | None = None
    new_aliases: tuple[str, ...] = ()
    tests: tuple[Test, ...] = ()
    paraphrases: tuple[str, ...] = ()
    wordings: tuple[str, ...] = ()

    @property
    def filled(self) -> str:
        """The record's own prompt with its subject."""
        return self.prompt.replace(SUBJECT, self.subject)

    @property
    def is_question(self) -> bool:
        """Whether its own prompt asks, and is not completed."""
        return self.prompt.rstrip().endswith(("?", "？", "؟"))

    @property
    def new_names(self) -> tuple[str, ...]:
        return (self.new, *self.new_aliases)

    @property
    def aliases(self) -> tuple[str, ...]:
        """Other names of the subject that its tests use, each once, in order of appearance."""
        aliases: dict[str, str] = {}
        for test in self.tests:
            if test.alias is not None:
                aliases.setdefault(plainly(test.alias), test.alias)
        return tuple(aliases.values())

    def listed(self, aliases: Aliases) -> tuple[str, ...]:
        """Those of them that its edit file states."""
        return self.aliases[::2] if aliases == "half" else ()

    def of(self, *axes: Axis) -> tuple[Test, ...]:
        """Its tests on these axes, in the file's order."""
        return tuple(test for test in self.tests if test.axis in axes)


@dataclass(frozen=True)
class Problem:
    """A record that cannot be used, or only in part: where, and why."""

    index: int
    reason: str

    def __str__(self) -> str:
        return f"record {self.index}: {self.reason}"


@dataclass(frozen=True)
class Resources:
    """What lies beside a data file and serves to write prompts without a language model.

    Attributes:
        patterns: relation id → ParaRel patterns that end in the object, as prompts with
            `<subject>` (Elazar et al. 2021).
        phrases: RippleEdits relation → its phrase with `<subject>`.
        properties: RippleEdits relation → Wikidata property.
        two_hop: (first relation, second relation) → phrase with `<subject>`.
        doubts: the doubt-raising templates, by axis.
        language: of data in several languages, the one that edits are written in.
    """

    patterns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    phrases: dict[str, str] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)
    two_hop: dict[tuple[str, str], str] = field(default_factory=dict)
    doubts: dict[Axis, str] = field(default_factory=dict)
    language: str = "en"


@dataclass(frozen=True)
class DataSet:
    """What was read of a data file: sound records in the file's order, and the other ones.

    `templates` are the prompts of every record (not only the chosen ones) by relation: the
    pool that paraphrases of one record are drawn from. `unanswerable` counts the tests that
    are left out because the file has no answer to them (RippleEdits has many).
    """

    name: str
    records: tuple[Record, ...]
    problems: tuple[Problem, ...]
    templates: dict[str, tuple[str, ...]]
    resources: Resources
    unanswerable: int = 0
