"""Taking edits back: to an earlier version, out of the registry, or out of force.

Planned first, then done: `plan_revert` and `plan_withdraw` say what would become of each edit,
and refuse where the state of the registry forbids it; `apply` does it.

Guarantees:
- What is earlier is told by effect, not by file: the default goes back before the latest change
  of anything that can change an answer. The whole file of that version comes back, where the
  file lies now.
- One commit that touches these files and nothing else, whatever else is staged or changed;
  several edits in one commit or none of them. The working tree is never stashed or reset.
- After a refusal, and after a commit that git or a hook refused, files and index are what they
  were.
- Nothing is guessed: not between several earlier versions, not what a shallow clone hides, and
  not that a revert is to be reverted.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby, takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from sake_registry.edits.keys import effect
from sake_registry.edits.splicing import set_status
from sake_registry.errors import EditFileError, InputError, StateError
from sake_registry.history.committing import commit as commit_files
from sake_registry.history.plans import (
    Candidate,
    EditRevert,
    RevertPlan,
    cited,
    message_of,
    one_line,
)
from sake_registry.history.settled import check_settled, git_command, open_settled, quoted
from sake_registry.history.snapshots import EditChange, Parsed, Snapshot, at_commit
from sake_registry.history.together import check_others
from sake_registry.history.versions import log_of
from sake_registry.history.working import replaced
from sake_registry.wording import count

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sake_registry.edits.registry import Registry
    from sake_registry.edits.schema import Edit
    from sake_registry.history.plans import Action
    from sake_registry.history.repository import Commit, Repository
    from sake_registry.history.versions import EditLog

    # Picks one of the earlier versions of an id; the previous one comes first. With a single one
    # it is asked only where the latest change took that one back.
    Choose = Callable[[str, Sequence[Candidate]], Candidate]

_LISTED = 5
_WITHDRAWN = "withdrawn"


def previous(id_: str, candidates: Sequence[Candidate]) -> Candidate:
    """The latest of the earlier versions."""
    return candidates[0]


def refuse(id_: str, candidates: Sequence[Candidate]) -> Candidate:
    """Leave the choice to the user.

    Raises:
        StateError: with the command for each of the latest versions.
    """
    listed = [f"  sake revert {id_} {c.option}  {c}" for c in candidates[:_LISTED]]
    more = len(candidates) - len(listed)
    if more:
        listed.append(f"  … and {more} before them: `sake log {id_}`")
    question = f"'{id_}' has {count(len(candidates), 'earlier version')}: which one is meant?"
    if candidates[0].undone:
        question = f"'{id_}' was taken back already, {again(candidates[0])}"
    raise StateError(
        question, hint="\n".join(["choose one, or take the first with --yes:", *listed])
    )


def again(candidate: Candidate) -> str:
    """That going back to this version reverts a revert."""
    assert candidate.undone is not None
    return f"in {candidate.undone.short}: reverting once more puts the change in force again"


def plan_revert(
    registry: Registry,
    ids: Sequence[str] = (),
    *,
    to: str | None = None,
    remove: bool = False,
    touched_by: str | None = None,
    reason: str | None = None,
    choose: Choose = refuse,
) -> RevertPlan:
    """What taking these edits back would do. Nothing is written.

    Args:
        to: the revision to go back to, instead of before the latest change.
        remove: remove the edits.
        touched_by: a revision; all edits that its commit touched (or `ids`, some of them) go
            back to what they were before it.
        reason: why, for the message.
        choose: asked where an edit has several earlier versions.

    Raises:
        InputError: an id or revision that is not known, or nothing would change.
        EditFileError: the file that would come back has errors.
        StateError: the state of the registry, or what other edits say, forbids it.
        SetupError: there is no git, or no repository.
    """
    if (to is not None) + remove + (touched_by is not None) > 1:
        raise ValueError("one of `to`, `remove` and `touched_by`")
    if not ids and touched_by is None:
        raise InputError("no edit is named", hint="`sake list` shows all ids")
    repository, head = open_settled(registry)
    notes: list[str] = []
    if touched_by is not None:
        planned = _before(repository, head, repository.resolve(touched_by), ids, notes)
    else:
        now = _now(repository, head, ids)
        if to is not None:
            planned = _at(repository, now, repository.resolve(to))
        elif remove:
            planned = [_step(repository, id_, now[id_], None, None) for id_ in now]
        else:
            logs = log_of(repository, list(now))
            planned = [_earlier(repository, now[log.id], log, choose, notes) for log in logs]
    return _plan(registry, repository, head, planned, reason, notes)


def plan_withdraw(registry: Registry, ids: Sequence[str], reason: str) -> RevertPlan:
    """What withdrawing these edits would do: the files stay, with `status: withdrawn`.

    Nothing is written; no other line of a file is changed.

    Raises:
        InputError: an id that is not known, one that is withdrawn already, or no reason.
        EditFileError: the file has errors.
        StateError: the state of the registry, or what other edits say, forbids it.
        SetupError: there is no git, or no repository.
    """
    if not one_line(reason):
        raise InputError("a withdrawal needs its reason", hint="--reason 'the source was wrong'")
    if not ids:
        raise InputError("no edit is named", hint="`sake list` shows all ids")
    repository, head = open_settled(registry)
    planned = []
    for id_, now in _now(repository, head, ids).items():
        if now.parsed is None:
            message = f"'{id_}' was removed in {now.commit[:10]}: there is nothing to withdraw"
            raise InputError(message, hint=f"`sake revert {id_}` brings it back")
        edit = _sound(now.parsed, f"'{id_}'")
        if edit.lifecycle.status == _WITHDRAWN:
            raise InputError(f"'{id_}' is withdrawn already", hint=f"sake log {id_}")
        text = (repository.root / now.parsed.path).read_bytes().decode()
        path = Path(now.parsed.path)
        content = set_status(text, path, _WITHDRAWN).encode()
        after = Parsed(now.parsed.path, content, repository.severities)
        _sound(after, f"'{id_}', withdrawn,")
        change = EditChange(id=id_, before=now.parsed, after=after)
        step = EditRevert(
            change=change, action="withdraw", source=now.commit, target=None, content=content
        )
        planned.append(step)
    return _plan(registry, repository, head, planned, reason, [])


def apply(plan: RevertPlan, *, commit: bool = True) -> str | None:
    """Do what was planned; the new commit's full id, or None where `commit` is False.

    Raises:
        StateError: the registry has changed since it was planned, or git or a hook refused.
        SetupError: git does not know whose commit it would be.
        StorageError: a file cannot be written.
    """
    repository, head = open_settled(plan.registry)
    if head != plan.head:
        message = f"HEAD has moved to {head[:10]} since this was planned"
        raise StateError(message, hint="run the command again")
    check_settled(repository, head, {edit.id: edit.path for edit in plan.edits})
    contents = {edit.path: edit.content for edit in plan.edits}
    if commit:
        return commit_files(repository, contents, plan.message)
    with replaced(repository.root, contents):
        return None


@dataclass(frozen=True)
class _Now:
    """What is committed of an edit: its file (None: removed), where it lies or lay last, and the
    commit that made it so."""

    path: str
    parsed: Parsed | None
    commit: str


def _now(repository: Repository, head: str, ids: Sequence[str]) -> dict[str, _Now]:
    """The edits as they are committed, after making sure that nothing uncommitted is lost."""
    ids = list(dict.fromkeys(ids))
    histories = repository.history(ids, head)
    for id_ in ids:
        if not histories[id_].changes:
            check_settled(repository, head, {id_: None})  # is it there, and not committed?
            log_of(repository, [id_])  # else it says what is known instead
    paths = {id_: histories[id_].changes[0].path for id_ in ids}
    check_settled(repository, head, dict(paths))
    parsed = at_commit(repository, head).parse(ids)
    return {id_: _Now(paths[id_], parsed.get(id_), histories[id_].changes[0].commit) for id_ in ids}


# What each edit goes back to


def _earlier(
    repository: Repository, now: _Now, log: EditLog, choose: Choose, notes: list[str]
) -> EditRevert:
    """An edit as it was before the latest change of its effect."""
    seen = {log.versions[0].effect}
    candidates: list[Candidate] = []
    for version in log.versions[1:]:
        if version.effect is None or version.effect in seen:
            continue
        seen.add(version.effect)
        here = _here(version.parsed, now.path)
        lines = EditChange(id=log.id, before=now.parsed, after=here).lines
        if version.parsed is None or now.parsed is None:
            lines = ["restored" if version.parsed else "removed"]
        undone = None if candidates else _undone(log)
        candidates.append(Candidate(version, tuple(lines), undone))
    if not candidates and not log.complete:
        raise StateError(
            f"this shallow clone hides what was before {log.versions[-1].short} of '{log.id}'",
            hint="`git fetch --unshallow` gets the rest",
        )
    if not candidates:
        if now.parsed is None:
            message = f"'{log.id}' was removed, and no version of its file is without errors"
            raise InputError(message, hint=f"sake log {log.id}")
        return _taken_back(repository, now, log, len(log.versions), notes)
    if now.parsed is None:  # what was removed comes back as it was last
        del candidates[1:]
    asked = len(candidates) > 1 or candidates[0].undone is not None
    chosen = choose(log.id, candidates) if asked else candidates[0]
    if chosen.undone:
        notes.append(f"'{log.id}' was taken back already, {again(chosen)}")
    return _taken_back(repository, now, log, log.versions.index(chosen.version), notes)


def _undone(log: EditLog) -> Commit | None:
    """The latest change of an edit's effect, if it took back the one before it."""
    effects = [version.effect for version in log.versions if version.effect is not None]
    effects += ["removed"] if log.complete else []  # before the first of them it was not there
    runs = [effect for effect, _ in groupby(effects)]
    return _latest_change(log) if len(runs) > 2 and runs[0] == runs[2] else None


def _taken_back(
    repository: Repository, now: _Now, log: EditLog, index: int, notes: list[str]
) -> EditRevert:
    """An edit as it was `index` versions ago; before the first of them it was not there."""
    target = log.versions[index] if index < len(log.versions) else None
    between = log.versions[:index]
    notes += [
        f"passed over {cited(version)}: the file of '{log.id}' has errors there"
        for version in between[1:]
        if version.effect is None
    ]
    # The last of these is the change that is meant; what came after it goes with it.
    return _step(repository, log.id, now, target.parsed if target else None, target, between[:-1])


def _at(repository: Repository, now: Mapping[str, _Now], commit: str) -> list[EditRevert]:
    """Each edit as it was in a commit."""
    there = at_commit(repository, commit).parse(now)
    target = repository.commits([commit])[commit]
    planned = []
    for id_ in now:
        if id_ not in there:
            message = f"there is no edit '{id_}' in {target.short}"
            raise InputError(message, hint=f"to remove it: `sake revert {id_} --remove`")
        _sound(there[id_], f"'{id_}' in {target.short}")
        planned.append(_step(repository, id_, now[id_], there[id_], target))
    return planned


def _before(
    repository: Repository, head: str, commit: str, ids: Sequence[str], notes: list[str]
) -> list[EditRevert]:
    """The edits that a commit touched, as they were before it."""
    short = commit[:10]
    if not repository.is_ancestor(commit, head):
        message = f"{short} is no part of what is checked out"
        raise InputError(message, hint=f"`{git_command(repository)} log --oneline` shows what is")
    touched = repository.touched(commit)
    if unknown := [id_ for id_ in ids if id_ not in touched]:
        known = f"it touched {', '.join(touched)}" if touched else "it touched no edit"
        raise InputError(f"{short} did not touch '{unknown[0]}'", hint=known)
    if not touched:
        hint = f"`sake diff {short}^..{short}` shows what it did"
        raise InputError(f"{short} touched no edit", hint=hint)
    chosen = list(dict.fromkeys(ids)) or touched
    histories = repository.history(chosen, head)
    # What a merged branch brought and took away again is in no version here.
    notes += [f"'{id_}' is not there, and was not" for id_ in chosen if not histories[id_].changes]
    chosen = [id_ for id_ in chosen if histories[id_].changes]
    parents = repository.commits([commit])[commit].parents
    source = repository.commits(parents[:1])[parents[0]] if parents else None
    before = at_commit(repository, source.commit) if source else Snapshot(repository, (), None)
    old, new = before.parse(chosen), at_commit(repository, commit).parse(chosen)
    now = _now(repository, head, chosen)
    planned = []
    for log in log_of(repository, chosen):
        held = now[log.id]
        earlier = old.get(log.id)
        if (held.parsed and held.parsed.data) == (earlier and earlier.data):
            notes.append(f"'{log.id}' is already what it was before {short}")
            continue
        if not _same_effect(held.parsed, new.get(log.id)):
            later = _latest_change(log)
            choice = f"--to {short}^" if earlier else "--remove"
            raise StateError(
                f"'{log.id}' changed again after {short}, in {cited(later)}",
                hint=f"sake revert {log.id} {choice}",
            )
        if earlier:
            _sound(earlier, f"'{log.id}' before {short}")
        also = _since(log, new.get(log.id))
        # The commit that made it so says more than the one that happened to be before.
        made = (v for v in log.versions if v.parsed and earlier
                and v.parsed.data == earlier.data)  # fmt: skip
        target = next(made, source) if earlier else None
        planned.append(_step(repository, log.id, held, earlier, target, also))
    if not planned:
        raise InputError("nothing would change", hint="; ".join(notes))
    return planned


def _same_effect(first: Parsed | None, second: Parsed | None) -> bool:
    if first is None or second is None:
        return first is second
    if first.data == second.data:
        return True
    return bool(first.edit and second.edit and effect(first.edit) == effect(second.edit))


def _latest_change(log: EditLog) -> Commit:
    """The commit that last changed what an edit does."""
    latest = log.versions[0]
    for version in log.versions[1:]:
        if version.effect != latest.effect or version.effect is None:
            break
        latest = version
    return latest


def _since(log: EditLog, held: Parsed | None) -> tuple[Commit, ...]:
    """The commits that changed an edit's file after it was this one, newest first."""
    return tuple(takewhile(
        lambda version: (version.parsed and version.parsed.data) != (held and held.data),
        log.versions,
    ))  # fmt: skip


def _step(
    repository: Repository,
    id_: str,
    now: _Now,
    target: Parsed | None,
    commit: Commit | None,
    also: tuple[Commit, ...] = (),
) -> EditRevert:
    """From what is now to the content of `target`, at the place where the file lies now."""
    after = _here(target, now.path)
    if (now.parsed and now.parsed.data) == (after and after.data):
        what = "is not there already" if after is None else "says the same already"
        where = f", as in {commit.short}" if commit else ""
        raise InputError(f"nothing would change: '{id_}' {what}{where}", hint=f"sake log {id_}")
    action: Action = "remove" if after is None else "revert" if now.parsed else "restore"
    content = after.data if after else None
    if content is not None and now.parsed is not None:
        content = _with_line_ends(content, now.parsed.data, repository.root / now.path)
    # Without a target there is no commit to name: an edit that is removed goes back to nothing.
    return EditRevert(
        change=EditChange(id=id_, before=now.parsed, after=after), action=action,
        source=now.commit, target=commit if after else None, content=content, also=also,
    )  # fmt: skip


def _here(target: Parsed | None, path: str) -> Parsed | None:
    """What a file was, read at the path where it would be put."""
    if target is None or target.path == path:
        return target
    return Parsed(path, target.data, target.severities)


def _with_line_ends(content: bytes, committed: bytes, file: Path) -> bytes:
    """Content with the line ends that git has put into the files of this working tree."""
    held = file.read_bytes()
    if held == committed or held.replace(b"\r\n", b"\n") != committed:
        return content
    return content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def _sound(parsed: Parsed, what: str) -> Edit:
    """The edit of a file.

    Raises:
        EditFileError: it has errors.
    """
    if parsed.edit is None:
        errors = [f for f in parsed.findings if f.severity == "error"]
        raise EditFileError(f"{what} has {count(len(errors), 'error')}", errors)
    return parsed.edit


def _plan(
    registry: Registry,
    repository: Repository,
    head: str,
    planned: Sequence[EditRevert],
    reason: str | None,
    notes: list[str],
) -> RevertPlan:
    check_others(registry, planned)
    if repository.branch() is None:
        keep = f"{git_command(repository)} switch -c NAME"
        notes.append(f"HEAD is detached: after the commit, `{keep}` keeps it on a branch")
    if outer := repository.outer():
        around = quoted(outer)
        notes.append(f"this is a submodule: commit it in the repository around it, too: {around}")
    message = message_of(planned, one_line(reason or ""))
    return RevertPlan(
        registry=registry, head=head, edits=tuple(planned), message=message, notes=tuple(notes)
    )
