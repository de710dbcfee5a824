"""What hypothesis makes: texts that YAML could mistake, edits, edit files as people type them."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

from sake_registry.edits.checks import plainly
from sake_registry.edits.schema import Edit
from sake_registry.names import SUBJECT, find
from sake_registry.wording import CONTROL

# Any text that a UTF-8 file can hold.
any_text = st.text(st.characters(exclude_categories=["Cs"]))
# Characters that mean something in YAML, or that its 1.1 resolver turns into other types.
tricky_text = st.text(
    st.sampled_from(
        list("0123456789:.-+_eExXob~ #,[]{}&*!|>'\"%@`?=<\\/ \t\n\x85\u2028\ufeff\x7fnNoOyYé😀")
    )
)
words = st.sampled_from(
    "NO no Yes on OFF null ~ 1984 3.10 12:30:45 0x1F 0o17 1e3 1_000 .inf 2026-11-22 = << y "
    "--- ... - ? : # - a: ? a: :a a# C# a#b a:b %a @a `a &a *a !a |a >a [a] {a} a,b".split()
)
texts = st.one_of(any_text, tricky_text, words)

# What the schema takes as a text, on one line: it strips spaces, and refuses what is then empty.
fields = texts.map(lambda text: CONTROL.sub("", text).replace("\n", " ").strip()).filter(bool)
fillers = st.sampled_from(
    "the mother tongue of, a 1984 film by # one: [two] {three} 'four' \"five\" – ＃ é 😀".split()
)


@st.composite
def prompts(draw: st.DrawFn) -> str:
    """A prompt without capitals, so that no name of a subject or object stands in it."""
    before = draw(st.lists(fillers, max_size=3))
    after = draw(st.lists(fillers, min_size=1, max_size=4))
    return " ".join([*before, SUBJECT, *after])


def named(name: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    alias = st.one_of(name, st.fixed_dictionaries({"text": name, "by": fields}))
    aliases = st.lists(alias, max_size=2)
    return st.one_of(name, st.fixed_dictionaries({"text": name, "aliases": aliases}))


def optional(**parts: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=parts)


days = st.dates(date(2000, 1, 1), date(2100, 1, 1)).map(str)
lifecycles = optional(
    status=st.sampled_from(["draft", "active", "withdrawn"]), valid_from=days, review_by=days
)


@st.composite
def edits(draw: st.DrawFn) -> Edit:
    """A sound edit: a prompt has its name. Names are marked so that old, new and subject differ."""
    asked = draw(st.lists(prompts(), min_size=1, max_size=5, unique_by=plainly))
    cut = draw(st.integers(1, len(asked)))
    generated = st.fixed_dictionaries({"by": fields})
    edit = Edit.model_validate(
        {
            "schema": 1,
            "id": "x",
            "path": Path("x.yaml"),
            "fact": {
                "subject": draw(named(fields.map("S{}".format))),
                "relation": draw(st.one_of(fields, st.builds(_relation, fields, fields))),
                "old": draw(st.one_of(st.none(), named(fields.map("Old {}".format)))),
                "new": draw(named(fields.map("New {}".format))),
            },
            "prompts": [draw(generated) | {"text": p} if len(p) % 2 else p for p in asked[:cut]],
            "holdout": asked[cut:],
            "implications": draw(
                st.lists(
                    st.fixed_dictionaries(
                        {"prompt": fields, "new": named(fields.map("New {}".format))},
                        optional={
                            "old": named(fields.map("Old {}".format)),
                            "by": fields,
                            "reason": fields,
                        },
                    ),
                    max_size=2,
                )
            ),
            "unchanged": draw(
                st.lists(
                    st.one_of(
                        fields,
                        st.fixed_dictionaries(
                            {"prompt": fields}, optional={"answer": fields, "by": fields}
                        ),
                    ),
                    max_size=3,
                )
            ),
            "provenance": draw(optional(reason=fields, sources=st.lists(fields, max_size=2))),
            "lifecycle": draw(lifecycles),
            "tags": draw(st.lists(fields, max_size=3)),
            "scope": draw(
                optional(
                    router=st.sampled_from(["anchored", "centre"]),
                    threshold=st.floats(min_value=0, exclude_min=True, allow_infinity=False),
                )
            ),
        }
    )
    assume(any(find(edit.fill(prompt.text), edit.fact.subject.all) for prompt in edit.prompts))
    return edit


def _relation(text: str, id_: str) -> dict[str, str]:
    return {"text": text, "id": id_}


@st.composite
def edit_files(draw: st.DrawFn) -> str:
    """A sound edit file as people type them: fields in any order, comments and blanks anywhere."""
    texts_ = st.sampled_from(
        ["English", "1984", "NO", "~", "'quoted'", '"The #1 hit"', "über  all", "3.10", "a"]
    )
    blocks = [
        ["schema: 1"],
        ["fact:", "  subject: Danielle Darrieux", "  relation: mother tongue",
         f"  old: Old {draw(st.integers(0, 9))}", f"  new: {draw(texts_)}"],
        ["prompts:", "  - The mother tongue of <subject> is", "  - '<subject> speaks'"],
    ]  # fmt: skip
    further = [
        ["holdout: [<subject> knows, <subject> likes]"],
        ["unchanged:", "- 1984", "- prompt: The sky is", f"  answer: {draw(texts_)}"],
        ["provenance:", "  reason: |", "    One reason # and", "", "    another.", "  sources: []"],
        ["tags:", f"  [demo, {draw(st.sampled_from(['1', 'NO', 'a']))}]"],
        ["lifecycle: {status: draft, valid_from: 2026-11-22}"],
        ["implications:", "  - new: yes", "    prompt: <subject> was born in"],
    ]
    blocks += draw(st.lists(st.sampled_from(further), unique_by=lambda block: block[0]))
    remark = st.sampled_from(
        ["", "", "# a comment", "#no space", "  # indented", "# schema: 1", "   ", "## two"]
    )
    lines = draw(st.lists(remark, max_size=3))
    for number, block in enumerate(draw(st.permutations(blocks))):
        for line in block:
            in_block_scalar = "reason" in block[1] if len(block) > 1 else False
            tail = "" if in_block_scalar else draw(st.sampled_from(["", "", "  # beside", "   "]))
            lines.append(line + tail)
            if not in_block_scalar:
                lines += [f"{remark_} # {number}" if remark_.strip() else remark_
                          for remark_ in draw(st.lists(remark, max_size=2))]  # fmt: skip
    end = draw(st.sampled_from(["\n", "", "\n\n", "\r\n"]))
    separator = "\r\n" if end == "\r\n" else "\n"
    return separator.join(lines) + end
