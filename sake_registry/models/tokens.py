"""An object: its tokens behind a prompt, and where it ends in what was said."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_UNSPACED = frozenset("CJK HIRAGANA KATAKANA HANGUL THAI LAO KHMER MYANMAR TIBETAN".split())
"""Scripts in which a letter behind a name does not make it another one."""


def object_tokens(tokenizer: Any, prompt: str, answer: str) -> tuple[list[int], list[int]]:
    """Token ids of a prompt, and of `answer` after it, in their joint text (invariant 11)."""
    alone = list(tokenizer(prompt, add_special_tokens=True).input_ids)
    joint = list(tokenizer(f"{prompt} {answer}", add_special_tokens=True).input_ids)
    shared = 0
    while shared < min(len(alone), len(joint)) and alone[shared] == joint[shared]:
        shared += 1
    # Tokenizers that close a text with a special token do so behind the object as well.
    closing = alone[shared:]
    ends = len(joint) - len(closing) if closing and joint[-len(closing) :] == closing else None
    tokens = joint[shared:ends]
    return joint[:shared], tokens or joint[-1:]


def text_of(tokenizer: Any, tokens: Iterable[int]) -> str:
    """Token ids as the text on which scope is decided: special tokens, as between the turns of a
    chat, end a line."""
    special = set(tokenizer.all_special_ids)
    runs: list[list[int]] = [[]]
    for token in tokens:
        if token in special:
            runs.append([])
        else:
            runs[-1].append(token)
    return "\n".join(
        tokenizer.decode(run, clean_up_tokenization_spaces=False) for run in runs if run
    )


def object_token(tokenizer: Any, prompt: str, answer: str) -> int:
    """The first token of `answer` after `prompt`, in their joint text (invariant 11)."""
    return object_tokens(tokenizer, prompt, answer)[1][0]


def continues(name: str, rest: str) -> bool:
    """Whether what follows a name in a text makes it another one.

    "sitcom" and "s", "Guinea" and "-Bissau", "help@acme.example" and ".com", "24.11.0" and "-rc1",
    "https://acme.example/" and "form", "5" and "%". Not "$29" and "/month", "24.11.0" and ".",
    "東京" and "の". Half a character ("\ufffd", of a token that holds some of its bytes) counts as
    a letter.
    """
    if not name or not rest:
        return False
    last, word = name[-1], name.split()[-1]
    if _in_word(last) and _begins_word(rest):
        scripts = {_script(last), _script(rest[0])}
        return not scripts & _UNSPACED or scripts == {"KATAKANA"}
    if _IN_ADDRESS.search(word):  # one may end in what joins it to more: "https://acme.example/"
        joins = _ADDRESS_JOINT.fullmatch(last) is not None
        return (joins and _begins_word(rest)) or _ADDRESS.match(rest) is not None
    joint = _NUMBER if last.isdigit() else _WORD
    return joint.match(rest) is not None


_HALF = "\ufffd"
_IN_ADDRESS = re.compile(r"[@/\\_:=#]|\w\.\w|[^\W\d]\d|\d[^\W\d]")
"""In an address, an identifier, a version: what no plain word or number has."""
_ADDRESS = re.compile(r"[-.:/@_&=?#%+~\\]+\w")
_NUMBER = re.compile(r"[-.,:]\d|[%‰°]")
_WORD = re.compile(r"-\w")
_JOINT = re.compile(r"[-\u2010\u2011]+")
"""What may end a text, and joins a name to what follows it: an answer never stops at it."""
_ADDRESS_JOINT = re.compile(r"[-\u2010\u2011/@_&=#+~\\]+")
"""The same behind an address, an identifier or a version; "." and "?" may end a sentence there."""
_ASKED = tuple("?\uff1f\u061f")


def continued(tokenizer: Any, said: Sequence[int], after: Sequence[int]) -> bool | None:
    """Whether the tokens `after` an object's make it another one; None where only what follows
    them tells (nothing yet, or "." and not ". ").

    More than `continues` says: behind "Quaye" a model that said "-" has only words to go on with
    (and behind "acme.example/form" one that said "/"), and a model without a template for chats
    answers a question with a question ("Vietnam?").
    """

    def text(tokens: Sequence[int]) -> str:
        return str(
            tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        )

    name, whole = text(said), text([*said, *after])
    rest = whole[len(name) :] if name and whole.startswith(name) else ""
    if after and not rest:  # a special token, or one that changes how the others read
        return False
    joint = _ADDRESS_JOINT if _IN_ADDRESS.search(name.rpartition(" ")[2]) else _JOINT
    if continues(name, rest) or joint.fullmatch(rest) or rest.lstrip().startswith(_ASKED):
        return True
    return None if all(unicodedata.category(c)[0] in "PS" for c in rest) else False


def _in_word(character: str) -> bool:
    """Letters, the marks on them, digits."""
    return unicodedata.category(character)[0] in "LMN"


def _begins_word(text: str) -> bool:
    return _in_word(text[0]) or text[0] == _HALF


def _script(character: str) -> str:
    """The first word of a character's name, which is its script's for letters."""
    return unicodedata.name(character, "").removeprefix("HALFWIDTH ").split(" ")[0].split("-")[0]
