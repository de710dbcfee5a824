"""Review a branch where its tests run: the exit code of `sake review`, and its JSON.

    python examples/review_in_ci.py main...HEAD
    python examples/review_in_ci.py main...HEAD --no-model

Exits as `sake review` does: 0 where every gate passes, 1 where one fails or an edit file is
wrong, another code where the review could not be done. The options are those of `sake review`.
"""

from __future__ import annotations

import json
import subprocess
import sys


def main(*arguments: str) -> int:
    done = subprocess.run(
        ["sake", "review", "--json", *arguments], stdout=subprocess.PIPE, text=True, check=False
    )
    if not done.stdout:  # what went wrong stands on stderr
        return done.returncode
    review = json.loads(done.stdout)
    for gate in review["gates"]:
        if not gate["ok"]:
            print(f"failed: {gate['name']}: {gate['text']}")
    print("passed" if review["passed"] else "not passed: the change is not to be merged")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
