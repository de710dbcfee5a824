"""A bundle on a Hugging Face model.

Guarantees (DESIGN, invariants 1 to 4, 8):
- The model is never changed, and bare calls (`model.generate`, `model(...)`) stay bare, in
  other threads too: only calls through `Edited` are edited.
- Attaching proves the site, the identity of the checkpoint, a probe of its activations, and one
  steered step of `generate`. What changes the model in memory afterwards (a cast, an adapter that
  is switched) has all that proved again at the next call.
- Of an edited call only its own passes are steered, not those that a stopping criterion, a
  processor or a streamer makes in it. A pass that was not seen raises.
- The hook goes with the handle: it is taken off when the handle is detached or collected.
- With no edit in scope, logits are bit-identical to the bare model's; after detaching as well.
- The last position before each token of an edit's object is steered (3.2.3), and the one behind it
  where the model would run on; nothing else.
- A prompt that is given as text is decided on as it stands, as `Bundle.route` does; token ids are
  decided on as the text that they decode to.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import GenerationConfig

from sake_registry import transport
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
from sake_registry.models.tokens import text_of
from sake_registry.routing.reasons import Reason
from sake_registry.routing.router import NOBODY, Decision
from sake_registry.runtime.bundle import EditedModel, utc_now
from sake_registry.runtime.following import Following
from sake_registry.runtime.generation import Generation
from sake_registry.runtime.probe import adapters_active, check_probe
from sake_registry.runtime.steering import Answering, Head, Steering, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from torch import Tensor

    from sake_registry.models.site import SiteCall
    from sake_registry.routing.router import Router
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
    "dola_layers",
    "constraints",
    "force_words_ids",
)
FAILURES = (RuntimeError, TypeError, ValueError, LookupError, AttributeError, NotImplementedError)
"""What comes out of a model that cannot do what is asked of it."""
_STEP_TOLERANCE = 1e-2
"""Largest relative distance of a steered step's logits from what the map makes of the row."""
_LAST = (slice(None), -1)
_Places = tuple[Any, "Iterable[tuple[int, Answering, Sequence[int]]]"]
"""Where rows are in (rows, positions, …), and those that an edit answers (`Steering.begin`)."""
_EMBEDS = "inputs_embeds cannot be edited: scope is decided on text"


class _NotTheModelError(UnsupportedModelError, AttributeError):
    """The handle was taken for the model."""


class Edited(EditedModel):
    """A model of transformers with a bundle attached; a context manager that detaches.

    Args:
        bundle: what is attached.
        model: a causal language model of transformers, not compiled.
        tokenizer: its tokenizer.
        source: the folder or name that the model was loaded from; needed only where the model
            itself does not know it.
        guard: keep an edited answer from returning to the old object; as compiled if None.
        exact: make each token of an object, and its end, certain; as compiled if None.
        clock: what time it is, for edits that are valid for a time; UTC now unless given.
        proved_by: another handle on this model. Where the model is as that one proved it, the
            bundle's probe is held against what was read then, and no pass is made.

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
        exact: bool | None = None,
        clock: Callable[[], datetime] = utc_now,
        proved_by: Edited | None = None,
    ) -> None:
        if not isinstance(model, torch.nn.Module):
            within = getattr(model, "model", None)
            raise InputError(
                f"a bundle is attached to a model, and this is a {type(model).__name__}",
                hint="attach it to its model: attach(pipeline.model, pipeline.tokenizer)"
                if isinstance(within, torch.nn.Module)
                else "AutoModelForCausalLM.from_pretrained(…) gives one",
            )
        super().__init__(bundle, model, tokenizer, clock)
        self._guard = guard
        check_identity(bundle, model, source)
        self._site = Site(model)
        # A handle that nobody holds any more takes its hook with it.
        undo = [self._site.remove]
        self._release = weakref.finalize(self, _do_all, undo)
        self._release.atexit = False
        try:
            proved = proved_by is not None and self._take_proof(proved_by)
            if not proved:
                self._prove_model()
            self._following = Following(model)
            undo.append(self._following.remove)
            self._steering = self._make_steering(exact)
            if not proved:
                self._prove_steering()
            self._router = self._make_router()
        except BaseException:
            self.detach()
            raise

    def detach(self) -> None:
        """Take the hook off; the model is what it was before. May be called twice."""
        self._release()

    def __getattr__(self, name: str) -> Any:
        model = self.__dict__.get("model")
        if model is None or name.startswith("_") or not hasattr(model, name):
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")
        raise _NotTheModelError(
            f"an edited model is no model of transformers: '{name}' is the model's own",
            hint=f"edited.model.{name} is not edited; edited(…) and edited.generate(…) are. A "
            "pipeline calls the model itself: use edited.generate(prompts).texts in its place",
        )

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
        self._proved()
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
        answers = self._answers(decisions, len(ids))
        # Only a mask that was given is handed on: without one the model has its own rule.
        extra = {} if mask is None else {"attention_mask": mask}
        # A pass that is compiled would run without the hook.
        options.setdefault("disable_compile", True)
        output = self._steered(self._steering, answers, ids, {**extra, **options})
        sequences = output if isinstance(output, torch.Tensor) else output.sequences
        whole = None if isinstance(output, torch.Tensor) else output
        return Generation(sequences, list(decisions), whole, self.tokenizer, ids.shape[1])

    def _steered(
        self,
        steering: Steering,
        answers: Sequence[Answering | None],
        ids: Tensor,
        options: dict[str, Any],
    ) -> Any:
        """What `model.generate` returns for a call whose rows are answered so.

        Raises:
            UnsupportedModelError: a pass of it did not come to the site.
        """
        width = ids.shape[1]
        edited = [(row, answer) for row, answer in enumerate(answers) if answer is not None]
        with self._following.call() as passes:

            def places(hidden: Tensor) -> _Places | None:
                rows = passes.take()
                if rows is None or not edited:
                    return None
                emitted = rows[:, width:].tolist()
                # Beams and samples of one prompt stand together.
                repeats = len(emitted) // len(answers)
                return _LAST, (
                    (i, answer, emitted[i])
                    for row, answer in edited
                    for i in range(row * repeats, (row + 1) * repeats)
                )

            with self._steering_at(places, steering) as call:
                output = self.model.generate(input_ids=ids, **options)
        call.require_firing()
        if passes.missed or passes.awaited or not passes.taken:
            raise UnsupportedModelError(
                "a pass of this generation did not come to the hook: it ran without edits",
                hint="supported: the generate of transformers' own models, uncompiled",
            )
        return output

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
        self._proved()
        self._check_ids(input_ids)
        if options.get("inputs_embeds") is not None:
            raise UnsupportedModelError(_EMBEDS, hint="give input_ids")
        cache = options.get("past_key_values")
        if cache is not None and cache.get_seq_length():
            raise UnsupportedModelError(
                "a cache hides the text before these ids, on which scope is decided",
                hint="give the ids of the whole text and no cache, or use generate, which takes "
                "the whole text with one",
            )
        kept = options.get("logits_to_keep", 0)
        if isinstance(kept, torch.Tensor) or kept:
            raise UnsupportedModelError(
                "logits_to_keep hides positions from the site", hint="leave it out"
            )
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        if decisions is None:
            decisions = self.decide(self._texts(input_ids, self._real(input_ids, mask)))
        extra = {} if attention_mask is None else {"attention_mask": attention_mask}
        answers = self._answers(decisions, len(input_ids))
        edited = [(i, answer, ()) for i, answer in enumerate(answers) if answer is not None]

        def places(hidden: Tensor) -> _Places | None:
            return (_last(hidden, mask), edited) if edited else None

        with self._steering_at(places) as call:
            output = self.model(input_ids=input_ids, **extra, **options)
        call.require_firing()
        return output, list(decisions)

    def answering(self, decisions: Sequence[Decision]) -> list[Answering | None]:
        """Answers that begin under these decisions, to be steered pass by pass (`steering`); None
        where no edit fires.

        Raises:
            ModelMismatchError, UnsupportedModelError: as of `generate`.
        """
        self._proved()
        return self._answers(decisions, len(decisions))

    @contextmanager
    def steering(
        self, rows: Sequence[tuple[int, Answering, Sequence[int]]], at: Any = _LAST
    ) -> Iterator[None]:
        """The pass of the model that the block makes is steered, for a caller who has a decoding
        loop of his own.

        Several handles on a model may steer one pass, each its own rows.

        Args:
            rows: of each row that an edit of this bundle answers its index, its answer, and the
                token ids emitted in it so far.
            at: where in (rows, positions) those rows are, as an index of a tensor; the last
                position of each row of the pass if not given. A pass that reads answers as they
                stand has many: ([0, 0], [7, 8]) are two positions of its first row.

        Raises:
            UnsupportedModelError: the pass did not come to the site.
        """
        self._attached()
        with self._steering_at(lambda hidden: (at, rows)) as call:
            yield
        call.require_firing()

    # -- how -----------------------------------------------------------------------------------

    @contextmanager
    def _steering_at(
        self,
        places: Callable[[Tensor], _Places | None],
        steering: Steering | None = None,
    ) -> Iterator[SiteCall]:
        """Steer the passes of the block.

        Args:
            places: told what comes to the site, (rows, positions, width), says what of it is
                steered; None for a pass that is left as it is.
        """
        steering = steering or self._steering
        step: Step | None = None
        at: Any = None

        def action(hidden: Tensor) -> Tensor | None:
            nonlocal step, at
            chosen, step = places(hidden), None
            if chosen is None:
                return None
            at, answers = chosen
            last = hidden[at]
            step = steering.begin(last, answers)
            return _replaced(hidden, at, last, step.rows)

        def finish(logits: Tensor) -> Tensor | None:
            if step is None or not step.waits:
                return None
            last = logits[at]
            return _replaced(logits, at, last, step.finish(last))

        with self._site.acting(action, finish) as call:
            yield call

    @property
    def _device(self) -> torch.device:
        """A model may be spread over several: rows are where the output embedding is."""
        return next(self._site.head.parameters()).device

    def _make_steering(self, exact: bool | None) -> Steering:
        head = Head(self._site.logits, self._site.directions)
        return self.bundle.steering(
            self.tokenizer, head, self._device, guard=self._guard, exact=exact
        )

    def _make_router(self) -> Router:
        """The bundle's router, with its prompt embedder or this model's own states."""
        bundle = self.bundle
        if bundle.representation == "embedder":
            return bundle.router()  # its embedder is part of the identity
        # One by one: what is decided of a prompt does not hang on what else is asked.
        site = self._attached()
        states = States(site, self.tokenizer, bundle.representation, batch_size=1)

        def embed(texts: Sequence[str]) -> Tensor:  # holds no handle: that is to be collected
            _require_attached(site)
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
        _require_attached(self._site)
        return self._site

    def _proved(self) -> None:
        """The model is the one that was proved: proved again if it has changed in memory.

        Raises:
            ModelMismatchError: it has become another model.
            UnsupportedModelError: it is detached, compiled, or cannot be steered any more.
        """
        self._attached().require_uncompiled()
        if _in_memory(self.model) != self._state:
            self._prove_model()

    def _prove_model(self) -> None:
        prove(self._site, self.tokenizer)
        self._probe = read_probe(self._site, self.tokenizer, self.bundle.manifest.probe_texts)
        self._check_probe()
        self._state = _in_memory(self.model)

    def _check_probe(self) -> None:
        dtype = str(next(self.model.parameters()).dtype).removeprefix("torch.")
        check_probe(self.bundle.file, self._probe, dtype, adapters(self.model))

    def _take_proof(self, other: Edited) -> bool:
        """Go by what another handle proved, if it was of this model as it is, with the texts of
        this bundle's probe; returns whether that is so.

        Raises:
            ModelMismatchError: the model is another one than the bundle's, by its probe.
        """
        texts = self.bundle.manifest.probe_texts
        same = other.model is self.model and other.tokenizer is self.tokenizer
        if not (same and other.bundle.ids and other.bundle.manifest.probe_texts == texts):
            return False
        if _in_memory(self.model) != other._state:
            return False
        self._probe, self._state = other._probe, other._state
        self._site.require_uncompiled()
        self._check_probe()
        return True

    @torch.no_grad()
    def _prove_steering(self) -> None:
        """One step of `generate` with a real map on one of two rows: it does to that row what
        the map says, and nothing to the other.

        Raises:
            UnsupportedModelError: it does not, or generating fails.
        """
        if not self.bundle.ids:
            return
        edit = self.bundle.ids[0]
        ids, mask, _ = self._tokenized(list(self.bundle.manifest.probe_texts[:2]), None)
        forced = Decision(edit=edit, group=0, nearest=edit, reason=Reason.GIVEN)
        steering = self._make_steering(exact=False)
        answers = self._answers([forced, NOBODY], 2, steering)
        config = GenerationConfig(  # type: ignore[no-untyped-call]
            max_new_tokens=1, do_sample=False, num_beams=1, output_logits=True,
            return_dict_in_generate=True, disable_compile=True,
            pad_token_id=pad_token(self.tokenizer),
        )  # fmt: skip
        options = {"attention_mask": mask, "generation_config": config}
        first = self.bundle.maps(edit, self._device)[0].maps[0]

        def by_hand(hidden: Tensor) -> Tensor:
            result = hidden.clone()
            result[:1, -1] = transport.apply(first, hidden[:1, -1])
            return result

        try:
            bare = self.model.generate(input_ids=ids, **options).logits[0]
            with self._site.acting(by_hand):
                expected = self.model.generate(input_ids=ids, **options).logits[0]
            steered = self._steered(steering, answers, ids, options).logits[0]
        except FAILURES as error:
            raise UnsupportedModelError(
                f"this model cannot be steered: a step of generate fails ({error})",
                hint="supported: the generate of transformers' own models",
            ) from error
        # A copy of the rows may lie otherwise in memory, which moves sums in their last bits.
        wanted = torch.stack((expected[0], bare[1])).float()
        off = (steered.float() - wanted).norm(dim=1) / wanted.norm(dim=1)
        if not bool((off <= _STEP_TOLERANCE).all()):
            raise UnsupportedModelError(
                "this model cannot be steered: a step of generate is not what the map makes of it",
                hint="supported: the generate of transformers' own models",
            )

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
            raise UnsupportedModelError(_EMBEDS, hint="give input_ids or prompts")

    def _tokenized(
        self, inputs: Any, mask: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Sequence[str] | None]:
        """Token ids, their attention mask if one was given or made here, and the prompts where
        they were given as text."""
        device = next(self.model.parameters()).device
        if isinstance(inputs, torch.Tensor):
            self._check_ids(inputs)
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

    def _check_ids(self, ids: Any) -> None:
        """Raises InputError unless these are token ids, (rows, positions), that the model knows."""
        if not isinstance(ids, torch.Tensor) or ids.dim() != 2 or not ids.numel():
            shape = getattr(ids, "shape", None)
            what = type(ids).__name__ if shape is None else f"tensor of {tuple(shape)}"
            raise InputError(
                f"token ids are a tensor (rows, positions), and this is a {what}",
                hint="one row of ids is ids[None]",
            )
        size = self.model.get_input_embeddings().weight.shape[0]
        if ids.is_floating_point() or not 0 <= int(ids.min()) <= int(ids.max()) < size:
            raise InputError(f"token ids are whole numbers from 0 to {size - 1}")

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
        return [
            text_of(self.tokenizer, row[keep].tolist())
            for row, keep in zip(ids.cpu(), real.cpu(), strict=True)
        ]

    def _answers(
        self, decisions: Sequence[Decision], rows: int, steering: Steering | None = None
    ) -> list[Answering | None]:
        """What the edits do in the rows of one call.

        Raises:
            InputError: another number of decisions than of rows.
        """
        if len(decisions) != rows:
            raise InputError(f"{len(decisions)} decisions for {rows} prompts")
        self._attached()
        return [(steering or self._steering).answering(decision) for decision in decisions]


def _last(of_rows: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Where the last real positions are in (rows, positions, …)."""
    rows = torch.arange(len(of_rows), device=of_rows.device)
    return rows, last_positions(mask).to(of_rows.device)


def _replaced(whole: Tensor, places: Any, old: Tensor, new: Tensor) -> Tensor | None:
    """A copy with new values at some places; None if they are the old ones."""
    if new is old:
        return None
    result = whole.clone()
    result[places] = new
    return result


def _do_all(actions: Sequence[Callable[[], None]]) -> None:
    for action in actions:
        action()


def _require_attached(site: Site) -> None:
    if not site.attached:
        raise UnsupportedModelError(
            "the bundle is detached from this model", hint="attach it again"
        )


def adapters(model: Any) -> list[str]:
    """The names of the adapters (PEFT's) that take part in what a model computes, in order."""
    names: set[str] = set()
    for module in model.modules():
        if hasattr(type(module), "disable_adapters") and hasattr(type(module), "active_adapters"):
            names.update(getattr(module, "merged_adapters", ()))
            names.update(() if module.disable_adapters else module.active_adapters)
    return sorted(names)


def _in_memory(model: Any) -> Any:
    """What tells that a model was changed where it is: cast, moved, written to, an adapter
    switched, made to learn."""
    weights = [
        (id(p), p.dtype, p.device, 0 if p.is_inference() else p._version)
        for p in model.parameters()
    ]
    return weights, adapters(model), model.training


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
            "checkpoint this model was loaded from cannot be told"
            f"{adapters_active(adapters(model))}",
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
            f"({here.hash[:12]}): {sides}{adapters_active(adapters(model))}",
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
