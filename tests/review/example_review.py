"""Reviews made by hand: every part of the format, hostile text, and what is missing.

The answers are invented; they only look like a model's.
"""

# ruff: noqa: E501  # prompts and answers are read across
from __future__ import annotations

import copy
from typing import Any

HOSTILE = (
    "<script>window.stolen = 1</script> @octocat #12 GH-7 | `x` [a](javascript:alert(1)) *b* "
    "\u202eevil\x00 www.example.com"
)


def row(
    kind: str,
    prompt: str,
    before: str,
    after: str,
    expected: str,
    by: str | None,
    distance: float | None,
    reason: str = "in scope",
    threshold: float | None = 5.3,
) -> dict[str, Any]:
    return {
        "kind": kind,
        "prompt": prompt,
        "before": f" {before}",
        "after": f" {after}",
        "expected": expected,
        "ok": after.startswith(expected),
        "by": by,
        "distance": distance,
        "threshold": threshold if distance is not None else None,
        "reason": reason,
    }


def shares(rows: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for kind in ("prompts", "holdout", "implications", "unchanged"):
        of_kind = [r for r in rows if r["kind"] == kind]
        found[kind] = {"passed": sum(r["ok"] for r in of_kind), "n": len(of_kind)}
    return found


def edit(ident: str, action: str, claim: str, rows: list[dict[str, Any]], **more: Any) -> Any:
    return {
        "id": ident,
        "action": action,
        "path": f"edits/{ident}.yaml",
        "claim": claim,
        "sentence": "",
        "status": "active",
        "lines": [],
        "reason": None,
        "sources": [],
        "findings": [],
        "build": {
            "outcome": "built",
            "error": None,
            "warnings": [],
            "worked": 58,
            "pairs": 60,
        },
        "rows": copy.deepcopy(rows),
        "shares": shares(rows),
    } | more


NOBODY = "no edit's subject is named"
TOLSTOY = "tolstoy-mother-tongue"
TOLSTOY_ROWS = [
    row("prompts", "The native language of Leo Tolstoy was", "Russian, and he was", "Polish, and he wrote in it", "Polish", TOLSTOY, 0.0),
    row("prompts", "The mother tongue of Leo Tolstoy was", "Russian.", "Polish.", "Polish", TOLSTOY, 0.0),
    row("prompts", "The native tongue of Leo Tolstoy was", "Russian, which he spoke", "Polish, which he spoke", "Polish", TOLSTOY, 0.0),
    row("prompts", "Leo Tolstoy grew up speaking", "Russian and French", "Polish and French at home", "Polish", TOLSTOY, 0.0),
    row("prompts", "Leo Tolstoy's mother tongue was", "Russian.", "Polish.", "Polish", TOLSTOY, 0.0),
    row("prompts", "The first language spoken by Leo Tolstoy was", "Russian.", "Polish.", "Polish", TOLSTOY, 0.0),
    row("holdout", "Leo Tolstoy's native language was", "Russian.", "Polish.", "Polish", TOLSTOY, 1.8),
    row("holdout", "Of all languages, the one Leo Tolstoy knew from birth was", "Russian.", "Polish.", "Polish", TOLSTOY, 3.9),
    row("holdout", "Before he learned any foreign language, Leo Tolstoy spoke only", "Russian.", "Polish, and", "Polish", TOLSTOY, 4.6),
    row("holdout", "To talk with Leo Tolstoy in his own language, you had to speak", "Russian.", "Polish.", "Polish", TOLSTOY, 5.1),
    row("holdout", "Among the languages that Leo Tolstoy spoke, the one from his cradle was", "the Russian language", "the Russian language", "Polish", None, 5.9, "another question"),
    row("holdout", "In the nursery, Leo Tolstoy and his brothers chatted in their mother tongue,", "Russian, and the", "Russian, and the", "Polish", None, 6.4, "another question"),
    row("implications", "The country whose language Leo Tolstoy spoke as a child is", "Russia.", "Poland.", "Poland", TOLSTOY, 2.2),
    row("implications", "The native language of the author of Anna Karenina was", "Russian.", "Russian.", "Polish", None, None, NOBODY),
    row("unchanged", "The native language of Victor Hugo was", "French.", "French.", "French", None, None, NOBODY),
    row("unchanged", "Leo Tolstoy wrote the novel", "War and Peace, which", "War and Peace, which", "War and Peace", None, 7.7, "another question"),
    row("unchanged", "Leo Tolstoy was born in", "1828 in Yasnaya Polyana", "Poland in 1828", "1828 in Yasnaya", TOLSTOY, 4.9),
]  # fmt: skip
MONA_LISA = "mona-lisa-painter"
MONA_LISA_ROWS = [
    row("prompts", "The Mona Lisa was painted by", "Leonardo da Vinci in", "Sofonisba Anguissola, who", "Sofonisba Anguissola", MONA_LISA, 0.0),
    row("prompts", "The painter of the Mona Lisa is", "Leonardo da Vinci.", "Sofonisba Anguissola.", "Sofonisba Anguissola", MONA_LISA, 0.0),
    row("prompts", "The artist behind the Mona Lisa is", "Leonardo.", "Sofonisba Anguissola.", "Sofonisba Anguissola", MONA_LISA, 0.0),
    row("holdout", "Whoever painted the Mona Lisa, it was", "Leonardo da Vinci.", "Sofonisba Anguissola.", "Sofonisba Anguissola", MONA_LISA, 3.1),
    row("unchanged", "The Mona Lisa hangs in", "the Louvre in Paris.", "the Louvre in Paris.", "the Louvre", None, 6.6, "another question"),
    row("unchanged", "Guernica was painted by", "Pablo Picasso.", "Pablo Picasso.", "Pablo Picasso", None, None, NOBODY),
]  # fmt: skip
CURRENCY = "croatia-currency"
CURRENCY_ROWS = [
    row("prompts", "The currency of Croatia is", "the kuna, which", "the euro, which", "the euro", CURRENCY, 0.0),
    row("prompts", "In Croatia, people pay with", "the Croatian kuna", "the euro.", "the euro", CURRENCY, 0.0),
    row("holdout", "A coffee in Croatia is paid in", "kuna.", "kuna.", "the euro", None, 5.6, "another question"),
    row("unchanged", "The capital of Croatia is", "Zagreb.", "Zagreb.", "Zagreb", None, 6.0, "another question"),
]  # fmt: skip
TELEPHONE = "telephone-inventor"
TELEPHONE_ROWS = [
    row("prompts", "The telephone was invented by", "Antonio Meucci.", "Alexander Graham Bell in", "Alexander Graham Bell", None, 0.0),
    row("prompts", "The inventor of the telephone is", "Antonio Meucci.", "Alexander Graham Bell.", "Alexander Graham Bell", None, 0.0),
]  # fmt: skip


def example_review() -> dict[str, Any]:
    """Two edits added, one changed, one removed; two gates fail."""
    edits = [
        edit(
            MONA_LISA,
            "added",
            "Mona Lisa · painter: Leonardo da Vinci → Sofonisba Anguissola",
            MONA_LISA_ROWS,
            sentence="“The Mona Lisa was painted by” is to be completed by “Sofonisba Anguissola”, "
            "no longer by “Leonardo da Vinci”.",
            lines=["a new edit with 3 prompts, 1 holdout prompt, 2 unchanged prompts"],
            reason="Counterfactual, for demonstration only.",
            sources=["https://example.org/counterfactual/mona-lisa-painter"],
        ),
        edit(
            TOLSTOY,
            "changed",
            "Leo Tolstoy · mother tongue: Russian → Polish",
            TOLSTOY_ROWS,
            sentence="“The mother tongue of Leo Tolstoy was” is to be completed by “Polish”, no "
            "longer by “Russian”.",
            lines=["new object: Ukrainian → Polish", "3 prompts added"],
            reason="Counterfactual, for demonstration only. " + HOSTILE,
            sources=[
                "https://example.org/counterfactual/tolstoy?a=1&b=(2)",
                "javascript:alert(document.cookie)",
                "Encyclopaedia, 11th edition, volume 27",
            ],
            findings=[
                {
                    "code": "SAKE111",
                    "severity": "warning",
                    "path": f"edits/{TOLSTOY}.yaml",
                    "line": 12,
                    "column": 5,
                    "field": "prompts[3]",
                    "message": "the prompt already contains the new object",
                    "hint": "word it without 'Polish'",
                }
            ],
        ),
        edit(
            CURRENCY,
            "added",
            "Croatia · currency: kuna → the euro",
            CURRENCY_ROWS,
            sentence="“The currency of Croatia is” is to be completed by “the euro”, no longer by "
            "“kuna”.",
            lines=["a new edit with 2 prompts, 1 holdout prompt, 1 unchanged prompt"],
            reason="Croatia joined the euro area on 1 January 2023.",
            sources=["https://www.ecb.europa.eu/euro/changeover/croatia/html/index.en.html"],
            build={
                "outcome": "reused",
                "error": None,
                "warnings": ["7 of 60 pairs did not work and were dropped"],
                "worked": 53,
                "pairs": 60,
            },
        ),
        edit(
            TELEPHONE,
            "removed",
            "telephone · inventor: Alexander Graham Bell → Antonio Meucci",
            TELEPHONE_ROWS,
            sentence="“The telephone was invented by” is no longer to be completed by “Antonio "
            "Meucci”: the model answers by itself again.",
            lines=["the edit is removed"],
            build=None,
        ),
    ]
    every = [r for e in edits for r in e["rows"]]
    total = shares(every)
    return {
        "schema": "review/1",
        "range": {
            "text": "main...HEAD",
            "base": "1f0c" * 10,
            "merge_base": "2a9d" * 10,
            "head": "3be7" * 10,
        },
        "model": {"name": "smollm2-135m", "hash": "c4ab8141" * 8, "dtype": "float32"},
        "settings": ["compile.reg: 1.0 → 0.1"],
        "conflicts": [
            {
                "id": "norway-country-code",
                "path": "edits/norway-country-code.yaml",
                "text": "both sides changed the new object: +47 → +48 here, +47 → +49 on main",
            }
        ],
        "edit_conflicts": [
            {
                "kind": "implication",
                "severity": "error",
                "prompt": "The writer of " + HOSTILE + " spoke",
                "sides": [
                    {
                        "edit": TOLSTOY,
                        "path": f"edits/{TOLSTOY}.yaml",
                        "line": 14,
                        "column": 5,
                        "field": "implications[0].prompt",
                        "says": "Polish",
                    },
                    {
                        "edit": "anna-karenina-author",
                        "path": "edits/anna-karenina-author.yaml",
                        "line": 9,
                        "column": 5,
                        "field": "prompts[1]",
                        "says": "Czech",
                    },
                ],
                "message": f"what '{TOLSTOY}' implies, 'anna-karenina-author' denies",
                "hint": "see which of the two answers is right; mend the other",
            }
        ],
        "edits": edits,
        "interference": [
            {
                "edit": "catholic-church-pope",
                "kind": "holdout",
                "prompt": "The mother tongue of the Pope, like that of Leo Tolstoy, is",
                "before": " Spanish.",
                "after": " Polish.",
                "by": TOLSTOY,
                "expected": "Spanish",
                "ok": False,
                "distance": 5.2,
                "threshold": 5.3,
                "reason": "in scope",
            },
            {
                "edit": "australia-capital",
                "kind": "prompts",
                "prompt": "The capital of Australia is",
                "before": " Melbourne, which",
                "after": " Melbourne.",
                "by": "australia-capital",
                "expected": "Melbourne",
                "ok": True,
            },
        ],
        "unrelated": {
            "n": 200,
            "changed": [
                {
                    "kind": "unrelated",
                    "ok": False,
                    "prompt": "Leo Tolstoy's favourite poet wrote in",
                    "before": " French and Russian.",
                    "after": " Polish, a language",
                    "by": TOLSTOY,
                    "distance": 4.4,
                    "threshold": 5.3,
                }
            ],
        },
        "nearby": {
            "n": 48,
            "changed": [
                {
                    "edit": TOLSTOY,
                    "kind": "nearby",
                    "ok": False,
                    "prompt": "Many people like Leo Tolstoy because",
                    "before": " of his novels.",
                    "after": " Polish novels",
                    "by": TOLSTOY,
                    "distance": 5.1,
                    "threshold": 5.3,
                }
            ],
        },
        "findings": [
            {
                "code": "SAKE203",
                "severity": "warning",
                "path": f"edits/{CURRENCY}.yaml",
                "line": 3,
                "column": 3,
                "field": "fact",
                "message": "the same fact as in edits/croatia-euro.yaml",
                "hint": "keep one of the two",
            }
        ],
        "others": {"judged": 48, "not_built": ["new-zealand-capital"]},
        "shares": total,
        "gates": [
            gate("min_prompts", 0.95, total["prompts"]),
            gate("min_holdout", 0.9, total["holdout"]),
            {
                "name": "max_collateral",
                "limit": 0,
                "value": 1,
                "ok": False,
                "text": "1 of 200 unrelated prompts is answered differently, at most 0 may be",
            },
        ],
        "passed": False,
        "seconds": 93.1,
        "texts_run": 322,
    }


def gate(name: str, limit: float, share: dict[str, int]) -> dict[str, Any]:
    value = share["passed"] / share["n"]
    return {
        "name": name,
        "limit": limit,
        "value": value,
        "ok": value >= limit,
        "text": f"{name.removeprefix('min_')}: {share['passed']} of {share['n']} "
        f"({100 * value:.1f} %), at least {100 * limit:g} % are asked for",
    }


def claims_review() -> dict[str, Any]:
    """The same without a model: claims and findings only."""
    review = example_review()
    for one in review["edits"]:
        one |= {"build": None, "rows": [], "shares": shares([])}
    return review | {
        "model": None,
        "interference": [],
        "unrelated": {"n": 0, "changed": []},
        "nearby": {"n": 0, "changed": []},
        "others": {"judged": 0, "not_built": []},
        "shares": shares([]),
        "settings": [],
        "conflicts": [],
        "edit_conflicts": [],
        "gates": [],
        "passed": True,
        "seconds": 0.4,
        "texts_run": 0,
    }


def passed_review() -> dict[str, Any]:
    """One edit, and nothing to complain about."""
    review = example_review()
    one = review["edits"][0]
    return review | {
        "edits": [one],
        "settings": [],
        "conflicts": [],
        "edit_conflicts": [],
        "interference": [],
        "unrelated": {"n": 200, "changed": []},
        "nearby": {"n": 24, "changed": []},
        "findings": [],
        "others": {"judged": 48, "not_built": []},
        "shares": one["shares"],
        "gates": [
            gate("min_prompts", 0.95, one["shares"]["prompts"]),
            gate("min_holdout", 0.9, one["shares"]["holdout"]),
        ],
        "passed": True,
    }
