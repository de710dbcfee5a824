"""Writing edit files: from an edit to its canonical text, and `fmt` of a file as it stands.

`fmt` never re-emits a file: it moves whole blocks of lines and replaces single scalars, so a
comment cannot be lost, and it refuses its own result unless it reads back as the same edit.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sake_registry.edits import yamltext
from sake_registry.edits.schema import TYPED, EditFile
from sake_registry.edits.yamltext import scalar

if TYPE_CHECKING:
    from pathlib import Path

MODELINE = "# yaml-language-server: $schema={schema}"
_ORDER = [field.alias or name for name, field in EditFile.model_fields.items()]


def write_edit(edit: EditFile, schema_path: str | None = None) -> str:
    """The canonical text of an edit: fields in the schema's order, defaults left out."""
    data = edit.model_dump(
        by_alias=True, exclude_defaults=True, exclude={"id", "path"}, mode="json"
    )
    data = {key: data[key] for key in _ORDER if key in data}
    lines = [MODELINE.format(schema=schema_path)] if schema_path else []
    for key, value in data.items():
        lines += _emit(key, value, "")
    return "\n".join(lines) + "\n"


def _emit(key: str, value: Any, indent: str) -> list[str]:
    if isinstance(value, dict):
        simple = _simplified(value)
        if not isinstance(simple, dict):
            return [f"{indent}{key}: {_inline(simple, key)}"]
        if all(not isinstance(v, dict) for v in simple.values()) and "text" in simple:
            return [f"{indent}{key}: {flow(simple)}"]
        lines = [f"{indent}{key}:"]
        for k, v in simple.items():
            lines += _emit(k, v, indent + "  ")
        return lines
    if isinstance(value, list):
        if key in ("tags", "aliases"):
            return [f"{indent}{key}: {flow(value)}"]
        lines = [f"{indent}{key}:"]
        for item in value:
            simple = _simplified(item) if isinstance(item, dict) else item
            if isinstance(simple, dict):
                first, *rest = (
                    line for k, v in simple.items() for line in _emit(k, v, indent + "    ")
                )
                lines += [f"{indent}  - {first.strip()}", *rest]
            else:
                lines.append(f"{indent}  - {_inline(simple, key)}")
        return lines
    return [f"{indent}{key}: {_inline(value, key)}"]


def _simplified(value: dict[str, Any]) -> Any:
    """`{text: French}` and `{prompt: …}` are plain text."""
    if len(value) == 1 and (only := next(iter(value))) in ("text", "prompt"):
        return value[only]
    return value


def _inline(value: Any, key: str) -> str:
    typed = isinstance(value, int | float) or key in ("valid_from", "valid_until", "review_by")
    return str(value) if typed else scalar(str(value))


def flow(value: Any) -> str:
    """Text, a list or a mapping of such on one line, as it stands inside of brackets."""
    if isinstance(value, list):
        return f"[{', '.join(map(flow, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {flow(inner)}' for key, inner in value.items())}}}"
    text = scalar(value)
    # Inside {…} and […] a comma or a bracket ends the text, and for some tools a question mark.
    return text if text[0] == '"' or not re.search(r"[,?\[\]{}]", text) else yamltext.quoted(value)


def format_text(text: str, path: Path) -> str:
    """`text` of a sound edit file in canonical form; comments and wording stay.

    Fields come in the schema's order; text that other YAML tools would retype is quoted; trailing
    spaces and blank lines are made uniform. All lines end as the first one does: git, or an
    editor, has its reasons. Indentation is left to the author.
    """
    before = yamltext.read(text.encode(), path)
    if before.findings or not before.value or not isinstance(before.value, dict):
        return text
    first = yamltext.BREAK.search(text)
    result = _tidy(_in_order(_quote(before), path)).replace("\n", first[0] if first else "\n")
    after = yamltext.read(result.encode(), path)
    # A blank line inside a block scalar is text: where tidying would change it, keep the layout.
    return result if after.value == before.value and not after.findings else text


def _quote(document: yamltext.Document) -> str:
    text = document.text
    spans = sorted(document.scalars.items(), key=lambda item: -item[1].start)
    for loc, span in spans:
        written = text[span.start : span.end]
        if not written or not span.plain or loc in TYPED or "\n" in written:
            continue
        if scalar(written) != written:
            text = text[: span.start] + yamltext.quoted(written) + text[span.end :]
    return text


def _in_order(text: str, path: Path) -> str:
    """Top-level fields in the schema's order, each with the comment lines right above it."""
    document = yamltext.read(text.encode(), path)
    lines = text.rstrip().splitlines()
    starts = {}
    for loc, (line, _) in document.keys.items():
        if len(loc) == 1:
            start = line - 1
            while start > 0 and lines[start - 1].startswith("#"):
                start -= 1
            starts[loc[0]] = start
    bounds = sorted(starts.items(), key=lambda item: item[1])
    first, start = bounds[0]
    # A comment block that begins a file speaks of the file (the modeline), not of a field.
    if not any(line.strip() for line in lines[:start]):
        start = document.keys[(first,)][0] - 1
        bounds[0] = (first, start)
    head = lines[:start]
    blocks = {}
    for (key, start), (_, end) in zip(bounds, [*bounds[1:], ("", len(lines))], strict=True):
        blocks[key] = lines[start:end]
    ordered = [blocks[key] for key in _ORDER if key in blocks]
    return "\n".join(head + [line for block in ordered for line in block]) + "\n"


def _tidy(text: str) -> str:
    text = "\n".join(line.rstrip() for line in text.splitlines())
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n") + "\n"
