"""A bundle on a Hugging Face model.

Guarantees (DESIGN, invariants 1 to 4, 8):
- The model is never changed, and bare calls (`model.generate`, `model(...)`) stay bare, in
  other threads too: only calls through `Edited` are edited.
- Attaching proves the site, the identity of the checkpoint, and a probe of its activations.
- With no edit in scope, logits are bit-identical to the bare model's; after detaching as well.
- The last position before each token of an edit's object is steered (3.2.3), and the one behind it
  where the model would run on; nothing else.
- A prompt that is given as text is decided on as it stands, as `Bundle.route` does; token ids are
  decided on as the text that they decode to.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from sake_registry.errors import (
    BundleFormatError,
    InputError,
    ModelMismatchError,
    UnsupportedModelError,
)
from sake_registry.models import fingerprint
from sake_registry.models.fingerprint import ModelIdentity
from sake_registry.models.reading import last_positions, pad, pad_token, prove, read_probe
from sake_registry.models.site import Site
from sake_registry.models.sources import ModelSource, fetch, on_disk, resolve
from sake_registry.models.states import States
from sake_registry.models.tokens import runs_on
from sake_registry.runtime.bundle import EditedModel, utc_now
from sake_registry.runtime.following import Following
from sake_registry.runtime.generation import Generation
from sake_registry.runtime.probe import check_probe
from sake_registry.runtime.steering import SteeringSession, beginnings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from torch import Tensor

    from sake_registry.routing.router import Decision, Router
    from sake_registry.runtime.bundle import Bundle

# Ways of generating in which the first call of the output embedding is not the last prompt
# position, or is not this model's.
_REFUSED = (
    "assistant_model",
    "prompt_lookup_num_tokens",
    "assistant_early_exit",
    "custom_generate",
    "prefill_chunk_size",
    "use_mtp",
)


class Edited(EditedModel):
    """A model of transformers with a bundle attached; a context manager that detaches.

    Args:
        bundle: what is attached.
        model: a causal language model of transformers, not compiled.
        tokenizer: its tokenizer.
        source: the folder or name that the model was loaded from; needed only where the model
            itself does not know it.
        guard: keep an edited answer from returning to the old object; as compiled if None.
        clock: what time it is, for edits that are valid for a time; UTC now unless given.

    Raises:
        ModelMismatchError: another model than the one compiled for, by identity or by probe.
        UnsupportedModelError: a model that cannot be steered.
    """

    def __init__(
        self,
        bundle: Bundle,
        model: Any,
        tokenizer: Any,
        *,
        source: str | Path | None = None,
        guard: bool | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        super().__init__(bundle, model, tokenizer, clock)
        self._guard = bundle.guards if guard is None else guard
        self._beginnings: dict[tuple[str, int], frozenset[int]] = {}
        check_identity(bundle, model, source)
        self._site: Site | None = Site(model)
        self._following: Following | None = None
        try:
            prove(self._site, tokenizer)
            dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
            probe = read_probe(self._site, tokenizer, bundle.manifest.probe_texts)
            check_probe(bundle.file, probe, dtype)
            self._router = self._make_router()
            self._following = Following(model)
        except BaseException:
            self.detach()
            raise

    def detach(self) -> None:
        """Take the hook off; the model is what it was before. May be called twice."""
        if self._following is not None:
            self._following.remove()
            self._following = None
        if self._site is not None:
            self._site.remove()
            self._site = None

    # -- edited calls ------------------------------------------------------------------------

    @torch.no_grad()
    def generate(
        self,
        inputs: Any = None,
        *,
        decisions: Sequence[Decision] | None = None,
        **options: Any,
    ) -> Generation:
        """`model.generate` with the edits that are in scope.

        Args:
            inputs: token ids (rows, positions) as for `model.generate`, or a prompt, or a list
                of prompts, which are tokenised and padded here.
            decisions: one for each row, instead of the router's: for a caller that routes
                itself, or measures what happens under a decision.
            options: what `model.generate` takes: greedy, sampling, beams, streamers, any cache.

        Raises:
            UnsupportedModelError: a way of generating that cannot be steered, or a call in
                which the hook never fired.
        """
        site = self._attached()
        self._refuse(options)
        if isinstance(inputs, Mapping):  # what a tokenizer returns
            inputs, options = None, {**inputs, **options}
        inputs = options.pop("input_ids", None) if inputs is None else inputs
        ids, mask, prompts = self._tokenized(inputs, options.pop("attention_mask", None))
        real = self._real(ids, mask)
        if not bool(real[:, -1].all()):
            raise UnsupportedModelError(
                "a row ends in padding: its last position is not the prompt's",
                hint='pad on the left: tokenizer(…, padding=True, padding_side="left")',
            )
        if decisions is None:
            decisions = self.decide(self._texts(ids, real) if prompts is None else prompts)
        session = self._session(decisions, len(ids))
        # Only a mask that was given is handed on: without one the model has its own rule.
        extra = {} if mask is None else {"attention_mask": mask}
        following, width = self._following, ids.shape[1]
        assert following is not None
        following.forget()

        def action(hidden: Tensor) -> Tensor | None:
            if session.idle:
                return None
            rows = following.rows()
            if rows is None:
                raise UnsupportedModelError(
                    "this model does not say what it continues (prepare_inputs_for_generation)",
                    hint="supported: the generate of transformers' own models",
                )
            steered = session.steer(hidden[:, -1], rows[:, width:].tolist())
            if steered is None:
                return None
            result = hidden.clone()
            result[:, -1] = steered
            return result

        with site.acting(action) as call:
            output = self.model.generate(input_ids=ids, **extra, **options)
        call.require_firing()
        sequences = output if isinstance(output, torch.Tensor) else output.sequences
        whole = None if isinstance(output, torch.Tensor) else output
        return Generation(sequences, list(decisions), whole, self.tokenizer, ids.shape[1])

    def __call__(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        *,
        decisions: Sequence[Decision] | None = None,
        **options: Any,
    ) -> tuple[Any, list[Decision]]:
        """One forward pass, steered at the last real position of each row.

        Args:
            decisions: one for each row, as for `generate`.

        Returns:
            The model's output, and the decision for each row.

        Raises:
            UnsupportedModelError: `logits_to_keep`, which hides positions, or no firing.
        """
        site = self._attached()
        kept = options.get("logits_to_keep", 0)
        if isinstance(kept, torch.Tensor) or kept:
            raise UnsupportedModelError(
                "logits_to_keep hides positions from the site", hint="leave it out"
            )
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        if decisions is None:
            decisions = self.decide(self._texts(input_ids, self._real(input_ids, mask)))
        extra = {} if attention_mask is None else {"attention_mask": attention_mask}
        session = self._session(decisions, len(input_ids))

        def action(hidden: Tensor) -> Tensor | None:
            rows = torch.arange(len(hidden), device=hidden.device)
            last = last_positions(mask).to(hidden.device)
            steered = session.steer(hidden[rows, last], [()] * len(hidden))
            if steered is None:
                return None
            result = hidden.clone()
            result[rows, last] = steered
            return result

        with site.acting(action) as call:
            output = self.model(input_ids=input_ids, **extra, **options)
        call.require_firing()
        return output, list(decisions)

    # -- how -----------------------------------------------------------------------------------

    def _make_router(self) -> Router:
        """The bundle's router, with its prompt embedder or this model's own states."""
        bundle = self.bundle
        if bundle.representation == "embedder":
            return bundle.router()  # its embedder is part of the identity
        # One by one: what is decided of a prompt does not hang on what else is asked.
        states = States(self._attached(), self.tokenizer, bundle.representation, batch_size=1)

        def embed(texts: Sequence[str]) -> Tensor:
            self._attached()
            return states.embed(texts)

        width = embed(bundle.manifest.probe_texts[:1]).shape[1]
        if bundle.ids and width != bundle.manifest.embedder.width:
            raise BundleFormatError(
                f"{bundle.path}: its router's points have {bundle.manifest.embedder.width} "
                f"dimensions, the {bundle.manifest.embedder.name} has {width}",
                hint="compile again",
            )
        return bundle.router_by(embed)

    def _attached(self) -> Site:
        if self._site is None:
            raise UnsupportedModelError(
                "the bundle is detached from this model", hint="attach it again"
            )
        return self._site

    def _refuse(self, options: dict[str, Any]) -> None:
        configs = (options.get("generation_config"), getattr(self.model, "generation_config", None))
        for name in _REFUSED:
            values = [options.get(name), *(getattr(config, name, None) for config in configs)]
            if any(value is not None and value is not False for value in values):
                raise UnsupportedModelError(
                    f"generate({name}=…) cannot be edited: its first step is not the model's "
                    "answer to the whole prompt",
                    hint="supported: greedy, sampling and beam search, with or without a cache",
                )
        if options.get("inputs_embeds") is not None:
            raise UnsupportedModelError(
                "generate(inputs_embeds=…) cannot be edited: scope is decided on text",
                hint="give input_ids or prompts",
            )

    def _tokenized(
        self, inputs: Any, mask: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Sequence[str] | None]:
        """Token ids, their attention mask if one was given or made here, and the prompts where
        they were given as text."""
        device = next(self.model.parameters()).device
        if isinstance(inputs, torch.Tensor):
            return inputs.to(device), None if mask is None else mask.to(device), None
        texts = [inputs] if isinstance(inputs, str) else inputs
        if not isinstance(texts, list | tuple) or not all(isinstance(t, str) for t in texts):
            raise InputError("generate takes token ids, a prompt, or a list of prompts")
        if mask is not None:
            raise InputError("an attention_mask belongs to token ids, not to prompts as text")
        rows = [self.tokenizer(text).input_ids for text in texts]
        if not rows or not all(rows):
            raise InputError("there is nothing to generate from: a prompt is empty")
        ids, mask = pad(rows, pad_token(self.tokenizer), left=True)
        return ids.to(device), mask.to(device), texts

    def _real(self, ids: Tensor, mask: Tensor | None) -> Tensor:
        """Which positions hold text: by the mask, or by Hugging Face's rule where there is none."""
        if mask is None:
            pad, end = self.tokenizer.pad_token_id, self.tokenizer.eos_token_id
            padded = pad is not None and pad != end and bool((ids == pad).any())
            return ids != pad if padded else torch.ones_like(ids, dtype=torch.bool)
        if mask.shape != ids.shape:
            raise UnsupportedModelError(
                f"the attention mask is {tuple(mask.shape)}, the ids are {tuple(ids.shape)}",
                hint="give the ids of the whole text: a cache skips what it already holds",
            )
        return mask.bool()

    def _texts(self, ids: Tensor, real: Tensor) -> list[str]:
        """Rows as text. Special tokens, as between the turns of a chat, end a line."""
        special = set(self.tokenizer.all_special_ids)
        texts = []
        for row, keep in zip(ids.cpu(), real.cpu(), strict=True):
            runs: list[list[int]] = [[]]
            for token in row[keep].tolist():
                if token in special:
                    runs.append([])
                else:
                    runs[-1].append(token)
            decoded = (
                self.tokenizer.decode(run, clean_up_tokenization_spaces=False)
                for run in runs
                if run
            )
            texts.append("\n".join(decoded))
        return texts

    def _session(self, decisions: Sequence[Decision], rows: int) -> SteeringSession:
        """What the edits do in the rows of one call.

        Raises:
            InputError: another number of decisions than of rows.
        """
        if len(decisions) != rows:
            raise InputError(f"{len(decisions)} decisions for {rows} prompts")
        site = self._attached()
        # A model may be spread over several devices: rows are where the output embedding is.
        device = next(site.head.parameters()).device
        return SteeringSession(
            decisions,
            lambda edit, group: self.bundle.maps(edit, device)[group],
            self._guarded,
            lambda said, token: runs_on(self.tokenizer, said, token),
            site.logits,
        )

    def _guarded(self, edit: str, group: int) -> frozenset[int]:
        """The tokens with which a group's old object begins, if there is a guard against it."""
        if not self._guard:
            return frozenset()
        key = edit, group
        if key not in self._beginnings:
            info = self.bundle.file.info(edit)
            guarded = info.groups[group]
            names = (*info.subject, *info.new, guarded.new)
            self._beginnings[key] = beginnings(self.tokenizer, guarded.old, names) - frozenset(
                guarded.tokens
            )
        return self._beginnings[key]


def check_identity(bundle: Bundle, model: Any, source: str | Path | None) -> None:
    """Compare the checkpoint that a live model came from with the bundle's.

    Raises:
        ModelMismatchError: another checkpoint, or one that cannot be told.
    """
    expected = bundle.manifest.model
    wanted = ModelIdentity(**expected.identity.model_dump())
    folder = _origin(model, source)
    if folder is None:
        # Made or changed in memory: all that can be compared is what it holds.
        if fingerprint.live_checkpoint(model) == wanted.checkpoint:
            return
        raise ModelMismatchError(
            f"{bundle.path} is for {expected.name} (checkpoint {wanted.checkpoint[:12]}); which "
            "checkpoint this model was loaded from cannot be told",
            hint="say where it was loaded from: attach(model, tokenizer, source=FOLDER)",
        )
    here = fingerprint.identify_model(folder, wanted.embedder)
    if here != wanted:
        parts = here.differences(wanted)
        sides = "; ".join(
            f"{part} {getattr(wanted, part)[:12]} there, {getattr(here, part)[:12]} here"
            for part in parts
        )
        raise ModelMismatchError(
            f"{bundle.path} is for {expected.name} ({wanted.hash[:12]}), this model is {folder} "
            f"({here.hash[:12]}): {sides}",
            hint=f"load {expected.name}, or compile for this one: `sake compile --model {folder}`",
        )


def _origin(model: Any, source: str | Path | None) -> Path | None:
    """The folder of the checkpoint that a live model was loaded from, if it can be told."""
    if source is not None:
        path = Path(source)
        return path if path.is_dir() else fetch(resolve(str(source)))
    name = getattr(getattr(model, "config", None), "_name_or_path", "") or ""
    path = Path(name)
    if name and (path / "config.json").is_file():
        return path
    commit = getattr(model.config, "_commit_hash", None)
    source_of = ModelSource(name, "hub", name, commit)
    return fetch(source_of) if name and commit and on_disk(source_of) else None
