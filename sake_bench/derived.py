"""Tests that no data set has, made from its records: the same subject asked something else, and
the same fact asked as a question.

Pure functions; what is drawn hangs on a seed and the record's id alone.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from sake_bench.datasets.importing import property_of
from sake_bench.datasets.overlap import compiled, meets
from sake_bench.datasets.records import Query, Test
from sake_registry.edits.checks import plainly
from sake_registry.names import SUBJECT

if TYPE_CHECKING:
    from sake_bench.datasets.records import DataSet, Record
    from sake_registry.edits.schema import Edit

OTHER_RELATIONS = 5
"""Prompts of other relations a record gets, at most."""

# Which relations can be asked of the subjects of which: of a person, a place, an organisation,
# a work or product. By Wikidata property.
KINDS: tuple[frozenset[str], ...] = (
    frozenset(
        "P19 P20 P27 P39 P101 P103 P106 P108 P136 P140 P264 P413 P641 P937 P1303 P1412".split()
    ),
    frozenset("P17 P30 P36 P37 P131 P138 P190 P276 P463".split()),
    frozenset("P127 P136 P138 P159 P264 P463 P740".split()),
    frozenset("P127 P136 P138 P176 P178 P364 P407 P449 P495".split()),
)

# Relations that the data set asks for in the same or nearly the same words ("X is located in" is
# its country, its continent, its city; "X, created by" its maker, its developer, its owner), or
# of which one tells the other (a physicist's field is physics). That an edit of one answers for
# the other is no fault.
FAMILIES: tuple[frozenset[str], ...] = (
    frozenset(("P17", "P30", "P131", "P276")),
    frozenset(("P127", "P176", "P178")),
    frozenset(("P127", "P463")),
    frozenset(("P495", "P740")),
    frozenset(("P364", "P407")),
    frozenset(("P103", "P1412")),
    frozenset(("P39", "P101", "P106")),
)

# Templates that do not say what they ask for: each would be true of several relations.
VAGUE = frozenset(
    plainly(f"{SUBJECT}{rest}")
    for rest in (
        ", the", " is a", " is a professional", " plays", " performs", ", a native",
        ", by", ", in", " is in", " is within", " can be found in", " is affiliated with",
        " from", ", from", " is from", " was from", ", that was from",
        " is originally from", " was originally from", " originates from", " originated from",
        " is native to", " was native to",
    )
) | {plainly(f"What does {SUBJECT} play? They play")}  # fmt: skip


def other_relations(record: Record, data: DataSet, edit: Edit, seed: int) -> tuple[Test, ...]:
    """Prompts on the record's subject that ask for other relations, in the data's own templates.

    At most `OTHER_RELATIONS`, each of another relation, no two alike. None is among the wordings
    of the record's own relation, its compiled prompts or its paraphrase tests.
    """
    own = property_of(record, data)
    suiting = frozenset[str]().union(*(kind for kind in KINDS if own in kind))
    alike = frozenset((own,)).union(*(family for family in FAMILIES if own in family))
    wordings = data.templates.get(record.relation, ())
    taken = [
        *compiled(edit),
        *(text.replace(SUBJECT, record.subject) for text in wordings),
        *(test.query.prompt for test in record.of("gen")),
    ]
    random_ = random.Random(f"{seed} {record.id}")
    asked = sorted(suiting - alike)
    random_.shuffle(asked)
    found: list[str] = []
    for relation in asked:
        filled = [
            text.replace(SUBJECT, record.subject)
            for text in sorted(data.templates.get(relation, ()))
            if plainly(text) not in VAGUE
        ]
        fresh = [text for text in filled if not any(meets(text, other) for other in taken)]
        if fresh:
            found.append(random_.choice(fresh))
            taken.append(found[-1])
    return tuple(Test("other-relation", Query(text)) for text in found[:OTHER_RELATIONS])


def questions(record: Record, data: DataSet, edit: Edit) -> tuple[Test, ...]:
    """The record's fact as direct questions; none where its relation has no wording here.

    A question that a compiled prompt meets ("X, named for" ends "What is X named for?") is left
    out: it would be no test.
    """
    wordings = QUESTIONS.get(property_of(record, data) or "", ())
    asked = [text.replace(SUBJECT, record.subject) for text in wordings]
    return tuple(
        Test("question", Query(text, (record.new_names,)))
        for text in asked
        if not any(meets(text, other) for other in compiled(edit))
    )


def in_chat(tokenizer: Any, text: str) -> str | None:
    """A text as the user's turn of a conversation, up to where the model's begins.

    None where the tokenizer has no chat template.
    """
    if not getattr(tokenizer, "chat_template", None):
        return None
    told = str(
        tokenizer.apply_chat_template(
            [{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True
        )
    )
    # Encoding puts the beginning of a text before it; a template that has it would have it twice.
    begin = tokenizer.bos_token
    if begin and list(tokenizer("").input_ids)[:1] == [tokenizer.bos_token_id]:
        told = told.removeprefix(begin)
    return told


def _asked(*wordings: str) -> tuple[str, ...]:
    return tuple(text.replace("{}", SUBJECT) for text in wordings)


# By Wikidata property: every relation of CounterFact. None of them is among the questions that
# the router knows (`routing.questions`).
QUESTIONS: dict[str, tuple[str, ...]] = {
    "P17": _asked("In what country can one find {}?", "To which country does {} belong?"),
    "P19": _asked("What is the birthplace of {}?", "In what place did {} come into the world?"),
    "P20": _asked("What was the place of {}'s death?", "In which place did {} pass away?"),
    "P27": _asked("Of which country is {} a citizen?", "What citizenship does {} have?"),
    "P30": _asked("On what continent does {} lie?", "Which continent is {} part of?"),
    "P36": _asked("Which city is the capital of {}?", "What is {}'s capital city called?"),
    "P37": _asked("Which language is official in {}?", "What language has official status in {}?"),
    "P39": _asked("What office did {} hold?", "Which position has {} held?"),
    "P101": _asked("What field did {} work in?", "In which discipline is {} an expert?"),
    "P103": _asked("What is the mother tongue of {}?", "What language did {} grow up speaking?"),
    "P106": _asked("What is the profession of {}?", "What kind of work did {} do for a living?"),
    "P108": _asked("Which employer does {} work for?", "By whom is {} employed?"),
    "P127": _asked("Who is the owner of {}?", "To whom does {} belong?"),
    "P131": _asked("Where exactly is {} located?", "Within which area does {} lie?"),
    "P136": _asked("What is the genre of {}?", "Which genre is {} known for?"),
    "P138": _asked("What is {} named for?", "Where does the name of {} come from?"),
    "P140": _asked("Which religion does {} belong to?", "What faith does {} follow?"),
    "P159": _asked("In what place is {} headquartered?", "Where does {} have its head office?"),
    "P176": _asked("What company builds {}?", "Who is the manufacturer of {}?"),
    "P178": _asked("Which company developed {}?", "Who is the developer of {}?"),
    "P190": _asked("What is the twin city of {}?", "With which city is {} twinned?"),
    "P264": _asked("Which label does {} record for?", "What is the record label of {}?"),
    "P276": _asked("What is the location of {}?", "In which place can {} be found?"),
    "P364": _asked(
        "Which language was {} first made in?", "What language is the original of {} in?"
    ),
    "P407": _asked("What is the language of {}?", "Which language is {} in?"),
    "P413": _asked("In which position does {} play?", "What is {}'s playing position?"),
    "P449": _asked("Which network first aired {}?", "On which channel was {} first shown?"),
    "P463": _asked("Of which organisation is {} a member?", "What group does {} belong to?"),
    "P495": _asked("Where does {} originally come from?", "In which country was {} created?"),
    "P641": _asked("What is {}'s sport?", "Which sport is {} known for playing?"),
    "P740": _asked("In what place was {} founded?", "Where did {} get its start?"),
    "P937": _asked("In what place did {} work?", "Where was {} professionally active?"),
    "P1303": _asked("What instrument is {} known for?", "Which instrument did {} play?"),
    "P1412": _asked("What language does {} use?", "In which language does {} express things?"),
}
