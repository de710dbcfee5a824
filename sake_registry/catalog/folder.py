"""The pages of a registry in a folder: opened from there, or put on any web server.

    index.html          every edit, searched as one types
    edits/ID.html       one edit; `index.html#ID` leads there
    index.json          what the list says, and `edits/ID.json` all that a page says
    data.js             the list again, for a page that is opened from a disk and may fetch nothing
    site.css, site.js

Guarantees: text stays text, and nothing is loaded from elsewhere (`site.html.j2` has the policy).
Equal registries give equal files on a day; a file that would be the same is not written. In a
folder that holds something else nothing is written, and of an earlier site only pages of edits
that are gone are removed.
"""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sake_registry.catalog.entries import NEEDS, WORDS, Histories, Summary, catalog
from sake_registry.catalog.metrics import fires
from sake_registry.edits.registry import root_of
from sake_registry.edits.schema import ID_PATTERN
from sake_registry.errors import InputError
from sake_registry.files import below, read_bounded, remove, seen_from, write_bytes
from sake_registry.pages.environment import environment
from sake_registry.pages.text import visible
from sake_registry.review.words import FILTERS
from sake_registry.upkeep.status import TITLES
from sake_registry.values import Value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jinja2 import Environment

    from sake_registry.catalog.entries import Catalog

MAX_BYTES = 1 << 28
HELD = {
    "current": "as its file says",
    "stale": "as its file says, under other settings",
    "changed": "in another version",
    "missing": "not yet",
    "gone": "still",
}
"""How a bundle holds an edit."""


class Built(Value):
    """A site that was made: how many edits it shows, and how many files were written and removed.
    `notes` say what could not be looked at."""

    out: Path
    edits: int
    written: int
    removed: int
    notes: tuple[str, ...]


class Site:
    """The pages of the registry at or above `start`, which can be made again when it has changed.

    Args:
        out: the folder; `site` in the registry unless given.
        pointer, metrics: what production follows, and what its servers count.

    Raises:
        InputError: there is no registry.
    """

    def __init__(
        self,
        start: Path | str = ".",
        out: Path | None = None,
        *,
        pointer: str | None = None,
        metrics: Path | None = None,
    ) -> None:
        self.root = root_of(start)
        self.out = out or self.root / "site"
        self._inside = seen_from(self.root, self.out) is not None
        self._gate = self.root if self._inside else self.out
        self._pointer, self._metrics = pointer, metrics
        self._histories = Histories()
        self._said: dict[str, str] = {}
        """What the pages say that this process has written: those need not be made again."""

    def build(self) -> Built:
        """Read the registry, and write what changed.

        Raises:
            InputError: the pointer or the metrics are wrong, or the folder holds something else.
            SetupError, SettingsError: as of `catalog`.
            StateError: a part of the folder is a link.
            StorageError: the disk is full or read-only, or permission is lacking.
        """
        before = self._before()
        made = catalog(
            self.root,
            pointer=self._pointer,
            fires=fires(self._metrics) if self._metrics else None,
            histories=self._histories,
        )
        gone = before - {entry.id for entry in made.edits}
        for id_ in gone:
            for suffix in ("html", "json"):
                remove(self.out / "edits" / f"{id_}.{suffix}", self._gate)
        written = sum(self._write(self.out / name, text) for name, text in self._files(made))
        return Built(
            out=self.out, edits=len(made.edits), written=written, removed=2 * len(gone),
            notes=made.notes,
        )  # fmt: skip

    def _files(self, made: Catalog) -> Iterator[tuple[str, str]]:
        """Every file, by its name. The index is the first: what has one is known for a site."""
        index = {
            **made.model_dump(mode="json", by_alias=True, exclude={"edits"}),
            "needs": NEEDS,
            "words": WORDS,
            "edits": [
                entry.model_dump(mode="json", include=set(Summary.model_fields))
                for entry in made.edits
            ],
        }
        yield "index.json", json.dumps(index) + "\n"
        if self._inside:
            yield ".gitignore", "*\n"
        templates = _templates()
        static: Any = templates.globals["static"]
        yield "site.css", "".join(map(static, ("base.css", "cards.css", "site.css")))
        yield "site.js", static("site.js")
        yield "data.js", f"const registry = {json.dumps(_visible(index), ensure_ascii=False)};\n"
        page = templates.get_template("edit.html.j2")
        # What a page says beside its edit: the registry's name, and the pointer.
        frame = f"{made.name} {made.pointer}"
        before, self._said = self._said, {}
        for entry in made.edits:
            value = {"schema": "site-edit/1", **entry.model_dump(mode="json", by_alias=True)}
            text = json.dumps(value, indent=1) + "\n"
            if frame + text != before.get(entry.id):
                yield f"edits/{entry.id}.json", text
                yield f"edits/{entry.id}.html", page.render(edit=entry, catalog=made)
            self._said[entry.id] = frame + text
        yield (
            "index.html",
            templates.get_template("index.html.j2").render(
                catalog=made,
                counts=_counts(made),
                fired=any(e.fires is not None for e in made.edits),
            ),
        )

    def _write(self, path: Path, text: str) -> bool:
        """Write a file that is not there as it is to be."""
        data = text.encode()
        path = below(self._gate, path)
        if path.is_file() and path.read_bytes() == data:
            return False
        write_bytes(path, data, self._gate, flush=False)
        return True

    def _before(self) -> set[str]:
        """The ids of the edits that an earlier site shows."""
        path = below(self._gate, self.out / "index.json")
        if not self.out.is_dir() or not any(self.out.iterdir()):
            return set()
        try:
            index = json.loads(read_bounded(path, MAX_BYTES))
            if index["schema"] != "site/1":
                raise ValueError(index["schema"])
            ids = {str(edit["id"]) for edit in index["edits"]}
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError(
                f"{self.out} holds something else than a registry's pages",
                hint="name a new folder or an empty one: sake site --out FOLDER",
            ) from error
        return {id_ for id_ in ids if ID_PATTERN.fullmatch(id_)}


def _counts(made: Catalog) -> dict[str, dict[str, int]]:
    """How many edits each choice of a filter would show."""
    status = Counter(entry.status for entry in made.edits)
    needs = Counter(need for entry in made.edits for need in entry.needs)
    tags = Counter(tag for entry in made.edits for tag in entry.tags)
    models = Counter(model for entry in made.edits for model in entry.models)
    return {
        "status": dict(status.most_common()),
        "needs": {need: needs[need] for need in NEEDS if needs[need]},
        "tag": dict(sorted(tags.items())),
        "model": dict(sorted(models.items())),
    }


def _visible(value: Any) -> Any:
    """A JSON value whose texts are as a page shows them."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {key: _visible(inner) for key, inner in value.items()}
    return [_visible(inner) for inner in value] if isinstance(value, list | tuple) else value


@cache
def _templates() -> Environment:
    templates = environment("sake_registry.catalog")
    templates.filters |= FILTERS
    templates.globals |= {"held": HELD, "titles": TITLES, "words": WORDS}
    return templates
