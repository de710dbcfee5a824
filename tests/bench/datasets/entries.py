"""Hand-made records of every format; nothing in them is from a published file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

COUNTERFACT: dict[str, Any] = {
    "case_id": 12,
    "pararel_idx": 3,
    "requested_rewrite": {
        "prompt": "The mother tongue of {} is",
        "relation_id": "P103",
        "target_new": {"str": "Welsh", "id": "Q1"},
        "target_true": {"str": "Danish", "id": "Q2"},
        "subject": "Åse Holm",
    },
    "paraphrase_prompts": [
        "The lake froze that year. Åse Holm, a native speaker of",
        "Page 9. The first language of Åse Holm is",
    ],
    "neighborhood_prompts": ["The mother tongue of Nis Bang is", "Nis Bang, speaker of"],
    "attribute_prompts": [],
    "generation_prompts": [],
}


def counterfact(**rewrite: Any) -> dict[str, Any]:
    """`COUNTERFACT` with another case_id and some fields of its rewrite replaced."""
    case_id = rewrite.pop("case_id", COUNTERFACT["case_id"])
    changed = COUNTERFACT["requested_rewrite"] | rewrite
    return COUNTERFACT | {"case_id": case_id, "requested_rewrite": changed}


def query(prompt: str, *answers: tuple[str, ...], **more: str) -> dict[str, Any]:
    given = [{"value": names[0], "aliases": list(names[1:])} for names in answers]
    return {"prompt": prompt, "answers": given, **more}


def axis(*queries: dict[str, Any], conditions: Any = ()) -> dict[str, Any]:
    return {
        "test_queries": list(queries),
        "test_condition": "OR",
        "condition_queries": None if conditions is None else list(conditions),
    }


# As the authors publish it: objects by Wikidata id, and in the statements.
OFFICIAL: dict[str, Any] = {
    "example_type": "popular",
    "edit": {
        "prompt": "The name of the country of citizenship of Åse Holm is Republic of Malta.",
        "subject_id": "Q10",
        "relation": "COUNTRY_OF_CITIZENSHIP",
        "target_id": "Q11",
        "original_fact": {
            "prompt": "The name of the country of citizenship of Åse Holm is Kingdom of Denmark.",
            "subject_id": "Q10",
            "relation": "COUNTRY_OF_CITIZENSHIP",
            "target_id": "Q12",
        },
    },
    "Relation_Specificity": [
        axis(
            query("The gender of Åse Holm is", ("female", "woman")),
            conditions=[query("The gender of Åse Holm is", ("female", "woman"))],
        )
    ],
    "Logical_Generalization": [
        axis(query("The name of the child of Q is", ("",)), conditions=None),
        axis(query("Åse Holm votes in", ("Malta", "")), conditions=None),
    ],
    "Subject_Aliasing": [
        axis(
            query(
                "The name of the country of citizenship of Aase Holm is",
                ("Republic of Malta", "Malta", "Kingdom of Denmark", ""),
            ),
            conditions=[query("whatever", ("x",))],
        )
    ],
    "Compositionality_I": [
        axis(
            query(
                "The name of the currency in the country of citizenship of Åse Holm is",
                ("euro", "EUR"), ("cent",),
            ),
            conditions=[query("The name of the currency in Republic of Malta is", ("euro",))],
        )
    ],
    "Compositionality_II": [
        axis(query("The name of the country of citizenship of the aunt of Bo is", ("Malta",)))
    ],
    "Forgetfulness": [
        axis(
            query(
                "The name of the country of citizenship of Åse Holm, which is not Malta, is",
                ("Kingdom of Denmark", "Denmark"),
            )
        )
    ],
}  # fmt: skip

PARAPHRASES = [
    "Åse Holm holds the passport of.",
    "",
    "Which country is Åse Holm from?",
    "The state that Åse Holm belongs to is called:",
    "The state that Åse Holm belongs to is known.",
    "Åse Holm, of Denmark, is a citizen of",
    "The state she belongs to is",
    "Åse Holm was stateless.",
    "Name the land of Åse Holm, which is",
]

KNOWEDIT: dict[str, Any] = {
    "subject": "Åse Holm",
    "prompt": "Which university did Åse Holm attend?",
    "target_new": "Uppsala",
    "ground_truth": [["Aarhus", "AU"], ["Lund"]],
    "rephrase_prompt": "Where did Åse Holm study?",
    "portability": {
        "Reasoning": [{"prompt": "Åse Holm studied in which country?", "ground_truth": "Sweden"}],
        "Subject_Aliasing": [{"prompt": "Where did Aase Holm study?", "ground_truth": [""]}],
        "Recalled Relation": "(Uppsala; country; Sweden)",
    },
    "locality": {"Relation_Specificity": {"prompt": "Åse Holm was born in", "ground_truth": "Ry"}},
}

ZSRE: dict[str, Any] = {
    "subject": "Åse Holm",
    "src": "Which university did Åse Holm attend?",
    "pred": "Lund",
    "rephrase": "Where did Åse Holm study?",
    "alt": "Uppsala",
    "answers": ["Aarhus"],
    "loc": "nq question: who wrote the song of the sea",
    "loc_ans": "Nis Bang",
    "cond": "Aarhus >> Uppsala || Which university did Åse Holm attend?",
}

QAEDIT: dict[str, Any] = {
    "id": 3,
    "prompt": "Which university did Åse Holm attend?",
    "target": "Uppsala",
    "subject": "Åse Holm",
    "rephrase": "Where did Åse Holm study?",
    "locality": [{"loc": "who wrote the song of the sea", "loc_ans": "Nis Bang"}],
}


def _rewrite(subject: str, prompt: str, relation: str, new: str, old: str) -> dict[str, Any]:
    return counterfact(
        subject=subject, prompt=prompt, relation_id=relation,
        target_new={"str": new}, target_true={"str": old},
    )["requested_rewrite"] | {"question": f"{prompt.format(subject)} what?"}  # fmt: skip


def _hop(question: str, answer: str) -> dict[str, Any]:
    return {"question": question, "cloze": question, "answer": answer, "answer_alias": []}


MQUAKE: dict[str, Any] = {
    "case_id": 4,
    "requested_rewrite": [
        _rewrite("Åse Holm", "{} is married to", "P26", "Bo Lund", "Nis Bang"),
        _rewrite("Bo Lund", "{} is a citizen of", "P27", "Malta", "Denmark"),
    ],
    "questions": ["Where does Åse Holm's spouse vote?", "Which state is her spouse of?"],
    "new_answer": "Valletta",
    "new_answer_alias": ["Il-Belt"],
    "single_hops": [_hop("Who is Åse Holm's spouse?", "Nis Bang"), _hop("Malta's capital?", "V")],
    "new_single_hops": [
        _hop("Who is Åse Holm's spouse?", "Bo Lund"),
        _hop("Malta's capital?", "V"),
    ],
}

BMIKE: dict[str, Any] = {
    "dataset": "zsRE",
    "case_id": 7,
    "en": {
        "subject": "Åse Holm", "src": "Where was Åse Holm born?", "alt": "Vienna", "old": "Rome",
        "rephrase": "What is Åse Holm's birthplace?", "loc": "Who sang first?", "loc_ans": "Bo",
        "port": "In which country was Åse Holm born?", "port_ans": "Austria",
    },
    "de": {
        "subject": "Aase Holm", "src": "Wo wurde Aase Holm geboren?", "alt": "Wien",
        "rephrase": "Wo kam Aase Holm zur Welt?", "loc": "Wer sang zuerst?", "loc_ans": "Bo",
        "port": "In welchem Land wurde Aase Holm geboren?", "port_ans": "Österreich",
    },
}  # fmt: skip

FIELD: dict[str, Any] = {
    "edits": [
        {
            "id": "holm-phone", "lang": "en", "subject": "Holm & Co", "relation": "phone number",
            "old": None, "new": "555-0147", "aliases": [],
            "prompts": ["The phone number of <subject> is", "You can call <subject> at"],
            "in_scope": ["To phone Holm & Co, dial", "What is the number of Holm & Co?"],
            "out_of_scope": ["Holm & Co was founded in"],
            "chats": [
                {
                    "messages": [
                        {"role": "system", "content": "Be brief."},
                        {"role": "user", "content": "holm & co phone?"},
                    ],
                    "want": "555",
                }
            ],
        },
        {
            "id": "bo-hours", "lang": "de", "subject": "Bo", "relation": "hours", "old": "9 to 5",
            "new": "8 to 4", "prompts": ["<subject> ist offen"], "in_scope": ["Wann öffnet Bo?"],
            "out_of_scope": [],
        },
    ],
    "several": [
        {"prompt": "Bo is not Holm & Co. Call Holm & Co at", "kind": "two subjects", "want": "555"},
        {"prompt": "List facts about Bo:", "kind": "instr", "want": "?"},
    ],
    "unrelated": ["Water boils at"],
}  # fmt: skip

RESOURCES: dict[str, Any] = {
    "pararel_patterns.json": {
        "P103": [
            {"pattern": "The native language of [X] is [Y] ."},
            {"pattern": "[X],  a native speaker of [Y],"},
            {"pattern": "[Y] is the mother tongue of [X]."},
            {"pattern": "[X] is an [Y] speaker."},
        ],
        "P27": [
            {"pattern": "[X] is a citizen of [Y]."},
            {"pattern": "as a citizen of [Y], [X]"},
        ],
        "P1": [{"pattern": "[Y] made [X]"}],
    },
    "rippleedits_relation_templates.json": {
        "COUNTRY_OF_CITIZENSHIP": {
            "pid": "P27",
            "phrase": "The name of the country of citizenship of <subject> is",
        },
        "MOTHER": {"pid": "P25", "phrase": "The name of the mother of <subject> is"},
        "COUNTRY": {
            "pid": "P17",
            "phrase": "The name of the country which <subject> is associated with is",
        },
        "FOLLOWS": {"pid": "P155", "phrase": "<subject> follows"},
        "CURRENCY": {"pid": "P38", "phrase": "The name of the currency in <subject> is"},
        "CAPITAL": {"pid": "P36", "phrase": "The name of the capital city of <subject> is"},
        "NATIVE_LANGUAGE": {"pid": "P03", "phrase": "The mother tongue of <subject> is"},
        "UNCLE": {"pid": "", "phrase": "The name of the uncle of <subject> is"},
    },
    "rippleedits_two_hop_templates.json": {
        "COUNTRY_OF_CITIZENSHIP-CURRENCY": (
            "The name of the currency in the country of citizenship of <subject> is"
        ),
        "COUNTRY_OF_CITIZENSHIP-CAPITAL": (
            "The name of the capital city of the country of citizenship of <subject> is"
        ),
        "MOTHER-MOTHER": "The name of the maternal grandmother of <subject> is",
        "COUNTRY-CAPITAL": (
            "The name of the capital city of the country which <subject> is associated with is"
        ),
        "FOLLOWS-CAPITAL": "The capital of what <subject> follows is",
    },
    "doubt_templates.json": {
        "templates": [
            {"id": "SAKE_D1", "template": "{prompt} {target_new}? No. {Think}: '{prompt}'"},
            {"id": "SAKE_D2", "template": "{prompt} {target_new}? Surely {target_true}:"},
            {"id": "OTHER", "template": "{prompt}"},
        ]
    },
}


def write_data(folder: Path, *entries: Any, resources: bool = True) -> Path:
    """A data file of these entries, with the resources beside it; its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "data.json"
    path.write_text(json.dumps(list(entries)), encoding="utf-8")
    for name, content in RESOURCES.items() if resources else ():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return path
