"""What every code of a finding means; the texts and examples are in `data/explanations.yaml`.

That each example gives its code and no other, and the mended one nothing, is tested.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from pydantic import Field

from sake_registry import data
from sake_registry.diagnostics import CODES, FIXED, NOT_IGNORED, default_severity
from sake_registry.errors import InputError
from sake_registry.values import Value
from sake_registry.wording import nearest

Example = Mapping[str, str]
"""Parts of files by the files' names in the folder of edits."""
FILE = "darrieux-tongue.yaml"
"""The file of an example that needs no particular name."""


class Explanation(Value):
    """One code: what it says, why that matters, and an example, wrong and mended.

    Attributes:
        settable: whether `[checks]` in `sake.toml` may make it a warning, or turn it off.
        ignorable: whether `# sake: ignore[…]` in a file can hide it.
        encoding: of the wrong example's files; not shown.
    """

    code: str
    title: str
    severity: str
    settable: bool
    ignorable: bool
    meaning: str
    why: str
    wrong: Example
    mended: Example
    encoding: str = Field("utf-8", exclude=True)


@cache
def explanations() -> dict[str, Explanation]:
    """The explanations by their codes, in order."""
    return {
        code: Explanation(
            code=code,
            title=CODES[code],
            severity=default_severity(code),
            settable=code not in FIXED,
            ignorable=code not in NOT_IGNORED,
            **{key: {FILE: text} if key in ("wrong", "mended") and isinstance(text, str) else text
               for key, text in texts.items()},
        )
        for code, texts in data.explanations().items()
    }  # fmt: skip


def explain(code: str) -> Explanation:
    """The explanation of a code, in either case of letters.

    Raises:
        InputError: there is no such code.
    """
    explained = explanations().get(code.upper())
    if explained is None:
        near = nearest(code.upper(), explanations())
        hint = f"did you mean '{near}'?" if near else "`sake explain` lists the codes"
        raise InputError(f"there is no code '{code}'", hint=hint)
    return explained


def shown(example: Example) -> str:
    """An example as it is shown: the text, under the files' names where these matter."""
    if list(example) == [FILE]:
        return example[FILE]
    return "\n".join(f"# edits/{name}\n{text}" for name, text in example.items())
