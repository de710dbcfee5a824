"""`sake test --probe`: what a router would make of wordings that nobody has written yet.

Each edit's own prompts are put into frames that ask the same (greetings, chats, letters, another
name beside it), and into frames that only look as if they did (somebody reached through the
subject, another time, a task, a supposition). The router knows all edits. No language model is
asked, and no frame was among those that the scope detector learned from: an estimate before
production, not a promise. Completions of the edit's own are what is framed, so that wordings of
one's own, as holdout, say more.
"""

from __future__ import annotations

import random
import unicodedata
from typing import TYPE_CHECKING

from sake_registry.asking.routers import routers_of
from sake_registry.data import probes
from sake_registry.names import SUBJECT, fold
from sake_registry.names.languages import of_line
from sake_registry.progress import SILENT
from sake_registry.values import Value

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sake_registry.edits.registry import Registry
    from sake_registry.edits.schema import Edit
    from sake_registry.progress import Progress

ASKING = {
    "wrap": "in other words around it",
    "doubt": "in doubt",
    "before": "behind something else",
    "letter": "at the end of a letter",
    "beside_asks": "with another name beside it",
}
"""Sections of frames in which the fact is asked for."""
ALIKE = {
    "time": "of another time",
    "through": "of somebody reached through the subject",
    "beside": "of somebody else",
    "name": "of a longer name",
    "task": "in a task about a text",
    "if": "as a supposition",
    "why": "about the fact, not for it",
    "mention": "of somebody else, the subject mentioned",
    "chat_after": "answered before, something else asked now",
}
"""Sections of frames in which it is not."""
EACH = 2
"""Frames of a section that an edit is asked."""
OTHER_NAMES = ("Kolvik", "Marta Ilves", "Tarn & Sons", "Ostrava Nord", "Renzo Calabi")


class Probe(Value):
    """A prompt of an edit in a frame, and whether the edit fires there, as it should or not."""

    edit: str
    section: str
    prompt: str
    expected: bool
    fires: bool
    decision_text: str

    @property
    def ok(self) -> bool:
        return self.fires == self.expected


class ProbeReport(Value):
    """The probes of a registry's edits."""

    probes: tuple[Probe, ...]

    def share(self, *, expected: bool, section: str | None = None) -> tuple[int, int]:
        """(probes at which their edit fires, probes) where it should, or should not."""
        some = [p for p in self.probes if p.expected == expected and section in (None, p.section)]
        return sum(p.fires for p in some), len(some)


def probe(registry: Registry, ids: Sequence[str] = (), progress: Progress = SILENT) -> ProbeReport:
    """Ask a registry's router framed prompts of its edits; of a look-alike no edit may fire.

    Args:
        ids: the edits to probe; all active ones if empty.

    Raises:
        EditFileError, InputError: what was given is wrong.
        ModelNotFoundError: the prompt embedder is not on this machine and cannot be fetched.
    """
    registry.sound()
    edits = registry.select(ids)
    routers = routers_of(registry)
    router = routers.router(routers.entry(edit)[0] for edit in registry.active)
    progress.begin("probing", len(edits))
    answered: list[Probe] = []
    for edit in edits:
        framed = list(_framed(edit))
        decisions = router.decide([text for _, text in framed])
        for (section, text), decision in zip(framed, decisions, strict=True):
            expected = section in ASKING
            answered.append(
                Probe(
                    edit=edit.id,
                    section=section,
                    prompt=text,
                    expected=expected,
                    fires=decision.edit == edit.id if expected else decision.edit is not None,
                    decision_text=str(decision),
                )
            )
        progress.advance()
    return ProbeReport(probes=tuple(answered))


def _framed(edit: Edit) -> Iterator[tuple[str, str]]:
    """Texts made of an edit's prompts, by section; the same for the same edit."""
    drawn = random.Random(edit.id)
    stems = [prompt.text for prompt in edit.prompts if SUBJECT in prompt.text]
    if not stems:
        return
    language = _language(" ".join(stems))
    subject = edit.fact.subject.text
    for section in (*ASKING, *ALIKE):
        frames = probes().get(f"{language}.{section}", ())
        for frame in drawn.sample(frames, min(EACH, len(frames))):
            stem, other = drawn.choice(stems), drawn.choice(OTHER_NAMES)
            if section in ("through", "name"):
                yield section, stem.replace(SUBJECT, frame.replace("{S}", subject))
                continue
            asked_of = other if section in ("beside", "mention") else subject
            text = frame.replace("{w}", stem.replace(SUBJECT, asked_of))
            yield section, text.replace("{S}", subject).replace("{Y}", other)


_SCRIPTS = {
    "HIRAGANA": "ja", "KATAKANA": "ja", "HANGUL": "ko", "CJK": "zh", "CYRILLIC": "ru",
    "ARABIC": "ar",
}  # fmt: skip


def _language(text: str) -> str:
    """The language of the frames for a text: English where there are none of its own."""
    scripts = {unicodedata.name(letter, " ").split()[0] for letter in text}
    known = {title.partition(".")[0] for title in probes()}
    likely = [code for script, code in _SCRIPTS.items() if script in scripts]
    return next((code for code in (*likely, *of_line(fold(text))) if code in known), "en")
