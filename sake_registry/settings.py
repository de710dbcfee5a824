"""What can be set, where it comes from, and which source wins.

A flag beats a `SAKE_*` variable, which beats `sake.toml`, which beats the default here.
`sake.toml` also marks the root of a registry. Unknown keys are refused: a setting that is
misspelt and silently ignored is worse than an error. A file comes with the repository, and
cannot trust the code of a model: a flag or a variable can. What signatures a machine asks for, a
file can make stricter and never weaker.
"""

from __future__ import annotations

import base64
import logging
import math
import os
import struct
import tomllib
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from sake_registry.diagnostics import CODES, FIXED, Level
from sake_registry.errors import SettingsError, StateError
from sake_registry.files import below, read_bounded
from sake_registry.wording import did_you_mean, nearest

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping, Sequence

FILE_NAME = "sake.toml"
MAX_BYTES = 1 << 20
"""Of a `sake.toml`."""
PREFIX = "SAKE_"
ELSEWHERE = frozenset(
    f"{PREFIX}{name}"
    for name in (
        "ADMIN_TOKEN BUDGET BUNDLE GENERATOR_API_KEY LOG LOG_PROMPTS METRICS_HOST METRICS_PORT "
        "MODE SIGNING_KEY SIGNING_KEY_PASSWORD"
    ).split()
)
"""Variables that are no settings: of servers, and secrets."""
log = logging.getLogger(__name__)

METHOD_VERSION = 12
"""Not to be set: raised whenever the same input gives other activations, maps, or decisions."""

ALIASES = {
    "gpt2": "openai-community/gpt2",
    "gpt2-xl": "openai-community/gpt2-xl",
    "llama-2-7b": "meta-llama/Llama-2-7b-hf",
}
"""Short model names that need not be set."""
EMBEDDED = ("smollm2-135m",)
"""Models that installed wheels carry; `models.sources` knows where in them."""

Share = Annotated[float, Field(ge=0, le=1)]


def _split(value: Any) -> Any:
    """`a, b` of an environment variable is the list [a, b]."""
    if not isinstance(value, str):
        return value
    return [name for part in value.split(",") if (name := part.strip())]


Names = Annotated[list[str], BeforeValidator(_split)]


def _below(value: str) -> str:
    """Edits are files of the registry: git knows of no other."""
    if not _is_below(value):
        raise ValueError("a folder below the registry's root is expected, without '..'")
    return value


def _is_below(value: str) -> bool:
    """Whether a path stays below the folder that it starts from, and out of git's own."""
    path = PurePath(value)
    inner = {part.lower() for part in path.parts}
    return not path.is_absolute() and inner.isdisjoint(("..", ".git"))


Below = Annotated[str, AfterValidator(_below)]


def _levels(value: Any) -> Any:
    """Only codes that there are, and of those that are always errors nothing less."""
    for code, level in value.items() if isinstance(value, dict) else ():
        if code not in CODES:
            near = nearest(code.upper(), CODES)
            hint = f"did you mean '{near}'?" if near else "`sake explain` lists the codes"
            raise ValueError(f"unknown code '{code}'; {hint}")
        if code in FIXED and level in ("warning", "off"):
            raise ValueError(
                f"{code} ({CODES[code]}) is always an error: no edit can be made of such a file"
            )
    return value


Levels = Annotated[dict[str, Level], BeforeValidator(_levels)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _reg(value: Any) -> float | str:
    """A number above 0, a share of the targets' variance (`10%`), or `auto`."""
    text = value.strip() if isinstance(value, str) else value
    if text == "auto":
        return "auto"
    share = isinstance(text, str) and text.endswith("%")
    number = _number(text.removesuffix("%") if isinstance(text, str) else text)
    if number is None or number <= 0:
        raise ValueError("a number above 0, a share like '10%', or 'auto' is expected")
    return f"{number:g}%" if share else number


def _complement(value: Any) -> float | str:
    if value == "auto":
        return "auto"
    number = _number(value)
    if number is None or not (number == 0 or 1e-6 <= number <= 1):
        raise ValueError("0, a number from 1e-6 to 1, or 'auto' is expected")
    return number


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


class CompileSettings(_Section):
    """How activations are collected and maps are fitted. All of it is part of an edit's key.

    `auto` is chosen for each map by how it does on paraphrases held out of its fit.
    """

    prompts: int = Field(20, ge=4, le=10_000)
    """An edit with fewer prompts is brought to at least this many (paper 4.1: 60)."""
    sources: Names = Field(["auto"], min_length=1)
    """What stands for the model before the edit: `plain` prompts, `forced` contexts, or both;
    `auto` chooses."""
    targets: Names = Field(["twice", "repeat", "statement", "imagine"], min_length=1)
    """Target contexts by name, in turn: of each prompt the first counts in which the model says
    the new object clearly, or else the one in which its margin for it is largest."""
    keep_failed: bool = False
    """Keep pairs whose target context did not make the model say the new object."""
    min_pairs: int = Field(4, ge=2)
    """An edit of which fewer pairs worked fails."""
    reg: Annotated[float | str, BeforeValidator(_reg)] = "auto"
    """Regularisation: a number is added to the diagonal of both covariances; `10%` is a share of
    the targets' mean variance; `auto` chooses among shares."""
    complement: Annotated[float | str, BeforeValidator(_complement)] = "auto"
    """How much of what no pair has shown a map keeps (paper: 1)."""
    whole: bool = True
    """Steer every token of an object after which the model does not go on by itself, and the
    object's end where the model would run on."""
    min_score: Share = 0.8
    """An edit whose held-out score is lower is built with a warning."""
    solver: Literal["lowrank", "pot", "uniform"] = "lowrank"
    """`pot` is the dense reference, `uniform` the mean difference alone."""
    batch_size: int = Field(16, ge=1, le=1024)
    """Texts in one forward pass. Part of the key: in bfloat16 the batch moves activations."""

    @model_validator(mode="after")
    def _solver_knows_complement(self) -> CompileSettings:
        if self.solver != "lowrank" and self.complement not in (1, "auto"):
            raise ValueError(f"the solver '{self.solver}' knows no complement but 1")
        return self


class ContextSettings(_Section):
    """Templates that a registry adds to the built-in ones, by kind and name."""

    target: dict[str, str] = {}
    """Further target contexts, `name = "… {prompt} {new} … {prompt}"`, to be named in
    `compile.targets`."""
    forced: dict[str, str] = {}
    """Replaces the context of forced sources: `repeat`."""
    implication_target: dict[str, str] = {}
    """Further contexts for implications, beside the built-in two."""
    implication_forced: dict[str, str] = {}
    """Replaces the one of forced sources for implications: `considering`."""


Representation = Literal["embedder", "hidden", "middle"]
THRESHOLDS: dict[Representation, dict[str, float]] = {
    "embedder": {
        "contrast": 0.62, "euclidean": 4.35, "cosine": 0.68, "mahalanobis": 19.0, "centre": 4.7
    },
    "hidden": {"contrast": 0.43, "cosine": 0.46, "mahalanobis": 15.1},
    "middle": {"contrast": 0.37, "cosine": 0.34, "mahalanobis": 15.6},
}  # fmt: skip
"""Where 95 % of questions on a subject's other relations are left alone, all edits loaded
(docs/decisions/0008-router.md); `centre` where served and left alone are most together. Plain
distances between a model's states have the model's own unit: there is no default for them."""


MULTILINGUAL_THRESHOLDS = {"contrast": 0.56, "centre": 0.93}
"""The same in the space of the multilingual embedder, for single edits whose files set another
router than the detector; set on 150 development records of CounterFact."""
DETECTOR_BOUND, DETECTOR_BOUND_OF_MANY, MANY_PROMPTS = 0.6, 0.75, 5
"""The largest probability of something else being asked at which the detector has an edit fire; and
that of an edit with so many prompts, which have said more of what asks for it
(docs/decisions/0016-scope-detector.md)."""
MINILM = "minilm"
MULTILINGUAL = "use-multilingual"
"""The embedder that the detector reads texts with."""

_SHIFT = struct.Struct("<129e")


def learned_shift(text: str) -> tuple[float, ...]:
    """The numbers of `router.learned`: what is added to the 128 weights, and last to the constant,
    of the detector's last product for what asks. None of an empty text.

    Raises:
        ValueError: it is not what `learned_text` writes.
    """
    if not text:
        return ()
    method, _, numbers = text.partition(":")
    content = base64.b64decode(numbers, validate=True)
    if len(content) != _SHIFT.size:
        raise ValueError(f"{_SHIFT.size} bytes are expected, {len(content)} are there")
    if method != str(METHOD_VERSION):
        raise ValueError(
            f"it was learned with method version {method}, this is {METHOD_VERSION}, whose weights "
            "are others"
        )
    shift = _SHIFT.unpack(content)
    if not all(map(math.isfinite, shift)):
        raise ValueError("some of its numbers are not finite")
    return shift


def learned_text(shift: Sequence[float]) -> str:
    """The opposite of `learned_shift`; numbers are rounded to half precision."""
    return f"{METHOD_VERSION}:{base64.b64encode(_SHIFT.pack(*shift)).decode()}"


def _learned(text: str) -> str:
    try:
        learned_shift(text)
    except ValueError as error:
        raise ValueError(
            f"not what `sake calibrate --learn --write` writes ({error}): take it out, learn anew"
        ) from error
    return text


RouterKind = Literal["detector", "anchored", "centre"]


class RouterSettings(_Section):
    kind: RouterKind = "detector"
    """How prompts in an edit's scope are recognised."""
    representation: Representation = "embedder"
    """What texts are compared by: the prompt embedder, or the edited model's own state at their
    last position, the last `hidden` one or that of the `middle` layer."""
    metric: Literal["contrast", "euclidean", "cosine", "mahalanobis"] = "contrast"
    """How an `anchored` router compares questions."""
    threshold: float | None = Field(None, gt=0)
    """Largest distance at which a prompt is in an edit's scope: for the detector the probability
    that it asks something else (0.6 if not set), for `anchored` in the metric's space (0.62 for
    `contrast`). `sake calibrate` sets it."""
    implied_threshold: float | None = Field(None, gt=0)
    """The same for implications; `threshold` if not set."""
    last_names: bool = True
    """A last name, or another common form of a name (without middle names, titles, or what follows
    a comma), names a subject if no other edit's subject may have it."""
    tasks: Literal["leave", "answer"] = "leave"
    """What the detector does about a task that holds an edit's wording ("Translate: …")."""
    learned: Annotated[str, AfterValidator(_learned)] = ""
    """What the detector has learned of this registry's own prompts; `sake calibrate --learn` sets
    it."""
    embedder: str = MULTILINGUAL
    """The detector reads no other; if not set, `minilm` where the router is another one."""

    @model_validator(mode="before")
    @classmethod
    def _distances_bring_minilm(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("kind") in ("anchored", "centre"):
            return {"embedder": MINILM, **given}
        return given

    @model_validator(mode="after")
    def _detector_reads_its_encoder(self) -> RouterSettings:
        if self.kind != "detector":
            return self
        if not self.is_read:
            raise ValueError(
                f"the router 'detector' reads texts with the embedder '{MULTILINGUAL}': leave "
                '`embedder` and `representation` out, or set `kind = "anchored"` beside them'
            )
        if self.metric != "contrast":
            raise ValueError(
                f"the metric '{self.metric}' is of the router 'anchored': set `kind = "
                '"anchored"` beside it, or leave it out'
            )
        for name in ("threshold", "implied_threshold"):
            if (getattr(self, name) or 0) > 1:
                raise ValueError(
                    f"{name}: of the router 'detector' it is a probability, at most 1 "
                    "(`sake calibrate --write` sets it)"
                )
        return self

    @model_validator(mode="after")
    def _states_a_threshold(self) -> RouterSettings:
        if self.bound_of(self.kind) is None:
            what = "the router 'centre'" if self.kind == "centre" else f"'{self.metric}'"
            where = f"the model's own states ('{self.representation}')"
            if self.representation == "embedder":
                where = f"points of the embedder '{self.embedder}'"
            raise ValueError(
                f"{what} compares {where} in a unit of their own: set `threshold` (begin with 1, "
                "and let `sake calibrate --write` set it), or choose an anchored router with the "
                "metric 'contrast'"
            )
        return self

    @model_serializer(mode="wrap")
    def _as_before(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without the default: keys and bundles made before it could be set stay the same."""
        values: dict[str, Any] = dump(self)
        if self.representation == "embedder":
            values.pop("representation", None)
        if not self.learned:
            values.pop("learned", None)
        return values

    @property
    def is_read(self) -> bool:
        """Whether texts are embedded as the detector reads them."""
        return self.embedder == MULTILINGUAL and self.representation == "embedder"

    @property
    def bound(self) -> float:
        """The threshold that applies."""
        bound = self.bound_of(self.kind)
        assert bound is not None  # or validation would have refused them
        return bound

    def bound_of(self, kind: RouterKind, prompts: int = 1) -> float | None:
        """The threshold of an edit with so many prompts and this kind of router, which its file may
        set: what is set for the registry's kind has another unit. None if there is no default."""
        name = "centre" if kind == "centre" else self.metric
        defaults = THRESHOLDS[self.representation]
        if self.representation == "embedder" and self.embedder == MULTILINGUAL:
            many = prompts >= MANY_PROMPTS
            bound = DETECTOR_BOUND_OF_MANY if many else DETECTOR_BOUND
            defaults = {**MULTILINGUAL_THRESHOLDS, "detector": bound}
        default = defaults.get("detector" if kind == "detector" else name)
        return self.threshold or default if kind == self.kind else default


class AnswerSettings(_Section):
    """What is done while the model answers, beside the first token."""

    guard: bool = True
    """In an answer that an edit has changed, keep the model from returning to the old object."""
    exact: bool = True
    """Make each token of a new object, and its end, certain: by the least change that does it."""


class TestSettings(_Section):
    """Floors of `sake test`: the least share of rows of each kind that must pass."""

    min_prompts: Share = 0.9
    """Of prompts."""
    min_holdout: Share = 0.9
    """Of holdout prompts."""
    min_implications: Share = 0.0
    """Of implications."""
    min_unchanged: Share = 1.0
    """Of unchanged prompts."""


class ReviewSettings(_Section):
    """Gates of `sake review`: what a change may do before it fails."""

    base: str = ""
    """The branch that changes are merged into; the remote's default branch if empty."""
    min_prompts: Share = 0.9
    """Least share of the changed edits' prompts that must pass."""
    min_holdout: Share = 0.9
    """Of their holdout prompts."""
    min_implications: Share = 0.0
    """Of their implications."""
    min_unchanged: Share = 1.0
    """Of their unchanged prompts."""
    max_interference: int = Field(0, ge=0)
    """Most prompts of other edits that may be answered differently."""
    max_collateral: int = Field(0, ge=0)
    """Most unrelated prompts of the sample that may be answered differently."""
    generated: Literal["listed", "confirmed"] = "listed"
    """What becomes of texts that a language model wrote: they are listed, or have to be confirmed
    as well, by their calls' names under `provenance.confirmed` in the edit's file."""


def _address(value: str) -> str:
    """An address that may be shown and recorded: it holds no secret."""
    try:
        parts = urlsplit(value)
        sound = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        sound = False
    if value and not sound:
        raise ValueError("an address like https://host/v1 is expected")
    if value and (parts.username is not None or parts.query or parts.fragment):
        raise ValueError("an address without a user, '?' and '#' is expected: it is recorded")
    return value.rstrip("/")


class GeneratorSettings(_Section):
    """The language model that writes texts of edits, where it is asked to: behind any endpoint of
    OpenAI's form. Its key is the variable SAKE_GENERATOR_API_KEY, and stands in no file."""

    base_url: Annotated[str, AfterValidator(_address)] = ""
    """Where it is asked, like `http://localhost:11434/v1`. The key goes only to an address that a
    flag or a variable gives."""
    model: str = Field("", pattern=r"^[ -~]*$", max_length=200)
    """Its name there."""
    temperature: float = Field(0.0, ge=0, le=2)
    """How it samples."""
    seed: int = Field(0, ge=0, lt=1 << 31)
    """Another one gives other texts, where the endpoint heeds it."""
    timeout: float = Field(120.0, gt=0, le=3600)
    """Seconds until one call has been answered."""
    retries: int = Field(3, ge=0, le=10)
    """How often a call is made again that was not answered: cut off, too slow, 429, 5xx."""
    rounds: int = Field(3, ge=1, le=10)
    """How often texts of one kind are asked for, while too few are kept."""
    max_calls: int = Field(60, ge=1)
    """Most calls of one command, those that are made again among them."""
    max_tokens: int = Field(200_000, ge=1)
    """Most tokens of one command, read and written."""
    max_reply_tokens: int = Field(2000, ge=16, le=32_768)
    """Most tokens of one reply."""
    max_alike: int = Field(3, ge=1)
    """Most new texts of one kind that begin and end alike."""


TrustLevel = Literal["off", "warn", "require"]
Expired = Literal["warn", "refuse"]
TRUST_LEVELS: tuple[TrustLevel, ...] = get_args(TrustLevel)
"""From the weakest policy to the strictest."""
STRICTER: Mapping[str, Sequence[str]] = {
    "trust.policy": TRUST_LEVELS,
    "trust.expired": get_args(Expired),
}
"""What `sake.toml` can make stricter than a variable has it, and never weaker."""


Word = Annotated[str, Field(pattern=r"^[!-~]{1,1024}$")]


class Identity(_Section):
    """Somebody who signs, and who vouches for that: the URL of an issuer of OpenID Connect, or a
    file of certificate authorities."""

    identity: Word
    issuer: Word

    def __str__(self) -> str:
        return f"{self.identity} (by {self.issuer})"

    @property
    def authority(self) -> Path | None:
        """The file of certificate authorities; None where it is an issuer of OpenID Connect."""
        return None if "://" in self.issuer else Path(self.issuer)


def _identities(value: Any) -> Any:
    """`IDENTITY ISSUER, IDENTITY ISSUER` of an environment variable is a list of tables."""
    if not isinstance(value, str):
        return value
    pairs = [part.split() for part in _split(value)]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError("'IDENTITY ISSUER' is expected; of several, with commas between them")
    return [{"identity": identity, "issuer": issuer} for identity, issuer in pairs]


class TrustSettings(_Section):
    """Whose signatures a bundle needs before it is loaded for use."""

    policy: TrustLevel = "off"
    """Bundles and pointers that nobody named by `keys` or `identities` signed are used, used with a
    warning, or refused. `SAKE_TRUST` sets it for a machine; a file can make that stricter alone."""
    keys: Names = []
    """Files of public keys (PEM). Where a variable sets the policy, a variable says whose
    signatures count, too."""
    identities: Annotated[list[Identity], BeforeValidator(_identities)] = []
    """Who may sign, and who vouches for that: tables `{ identity = "…", issuer = "…" }`; as a
    variable, `IDENTITY ISSUER`. The issuer is a URL where it is one of OpenID Connect, who signs
    without a key; or a file of certificate authorities (PEM)."""
    root: str = ""
    """The trust root that proves identities: a file, of the public instance of sigstore unless
    given."""
    expired: Expired = "refuse"
    """What becomes of a pointer that has expired; of one that is in use, a warning always."""


def _remote(value: str) -> str:
    """A place that may be shown: it holds no secret."""
    try:
        parts = urlsplit(value)
    except ValueError as error:
        raise ValueError("a URL like s3://bucket/folder, or a folder, is expected") from error
    if "://" in value and (parts.username is not None or parts.query or parts.fragment):
        raise ValueError("a URL without a user, '?' and '#' is expected: credentials have their "
                         "own variables and files")  # fmt: skip
    return value.rstrip("/")


Remote = Annotated[str, AfterValidator(_remote)]


class RemoteSettings(_Section):
    """What lies elsewhere, at URLs that fsspec reads (`s3://bucket/folder`). A file of the
    repository has it read alone: it is written to where a flag or a variable names it."""

    store: Remote = ""
    """Builds that others share: looked for there, and sent there."""
    bundles: Remote = ""
    """Where bundles are published, and the pointers to them."""


@dataclass(frozen=True)
class Trusted:
    """Whose signatures count, as settings name them.

    Attributes:
        keys: files of public keys.
        identities: who may sign by a certificate, or without a key.
        root: a file of the trust root that proves identities; None for the public one.
    """

    keys: tuple[Path, ...] = ()
    identities: tuple[Identity, ...] = ()
    root: Path | None = None


class Settings(_Section):
    """Everything that can be set, validated."""

    model: str = "smollm2-135m"
    """An alias, a hub id, a folder or a .gguf file; in `sake.toml`, paths are relative to it."""
    device: str = "auto"
    """`auto` (a GPU if there is one), `cpu`, `cuda`, `cuda:1`, `mps`."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """What the model is loaded in; part of every key."""
    trust_remote_code: bool = False
    """Run code that comes with a model; set by a flag or a variable alone."""
    edits: Below = "edits"
    """Folder of the edit files, relative to the root."""
    bundles: str = "bundles"
    """Where bundles are written."""
    store: str = ".sake/store"
    """Where built parts are kept."""
    overrides: str = "overrides.json"
    """What production switched off, relative to the root: `{"disabled": {"ID": "reason"}}`."""
    aliases: dict[str, str] = {}
    """Short model names: `name = "org/model@revision"`, a folder, or a .gguf file."""
    compile: CompileSettings = CompileSettings()
    contexts: ContextSettings = ContextSettings()
    router: RouterSettings = RouterSettings()
    answer: AnswerSettings = AnswerSettings()
    test: TestSettings = TestSettings()
    checks: Levels = {}
    """How bad findings are: `SAKE111 = "error"`, `"warning"` or `"off"`, by code."""
    review: ReviewSettings = ReviewSettings()
    generator: GeneratorSettings = GeneratorSettings()
    trust: TrustSettings = TrustSettings()
    remote: RemoteSettings = RemoteSettings()
    _given: frozenset[str] = PrivateAttr(frozenset())
    """What a flag, a variable or a program set, by dotted name."""

    def given(self, **values: Any) -> Settings:
        """These settings with values that the calling program gives, as a flag would."""
        changed = self.model_copy(update=values)
        changed._given |= values.keys()
        return changed

    def is_given(self, name: str) -> bool:
        """Whether a flag, a variable or a program set this, by dotted name, and no file."""
        return name in self._given

    def place(self, name: Literal["bundles", "store", "overrides"], root: Path) -> Path:
        """Where one of the registry's places lies: below its root, reached through no link,
        unless a flag or a variable leads elsewhere.

        Raises:
            SettingsError: `sake.toml` leads out of the registry.
            StateError: a part of the path is a link.
        """
        value: str = getattr(self, name)
        if self.is_given(name):
            return root / value
        elsewhere = f"only {_variable(name)}=FOLDER leads elsewhere"
        if not _is_below(value):
            message = f"{root / FILE_NAME}: {name}: '{value}' leads out of the registry"
            raise SettingsError(message, hint=f"name a path below its root; {elsewhere}")
        try:
            return below(root, root / value)
        except StateError as error:
            raise StateError(error.message, hint=f"{error.hint}; {elsewhere}") from error

    def trusted(self, root: Path | None) -> Trusted:
        """Whose signatures count.

        Raises:
            SettingsError: a variable asks for signatures, and none says whose: what a repository
                names would vouch for itself. Or nobody says whose, or `sake.toml` leads out of the
                registry.
            StateError: a part of a path below the registry is a link.
        """
        trust = self.trust
        by_machine = trust.policy != "off" and self.is_given("trust.policy")
        for name in ("keys", "identities"):
            by_machine |= bool(getattr(trust, name)) and self.is_given(f"trust.{name}")

        def counts(name: str) -> bool:
            return self.is_given(f"trust.{name}") or not (by_machine or root is None)

        keys = trust.keys if counts("keys") else []
        identities = trust.identities if counts("identities") else []
        trust_root = trust.root if counts("root") else ""
        if trust.policy != "off" and not keys and not identities:
            raise _nobody_counts(trust.policy, by_machine)
        return Trusted(
            keys=tuple(self._trust_file(root, "keys", key) for key in keys),
            identities=tuple(
                one.model_copy(
                    update={"issuer": str(self._trust_file(root, "identities", one.issuer))}
                )
                if one.authority
                else one
                for one in identities
            ),
            root=self._trust_file(root, "root", trust_root) if trust_root else None,
        )

    def _trust_file(self, root: Path | None, name: str, value: str) -> Path:
        """A file that `[trust]` names: below the registry, unless a variable or a flag does."""
        if root is None or self.is_given(f"trust.{name}"):
            return Path(value)
        if not _is_below(value):
            raise SettingsError(
                f"{root / FILE_NAME}: trust.{name}: '{value}' leads out of the registry",
                hint="name a path below its root; only "
                f"{_variable(f'trust.{name}')}=FILE leads elsewhere",
            )
        return below(root, root / value)


def _nobody_counts(policy: TrustLevel, by_machine: bool) -> SettingsError:
    if by_machine:
        return SettingsError(
            f"SAKE_TRUST={policy} does not say whose signatures count",
            hint="SAKE_TRUST_KEYS=FILE names public keys, SAKE_TRUST_IDENTITIES='IDENTITY ISSUER' "
            "who signs without one; what a repository names does not count where it is not the "
            "repository that asks",
        )
    return SettingsError(
        f"trust.policy is '{policy}', and nothing says whose signatures count",
        hint='name public keys in sake.toml, keys = ["keys/release.pub"] under [trust], or '
        "identities",
    )


def find_root(start: Path) -> Path | None:
    """The nearest folder at or above `start` that holds a `sake.toml`, or None."""
    start = start.resolve()
    return next((d for d in (start, *start.parents) if (d / FILE_NAME).is_file()), None)


def load_settings(
    root: Path | None,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    data: bytes | None = None,
) -> Settings:
    """Settings of the registry at `root` (None: defaults), with their precedence applied.

    Args:
        root: the folder of `sake.toml`.
        overrides: flags, by dotted name (`{"compile.reg": 0.1}`); None values are not given.
        environ: the environment; `os.environ` unless a caller hands in another.
        data: another version of the root's `sake.toml`, in place of the file.

    Raises:
        SettingsError: a file that is not TOML, an unknown key, a value of the wrong kind,
            a file that trusts code.
    """
    values: dict[str, Any] = {}
    origin: dict[str, str] = {}
    asked: dict[str, Any] = {}
    if root is not None:
        path = root / FILE_NAME
        if data is None and path.is_symlink():
            raise SettingsError(f"{path} is a link", hint="put the file itself in its place")
        values = _parsed(path, data)
        if values.get("trust_remote_code", False) is not False:
            raise SettingsError(
                f"{path}: trust_remote_code: a file of the repository cannot trust code",
                hint="take the line out: only --trust-remote-code, or SAKE_TRUST_REMOTE_CODE=true, "
                "trusts the code that comes with a model",
            )
        _anchor_models(values, root)
        asked = dict(_flat(values))
    for name, value in _flat(_from_environment(os.environ if environ is None else environ)):
        _put(values, name, value)
        origin[name] = _variable(name)
    for name, value in (overrides or {}).items():
        if value is not None:
            _put(values, name, value)
            origin[name] = f"--{name.rpartition('.')[2].replace('_', '-')}"
    _keep_stricter(values, asked, origin)
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(_explain(error, root, origin)) from error
    settings._given = frozenset(origin)
    return settings


def _parsed(path: Path, data: bytes | None) -> dict[str, Any]:
    """What a `sake.toml` says; `data` is another version of the file."""
    try:
        data = read_bounded(path, MAX_BYTES) if data is None else data
        if len(data) > MAX_BYTES:
            raise SettingsError(f"{path}: larger than {MAX_BYTES} bytes")
        return tomllib.loads(data.decode())
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error
    except RecursionError as error:
        raise SettingsError(f"{path}: not valid TOML: nested too deep") from error
    except ValueError as error:  # not UTF-8, not TOML, a number of thousands of digits
        raise SettingsError(f"{path}: not valid TOML: {error}") from error


def _anchor_models(values: dict[str, Any], root: Path) -> None:
    """Make the paths of models in `sake.toml` absolute: they are relative to the root."""

    def anchored(value: Any, names: Container[str]) -> Any:
        if not isinstance(value, str) or value.partition("@")[0] in names:
            return value
        path = (root / value).absolute()
        is_model = path.is_dir() or (path.suffix == ".gguf" and path.is_file())
        return str(path) if value and is_model else value

    aliases = values.get("aliases")
    if not isinstance(aliases, dict):
        aliases = {}
    if "model" in values:
        values["model"] = anchored(values["model"], {*EMBEDDED, *ALIASES, *aliases})
    for name, value in aliases.items():
        aliases[name] = anchored(value, EMBEDDED)


def _keep_stricter(
    values: dict[str, Any], asked: Mapping[str, Any], origin: dict[str, str]
) -> None:
    """Let the file's trust count only where it is stricter than a machine's that was given.

    Args:
        asked: what the file says, by dotted name.
        origin: what a variable or a flag set; what the file sets after all is taken out.
    """
    if not isinstance(values.get("trust"), dict) or not origin.keys() & STRICTER.keys():
        return  # nothing was given; or `trust = 5`: validation says so
    defaults = TrustSettings()
    for name, levels in STRICTER.items():
        key = name.rpartition(".")[2]
        won = values["trust"].get(key) if name in origin else getattr(defaults, key)
        said = asked.get(name)
        if won not in levels or said not in levels:
            continue  # validation says so, or the file says nothing
        if levels.index(said) > levels.index(won):
            origin.pop(name, None)
            won = said
        values["trust"][key] = won


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """What `SAKE_*` variables set, as nested tables of texts; unknown ones are warned of."""
    known = {_variable(name): name for name in _dotted_names(Settings)}
    given = {name: value for name, value in environ.items() if name.startswith(PREFIX)}
    for name in sorted(given.keys() - known.keys() - ELSEWHERE):
        log.warning("%s is not a setting: %s", name, did_you_mean(name, known))
    if not given.keys() & known.keys():
        return {}
    # Its import is a quarter of the start of `sake check`: only where a variable is set.
    from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

    class Environment(Settings, BaseSettings):
        """Read from, never made: a BaseSettings takes variables whenever it is validated, also
        where what a bundle was made with is read back."""

        model_config = SettingsConfigDict(
            env_prefix=PREFIX,
            env_nested_delimiter="__",
            enable_decoding=False,  # a list is `a,b`, not JSON
        )

    source = EnvSettingsSource(Environment)
    # By the dotted names: SAKE_TRUST_REMOTE_CODE is none of the section `trust`.
    source.env_vars = {
        f"{PREFIX}{known[name].replace('.', '__')}".lower(): given[name]
        for name in given.keys() & known.keys()
    }
    return source()


def _variable(dotted: str) -> str:
    name = "trust" if dotted == "trust.policy" else dotted
    return PREFIX + name.upper().replace(".", "_")


def _dotted_names(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Every scalar or list setting by its dotted name; tables of free keys are left out."""
    names = []
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            names += _dotted_names(kind, f"{prefix}{name}.")
        elif "dict" not in str(kind):
            names.append(prefix + name)
    return names


def differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """What differs between two nested tables: dotted name, old and new value (None: not set)."""
    first, second = dict(_flat(old)), dict(_flat(new))
    for name in sorted({*first, *second}):
        if first.get(name) != second.get(name):
            yield name, first.get(name), second.get(name)


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, inner in table.items():
        if isinstance(inner, dict) and inner:
            yield from _flat(inner, f"{prefix}{name}.")
        else:
            yield prefix + name, inner


def _put(values: dict[str, Any], dotted: str, value: Any) -> None:
    *tables, last = dotted.split(".")
    for table in tables:
        values = values.setdefault(table, {})
        if not isinstance(values, dict):
            return  # `compile = 5`: validation says so
    values[last] = value


def _explain(error: ValidationError, root: Path | None, origin: Mapping[str, str]) -> str:
    lines = []
    for problem in error.errors():
        name = ".".join(str(part) for part in problem["loc"])
        where = origin.get(name) or (f"{root / FILE_NAME}: {name}" if root else name)
        text = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            section: type[BaseModel] = Settings
            for part in problem["loc"][:-1]:
                kind = section.model_fields[str(part)].annotation
                assert isinstance(kind, type)
                section = kind
            hint = did_you_mean(str(problem["loc"][-1]), section.model_fields)
            text = f"unknown key; {hint}"
        lines.append(f"{where}: {text}")
    return "\n".join(lines)
