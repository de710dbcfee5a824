"""What every code of a finding means, for somebody who knows the facts and not the model.

One entry per code: what it says, why it matters, an example that gives it and the same one
mended. Examples are the part of an edit file that they are about; `complete` makes a whole file
of one. That each gives its code and no other is tested.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sake_registry.diagnostics import CODES, FIXED, NOT_IGNORED, default_severity
from sake_registry.errors import InputError
from sake_registry.wording import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

Example = dict[str, str]
"""Parts of files by the files' names in the folder of edits."""

_BASE = {
    "schema": "schema: 1\n",
    "fact": (
        "fact:\n"
        "  subject: Danielle Darrieux\n"
        "  relation: mother tongue\n"
        "  old: French\n"
        "  new: English\n"
    ),
    "prompts": (
        "prompts:\n  - The mother tongue of <subject> is\n  - <subject> is a native speaker of\n"
    ),
}


@dataclass(frozen=True)
class Explanation:
    """One code: what it says, why that matters, and an example, wrong and mended."""

    code: str
    meaning: str
    why: str
    wrong: Example
    mended: Example
    encoding: str = field(default="utf-8", repr=False)
    """Of the wrong example's files."""

    @property
    def title(self) -> str:
        return CODES[self.code]

    @property
    def severity(self) -> str:
        return default_severity(self.code)

    @property
    def settable(self) -> bool:
        """Whether `[checks]` in `sake.toml` may make it a warning, or turn it off."""
        return self.code not in FIXED

    @property
    def ignorable(self) -> bool:
        """Whether `# sake: ignore[…]` in a file can hide it."""
        return self.code not in NOT_IGNORED

    def as_json(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "title": self.title,
            "severity": self.severity,
            "settable": self.settable,
            "ignorable": self.ignorable,
            "meaning": self.meaning,
            "why": self.why,
            "wrong": self.wrong,
            "mended": self.mended,
        }


def explain(code: str) -> Explanation:
    """The explanation of a code, in either case of letters.

    Raises:
        InputError: there is no such code.
    """
    found = EXPLANATIONS.get(code.upper())
    if found is None:
        near = nearest(code.upper(), EXPLANATIONS)
        hint = f"did you mean '{near}'?" if near else "`sake explain` lists the codes"
        raise InputError(f"there is no code '{code}'", hint=hint)
    return found


def complete(part: str) -> str:
    """A whole edit file around the part of one that an example shows."""
    given = set(re.findall(r"^(\w+):", part, re.M))
    return "".join(text for key, text in _BASE.items() if key not in given) + part


def settled(example: Mapping[str, str]) -> str:
    """An example as it is shown: the text, under the files' names where these matter."""
    if list(example) == [_FILE]:
        return example[_FILE]
    return "\n".join(f"# edits/{name}\n{text}" for name, text in example.items())


IGNORED = (
    "prompts:\n"
    "  # sake: ignore[SAKE111] it speaks of the films\n"
    "  - Although most of the films were in English, <subject> spoke\n"
)
"""A part of a file with a finding that a comment hides."""
_FILE = "darrieux-tongue.yaml"
_PROMPTS = "prompts:\n  - The mother tongue of <subject> is\n"
_FACT = "fact:\n  subject: {}\n  relation: mother tongue\n  old: French\n  new: {}\n"


def _told(
    code: str,
    meaning: str,
    why: str,
    wrong: str | Example,
    mended: str | Example,
    encoding: str = "utf-8",
) -> Explanation:
    files = [{_FILE: example} if isinstance(example, str) else example
             for example in (wrong, mended)]  # fmt: skip
    return Explanation(code, meaning, why, files[0], files[1], encoding)


_ALL = (
    _told(
        "SAKE001",
        "The file cannot be read: it is not UTF-8, is larger than 1 MiB, or may not be opened.",
        "Nothing of it can be checked or compiled. Editors on Windows may save in an older "
        "encoding, which turns é into another byte.",
        _FACT.format("Zoé Oldenbourg", "English") + "# saved as Latin-1\n",
        _FACT.format("Zoé Oldenbourg", "English") + "# saved as UTF-8\n",
        "latin-1",
    ),
    _told(
        "SAKE002",
        "The file is not valid YAML: brackets or quotation marks that are not closed, a tab as "
        "indentation, a missing colon, text that begins with a character that YAML keeps to "
        "itself, marker lines that a merge left.",
        "What the file says cannot be known, so no edit is made of it. The hint shows the line "
        "as it most likely is meant.",
        "prompts:\n  - [The mother tongue of <subject> is\n",
        _PROMPTS,
    ),
    _told(
        "SAKE003",
        "A key stands twice in the same place.",
        "YAML tools silently take one of the two, and not all of them the same one.",
        "tags: [film]\ntags: [France]\n",
        "tags: [film, France]\n",
    ),
    _told(
        "SAKE004",
        "A feature of YAML that edit files do not use: an anchor (&), an alias (*), a tag (!), a "
        "second document (---), nesting without end.",
        "They make a file mean something that it does not show. Mostly they are meant as text, "
        "which needs quotes.",
        _FACT.format("Danielle Darrieux", "!Kung"),
        _FACT.format("Danielle Darrieux", '"!Kung"'),
    ),
    _told(
        "SAKE005",
        "Text that YAML takes for something else: what follows a # is cut off as a comment, what "
        "holds a colon becomes a mapping, what stands in brackets a list.",
        "The prompt would be compiled without its end, or not at all, and nobody would see it in "
        "the review.",
        "prompts:\n  - The #1 language of <subject> is\n",
        'prompts:\n  - "The #1 language of <subject> is"\n',
    ),
    _told(
        "SAKE006",
        "The file's name cannot be an id: lower-case letters, digits and hyphens, first a letter "
        "or digit.",
        "The name is the edit's id everywhere: on the command line, in bundles, in addresses.",
        {"Darrieux_Tongue.yaml": "schema: 1\n"},
        {"darrieux-tongue.yaml": "schema: 1\n"},
    ),
    _told(
        "SAKE101",
        "A key that edit files do not have; the nearest known one is offered.",
        "A misspelt key would be silently left out. A key of your own can be kept with an ignore "
        "comment; better is a tag.",
        "lifecycle:\n  valid_form: 2026-11-22\n",
        "lifecycle:\n  valid_from: 2026-11-22\n",
    ),
    _told(
        "SAKE102",
        "A required field is missing or has no value.",
        "Without subject, relation, new object and at least one prompt there is nothing to "
        "compile.",
        "fact:\n  subject: Danielle Darrieux\n  relation: mother tongue\n  old: French\n",
        _FACT.format("Danielle Darrieux", "English"),
    ),
    _told(
        "SAKE103",
        "A value of the wrong kind: a date that is none, a status that does not exist, text where "
        "a list is expected.",
        "The field would mean something other than what is written.",
        "lifecycle:\n  valid_from: 22 November 2026\n",
        "lifecycle:\n  valid_from: 2026-11-22\n",
    ),
    _told(
        "SAKE104",
        "The new object is the old one, by one of its names.",
        "Such an edit changes nothing, or shows that one of the two is a slip.",
        "fact:\n  subject: Danielle Darrieux\n  relation: mother tongue\n"
        "  old: French\n  new: french\n",
        _FACT.format("Danielle Darrieux", "English"),
    ),
    _told(
        "SAKE105",
        "A prompt does not name its subject.",
        "Every prompt carries <subject>, so that the edit is tied to it and not to every question "
        "of this kind.",
        "prompts:\n  - Her mother tongue is\n",
        _PROMPTS,
    ),
    _told(
        "SAKE106",
        "A prompt writes the subject's name instead of <subject>.",
        "With <subject>, aliases are filled in too, and the router knows where the name stands.",
        "prompts:\n  - The mother tongue of Danielle Darrieux is\n",
        _PROMPTS,
    ),
    _told(
        "SAKE107",
        "A placeholder that is not known: only <subject> is replaced.",
        "The model would read the brackets as they stand.",
        "prompts:\n  - The mother tongue of <subject>, said <speaker>, is\n",
        "prompts:\n  - The mother tongue of <subject>, they said, is\n",
    ),
    _told(
        "SAKE108",
        "A holdout is also a prompt; capitals, spaces and a final mark make no difference.",
        "Holdouts measure whether the edit holds for wordings that it was not compiled from. One "
        "that was compiled measures nothing.",
        _PROMPTS + "holdout:\n  - the mother tongue of <subject> is\n",
        _PROMPTS + "holdout:\n  - As a child <subject> spoke\n",
    ),
    _told(
        "SAKE109",
        "The same prompt stands twice in one list.",
        "It would count twice in the compiled map, or in the measurement.",
        _PROMPTS + "  - The mother tongue of <subject> is\n",
        _PROMPTS + "  - The language that <subject> spoke first was\n",
    ),
    _told(
        "SAKE110",
        "An implication has the same answer before and after the edit.",
        "What follows from an edit changes with it. What stays belongs under `unchanged`, where "
        "it is guarded.",
        "implications:\n  - prompt: <subject> was a citizen of\n    old: France\n    new: France\n",
        "unchanged:\n  - <subject> was a citizen of\n",
    ),
    _told(
        "SAKE111",
        "A prompt already contains the new object.",
        "The model may repeat it without believing it, and the test passes for nothing. Where "
        "the word has to stand there, ignore the finding with a comment.",
        "prompts:\n  - The English actress <subject> is a native speaker of\n",
        "prompts:\n  - The actress <subject> is a native speaker of\n",
    ),
    _told(
        "SAKE112",
        "A source is not a URL.",
        "A reviewer should be able to open what shows the fact.",
        "provenance:\n  sources:\n    - the encyclopedia\n",
        "provenance:\n  sources:\n    - https://example.org/darrieux\n",
    ),
    _told(
        "SAKE113",
        "valid_until is before valid_from.",
        "The edit would never be in force.",
        "lifecycle:\n  valid_from: 2026-11-22\n  valid_until: 2026-01-31\n",
        "lifecycle:\n  valid_from: 2026-01-31\n  valid_until: 2099-11-22\n",
    ),
    _told(
        "SAKE114",
        "The subject cannot be found in a prompt as a whole name: it stands beside something that "
        "makes it a part of a longer one.",
        "The router would take the prompt for one about something else, and the edit would not "
        "fire.",
        "prompts:\n  - The mother tongue of <subject> Junior is\n",
        _PROMPTS,
    ),
    _told(
        "SAKE115",
        "A prompt is to be changed and to stay unchanged.",
        "Both cannot be; the edit would fight itself.",
        _PROMPTS + "unchanged:\n  - The mother tongue of Danielle Darrieux is\n",
        _PROMPTS + "unchanged:\n  - The mother tongue of Michel Rocard is\n",
    ),
    _told(
        "SAKE116",
        "A prompt is a question.",
        "A prompt is text that the object completes at once. After a question the model begins a "
        "sentence, and the object does not come next.",
        "prompts:\n  - What is the mother tongue of <subject>?\n",
        _PROMPTS,
    ),
    _told(
        "SAKE117",
        "valid_until is past: the edit has expired.",
        "It still stands in the registry and changes no answer any more. Withdraw it, or give it "
        "a later day.",
        "lifecycle:\n  valid_until: 2020-12-31\n",
        "lifecycle:\n  valid_until: 2099-12-31\n",
    ),
    _told(
        "SAKE118",
        "review_by is past: somebody wanted to look at the edit again by then.",
        "Facts grow old. See whether it still holds, then write the next day, or withdraw it.",
        "lifecycle:\n  review_by: 2020-12-31\n",
        "lifecycle:\n  review_by: 2099-12-31\n",
    ),
    _told(
        "SAKE119",
        "Unquoted text that other YAML tools read as a number, a date or a truth value.",
        "Here a file says text and nothing else, but other programs that read the registry would "
        "see `false` where it says NO. `sake fmt` quotes such text.",
        _FACT.format("Danielle Darrieux", "NO"),
        _FACT.format("Danielle Darrieux", '"NO"'),
    ),
    _told(
        "SAKE120",
        "An ignore comment that does not say why.",
        "Whoever reads the file next cannot know whether it is still right to ignore this.",
        "provenance:\n  sources:\n    - the encyclopedia  # sake: ignore[SAKE112]\n",
        "provenance:\n  sources:\n    - the encyclopedia  # sake: ignore[SAKE112] only in print\n",
    ),
    _told(
        "SAKE121",
        "An ignore comment that hides nothing in its line.",
        "What it once hid is mended, or it stands in the wrong line: at the end of a line it "
        "speaks of that line, on a line of its own of the next one.",
        "tags: [film]  # sake: ignore[SAKE112] only in print\n",
        "tags: [film]\n",
    ),
    _told(
        "SAKE122",
        "An ignore comment that cannot be followed: it names no code, one that does not exist, or "
        "one that cannot be ignored.",
        "The finding it is about stays, or will come back unseen.",
        "tags: [film]  # sake: ignore[SAKE102] later\n",
        "tags: [film]\n",
    ),
    _told(
        "SAKE201",
        "Two files give the same id.",
        "An id is unique over all folders of the registry: commands and bundles know an edit by "
        "it alone.",
        {"film/darrieux.yaml": "schema: 1\n", "people/darrieux.yaml": "schema: 1\n"},
        {"film/darrieux.yaml": "schema: 1\n"},
    ),
    _told(
        "SAKE202",
        "Two edits give one subject and relation different objects, on the same days.",
        "Which of the two answers would be given is a matter of chance.",
        {
            "darrieux-english.yaml": _FACT.format("Danielle Darrieux", "English"),
            "darrieux-german.yaml": _FACT.format("Danielle Darrieux", "German"),
        },
        {
            "darrieux-english.yaml": _FACT.format("Danielle Darrieux", "English"),
            "darrieux-german.yaml": _FACT.format("Danielle Darrieux", "German")
            + "lifecycle:\n  status: withdrawn\n",
        },
    ),
    _told(
        "SAKE203",
        "One fact stands in two files.",
        "Reverting or changing one of the two would leave the other in force.",
        {
            "darrieux.yaml": _FACT.format("Danielle Darrieux", "English"),
            "darrieux-tongue.yaml": _FACT.format("Danielle Darrieux", "English"),
        },
        {"darrieux-tongue.yaml": _FACT.format("Danielle Darrieux", "English")},
    ),
    _told(
        "SAKE204",
        "The registry holds no edit files.",
        "A registry begins so, and is so again without its last edit: a bundle of it changes no "
        "answer. Where there should be edits, `edits` in `sake.toml` names another folder.",
        {},
        _FACT.format("Danielle Darrieux", "English"),
    ),
)
EXPLANATIONS: dict[str, Explanation] = {explanation.code: explanation for explanation in _ALL}


def page() -> str:
    """All explanations as a page of Markdown."""
    lines = [
        "# What `sake check` finds",
        "",
        "One section for each code, as `sake explain CODE` shows it; a code never changes its",
        "meaning. This page is generated.",
        "",
        "Where a finding is not as bad for your registry, or worse, say so in `sake.toml`:",
        "",
        "```toml",
        "[checks]",
        'SAKE116 = "error"',
        'SAKE118 = "off"',
        "```",
        "",
        "A single finding is ignored by a comment that says why, at the end of its line or on the",
        "line above it. Several codes are separated by commas.",
        "",
        "```yaml",
        IGNORED.rstrip("\n"),
        "```",
        "",
        "| code | what | usually | can be set | can be ignored |",
        "|---|---|---|---|---|",
    ]
    for one in EXPLANATIONS.values():
        can = ("yes" if able else "no" for able in (one.settable, one.ignorable))
        title = one.title.replace("<subject>", "`<subject>`").replace(
            "<placeholder>", "`<placeholder>`"
        )
        cells = (f"[{one.code}](#{one.code.lower()})", title, one.severity, *can)
        lines.append(f"| {' | '.join(cells)} |")
    for one in EXPLANATIONS.values():
        meaning, why = (re.sub(r"(<\w+>)", r"`\1`", text) for text in (one.meaning, one.why))
        lines += ["", f"## {one.code}", "", f"{meaning} {why}"]
        for label, example in (("Wrong", one.wrong), ("Mended", one.mended)):
            if example:
                lines += ["", f"{label}:", "", "```yaml", settled(example).rstrip("\n"), "```"]
    return "\n".join(lines) + "\n"
