"""Prompts that a change of the registry should not reach, to see what it does to them.

`unrelated` ones are not about the subject of any changed edit: beginnings of ordinary texts, and
the changed edits' prompts about other subjects. None of their answers should change. `nearby`
ones ask other things about a changed edit's subject; a few of them do change, and a reviewer
should see which.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sake_registry.edits.schema import Edit

OTHERS = 12
"""Other subjects that each changed edit's prompts are asked about."""
NEAR = 24
"""Most other questions about each changed edit's subject."""
_SUBJECTS = tuple(
    " ".join(name.split())
    for name in """
    Argentina; Beethoven; Brazil; Cairo; Charles Darwin; Chile; Chopin; Cleopatra; Copenhagen;
    Egypt; Frida Kahlo; Galileo Galilei; Hungary; India; Isaac Newton; Jane Austen; Japan;
    Johann Sebastian Bach; Kenya; Lisbon; Madagascar; Marie Curie; Mexico; Microsoft; Mongolia;
    Napoleon; Nigeria; Pablo Picasso; Peru; Plato; Portugal; Rembrandt; Shakespeare; Thailand;
    Toyota; Turkey; Vienna; Volkswagen; Wolfgang Amadeus Mozart; the Atlantic Ocean; the Eiffel
    Tower; the Great Wall of China; the Nile; the Roman Empire; the United Nations; the bicycle;
    the piano; the printing press; the steam engine; the violin
    """.split(";")
)
_ABOUT = tuple(
    line.strip()
    for line in """
    <subject> is best known for
    <subject> was mentioned in the news because
    A book about <subject> was written by
    A friend of mine says that <subject>
    An article about <subject> was published in
    Few people know that <subject>
    In a film about <subject>, the main character is
    In an encyclopedia, the entry on <subject> begins with
    Many people like <subject> because
    One hundred years ago, <subject>
    The biggest problem with <subject> is
    The colour most often associated with <subject> is
    The first photograph of <subject> was taken in
    The history of <subject> begins in
    The most famous person connected with <subject> is
    The year that mattered most for <subject> was
    """.strip().splitlines()
)
ORDINARY = tuple(
    line.strip()
    for line in """
    After the meeting we decided to
    All the children in the class were
    An apple a day keeps the
    As soon as the train had left the station,
    At the end of the street there is a
    Bake the bread in a hot oven for
    Because it had rained all night, the river
    Before you sign the contract, you should
    Birds migrate south in the winter because
    Boil the water, add the salt, and
    By the time the firemen arrived, the house
    Cats and dogs are the most common
    Chapter one begins with a description of
    Could you please send me the
    Dear Sir or Madam, I am writing to
    Dogs are descended from
    Don't forget to lock the
    Each spring the farmers in the valley
    Every morning she drinks a cup of
    For the first time in many years, the village
    Forests are important because they
    He opened the letter and read that
    Her favourite colour has always been
    His new novel tells the story of
    How to change the tyre of a
    I have lived in this town since
    I would like to book a table for
    If the light is red, you must
    If you mix blue and yellow, you get
    In case of fire, use the
    In order to learn a new language, you need
    In this article we describe a new method for
    In winter the days are shorter and
    It is well known that smoking
    It was a dark and stormy
    Last summer we travelled by car to
    Let x be a real number such that
    Many people believe that the moon
    Most of the energy that plants need comes from
    My grandmother used to say that
    My phone does not charge, and I
    Never leave the house without a
    Nobody knows why the old lighthouse
    On Monday the shop opens at
    Once upon a time there was a
    One of the oldest instruments is the
    Our company offers a wide range of
    Out of the window she could see the
    Plants need water, air and
    Please answer the following question:
    Press the green button to
    Rice is grown in fields that
    Several students asked whether the exam
    She put the keys on the table and
    Snow began to fall as the two friends
    Some of the paintings in the museum are
    Sound travels faster in water than in
    Spring is the season in which
    Stir the sauce until it
    Take two tablets a day after
    Thank you very much for your
    The actor forgot his lines, so
    The bus was late, and the passengers
    The cat sat on the
    The colour of the sky at sunset is
    The committee will meet again in
    The doctor told him to
    The dog barked at the
    The door of the old barn
    The engine would not start because
    The first thing to do in the morning is
    The following table shows the
    The garden behind the house is full of
    The heart pumps blood through the
    The judge asked the witness whether
    The largest animal that lives on land is the
    The library is closed on
    The main ingredients of the soup are
    The moon is smaller than the
    The museum was built more than a hundred
    The new bridge connects the island with
    The number of hours in a day is
    The opposite of hot is
    The patient complained about pain in
    The price of the ticket includes
    The recipe calls for two cups of
    The report was published in the journal
    The road to the mountain hut is
    The second law of thermodynamics says that
    The ship sank in a storm off the coast of
    The square root of nine is
    The teacher wrote on the blackboard:
    The team won the match by
    The temperature today will reach
    The train leaves from platform
    The weather on Tuesday was
    The winner of the race received a
    There are seven days in a
    They named their daughter after
    This book is about a boy who
    This function returns the number of
    To be or not to
    To open the file, click on
    Two plus two is
    Water freezes at a temperature of
    We apologise for the delay, which was caused by
    We walked along the beach until
    What I like best about autumn is
    When the music stopped, everybody
    When you cross the street, look
    While he was cooking, the telephone
    Winter coats are made of
    With great power comes great
    Yesterday evening I watched a film about
    You can pay by cash or by
    You should drink more water because
    """.strip().splitlines()
)


def unrelated(changed: Sequence[Edit], others: Sequence[Edit], seed: int = 0) -> list[str]:
    """The sample: `ORDINARY`, and prompts of `changed` about the subjects of `others` and well
    known ones. No prompt of it names a subject of a changed edit. The same for the same edits."""
    random_ = random.Random(seed)
    mine = {name for edit in changed for name in edit.fact.subject.all}
    subjects = list(dict.fromkeys([edit.subject for edit in others] + list(_SUBJECTS)))
    free = [s for s in subjects if not any(s in name or name in s for name in mine)]
    found = [text for text in ORDINARY if not any(name in text for name in mine)]
    for edit in changed:
        for subject in random_.sample(free, min(len(free), OTHERS)):
            found.append(edit.fill(random_.choice(edit.prompts).text, subject))
    return list(dict.fromkeys(found))


def nearby(edit: Edit, others: Sequence[Edit], seed: int = 0) -> list[str]:
    """Other questions about an edit's subject: general ones, and the first prompts of edits of
    other relations, asked about this subject. None that the edit itself lists."""
    said = {p.text for p in (*edit.prompts, *edit.holdout)}
    listed = {edit.fill(text) for text in said}
    listed |= {edit.fill(i.prompt) for i in edit.implications}
    listed |= {edit.fill(u.prompt) for u in edit.unchanged}
    relation = edit.fact.relation
    foreign = [
        other.prompts[0].text
        for other in others
        if other.fact.relation.text != relation.text and other.subject != edit.subject
    ]
    room = NEAR - len(_ABOUT)
    drawn = random.Random(seed).sample(foreign, min(len(foreign), room))
    texts = dict.fromkeys(edit.fill(text) for text in (*_ABOUT, *drawn))
    return [text for text in texts if text not in listed]
