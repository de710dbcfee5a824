"""Switching edits off and on again: who may, and how it is written down.

Guarantees:
- What is switched off stands in the file of overrides before the call is answered, and is in force:
  it outlives the server, and every other server that reads the file follows.
- Without a token there is no switching; a token is compared in constant time.
"""

from __future__ import annotations

import hmac
import json
import threading
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from sake_registry.errors import InputError, SakeError
from sake_registry.files import write_text
from sake_registry.places import local_path, shown
from sake_registry.runtime.overrides import read_overrides
from sake_registry.serving.protocol import ApiError, claim, reviewer
from sake_registry.wording import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sake_registry.bundle.format import EditInfo, Manifest
    from sake_registry.remote.following import Follower

TOKEN_VARIABLE = "SAKE_ADMIN_TOKEN"
MIN_TOKEN = 16
"""Characters of a token; fewer can be guessed."""
MAX_REASON = 1000


class Holding(Protocol):
    """What knows the edits of a bundle."""

    @property
    def key(self) -> str: ...
    @property
    def edits(self) -> Mapping[str, EditInfo]: ...
    @property
    def manifest(self) -> Manifest: ...


H = TypeVar("H", bound=Holding)


def read_token(path: Path | None, environ: Mapping[str, str]) -> str | None:
    """The token of admin calls: of a file, or of `SAKE_ADMIN_TOKEN`; None if there is none.

    Raises:
        InputError: the file cannot be read, or the token is too short.
    """
    if path is None:
        token, where = environ.get(TOKEN_VARIABLE, ""), TOKEN_VARIABLE
        if not token:
            return None
    else:
        where = str(path)
        try:
            with path.open(encoding="utf-8") as file:
                token = file.read(4096).strip()
        except (OSError, ValueError) as error:
            raise InputError(
                f"{path}: the token cannot be read: {error}", hint="name a file with one line"
            ) from error
    if len(token) < MIN_TOKEN:
        raise InputError(
            f"{where}: a token has at least {MIN_TOKEN} characters",
            hint="make one: python3 -c 'import secrets; print(secrets.token_urlsafe())'",
        )
    return token


class Admin(Generic[H]):
    """What may be switched, and the state of it.

    Args:
        token: that calls must bring; None refuses them all.
        follower: of the bundle; None serves bare, and has nothing to switch.
    """

    def __init__(self, token: str | None, follower: Follower[H] | None) -> None:
        self._token, self._follower = token, follower
        self._writing = threading.Lock()

    def require(self, authorization: str | None) -> None:
        """Let a call pass by its header `Authorization`.

        Raises:
            ApiError: 403 where switching is off, 401 for a wrong token.
        """
        if self._token is None:
            raise ApiError(
                403, f"switching is off: start the server with {TOKEN_VARIABLE} set, or with "
                "--admin-token-file FILE", code="admin_off",
            )  # fmt: skip
        given = (authorization or "").removeprefix("Bearer ").encode(errors="replace")
        if not hmac.compare_digest(given, self._token.encode()):
            raise ApiError(
                401, "the token is missing or wrong: 'Authorization: Bearer TOKEN'",
                code="invalid_token",
            )  # fmt: skip

    def edits(self) -> dict[str, Any]:
        """Every edit of the current bundle with its state, and why those are off that are."""
        if self._follower is None:
            return {"object": "list", "bundle": None, "switchable": False, "data": []}
        now = self._follower.now
        reasons = self._reasons()
        data = []
        for id_, info in now.current.edits.items():
            off = id_ in now.disabled
            data.append(
                {
                    **claim(info),
                    "object": "edit",
                    "version": info.key[:12],
                    "reviewer": reviewer(now.current.manifest, id_),
                    "state": "disabled" if off else "enabled",
                    "reason": reasons.get(id_) if off else None,
                }
            )
        return {
            "object": "list",
            "bundle": now.current.key,
            "switchable": self._token is not None,
            "not_in_bundle": sorted(now.disabled - now.current.edits.keys()),
            "data": data,
        }

    def disable(self, id_: str, reason: str) -> dict[str, Any]:
        """Switch an edit off.

        Raises:
            ApiError: 404 for one that is not loaded, 409 where the file cannot be written.
        """
        reason = " ".join(reason.split())
        if not reason or len(reason) > MAX_REASON:
            raise ApiError(
                400, f"say why, in up to {MAX_REASON} characters: {{\"reason\": \"…\"}}",
                param="reason",
            )  # fmt: skip
        return self._switch(id_, reason)

    def enable(self, id_: str) -> dict[str, Any]:
        """Let an edit fire again; errors as of `disable`."""
        return self._switch(id_, None)

    def _switch(self, id_: str, reason: str | None) -> dict[str, Any]:
        follower = self._follower
        held = follower.current.edits if follower else {}
        known = held.keys() | (follower.disabled if follower else frozenset())
        if follower is None or id_ not in known:
            raise ApiError(
                404, f"no edit '{id_}' is loaded; {did_you_mean(id_, sorted(known))}"[:300],
                code="unknown_edit",
            )  # fmt: skip
        path = local_path(follower.overrides)
        if path is None:
            raise ApiError(
                409, f"the overrides lie at {shown(follower.overrides)}, where this server cannot "
                "write: change them there", code="overrides_elsewhere",
            )  # fmt: skip
        try:
            with self._writing:
                disabled = dict(read_overrides(path).disabled)
                disabled.pop(id_, None)
                if reason is not None:
                    disabled[id_] = reason
                write_text(path, json.dumps({"disabled": disabled}, ensure_ascii=False, indent=1)
                           + "\n")  # fmt: skip
        except SakeError as error:
            raise ApiError(409, str(error), code="overrides_unusable") from error
        follower.look_at_overrides()
        off = id_ in follower.disabled
        return {"id": id_, "object": "edit", "state": "disabled" if off else "enabled",
                "reason": reason}  # fmt: skip

    def _reasons(self) -> Mapping[str, str]:
        """Why edits are off, as far as the file can be read here and now."""
        path = local_path(self._follower.overrides) if self._follower else None
        try:
            return read_overrides(path).disabled if path else {}
        except SakeError:
            return {}
