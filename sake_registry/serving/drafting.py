"""The draft of an edit, from an answer that somebody on the page says is wrong.

Nothing is written here, and no model is asked: who asked takes the file to the registry, where it
is checked and reviewed as any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sake_registry.authoring.proposing import InForce, UnclearError, WrongAnswer, propose
from sake_registry.errors import ConflictError, EditFileError, InputError
from sake_registry.serving.protocol import ApiError, parse

if TYPE_CHECKING:
    from sake_registry.serving.live import Live


def drafted(body: bytes, live: Live) -> dict[str, Any]:
    """The draft that a request's body asks for, and what it says beside edits that are served.

    Raises:
        ApiError: 400 where something is wrong or has to be said, which `param` names; 409 where an
            edit already says it.
    """
    wrong = parse(WrongAnswer, body)
    with live.held() as (attached, _):
        named = attached.edited.candidates(wrong.prompt) if attached else frozenset()
        edits = attached.edits if attached else {}
        near = [
            InForce(info.id, info.subject, info.relation, info.new)
            for info in (edits[id_] for id_ in sorted(named))
        ]
        taken = edits.keys()
    try:
        proposal = propose(wrong, near, taken)
    except UnclearError as error:
        raise ApiError(400, error.message, param=error.field, code="unclear") from error
    except ConflictError as error:
        raise ApiError(409, f"{error.message}; {error.hint}", code="already_said") from error
    except EditFileError as error:
        first = error.diagnostics[0]
        said = "; ".join(filter(None, (first.field, first.message, first.hint)))
        raise ApiError(400, said, code="invalid_value") from error
    except InputError as error:
        raise ApiError(400, error.message, code="invalid_value") from error
    return {"object": "draft", "file": f"{proposal.id}.yaml", **proposal.model_dump(mode="json")}
