"""Which request each row of a step belongs to, and how far its answer is: of both runners.

The runner's own arrays on the host are read, and its input on the device only for rows that are
steered: with asynchronous scheduling the newest token is known nowhere else.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple

from sake_registry.errors import UnsupportedModelError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from torch import Tensor


class Row(NamedTuple):
    """A row that a token is sampled from.

    Attributes:
        at: which row of the step.
        request: its request's id.
        emitted: the tokens of the answer before the one that is sampled.
        place: where the newest token is in the step's input.
    """

    at: int
    request: str
    emitted: int
    place: int


class Rows(ABC):
    """The rows of the step that a runner is in."""

    def __init__(self, runner: Any) -> None:
        self._runner = runner

    @property
    @abstractmethod
    def samples_apart(self) -> bool:
        """Whether rows come to the output embedding in `sample_tokens`, not in `execute_model`."""

    @abstractmethod
    def prepare(self) -> bool:
        """Take note of the step, before its rows come; False if there is none."""

    @abstractmethod
    def count(self) -> int:
        """How many rows the step has."""

    @abstractmethod
    def emitting(self) -> int:
        """From how many of them a token is sampled."""

    @abstractmethod
    def sampled(self, requests: Collection[str]) -> list[Row]:
        """The rows of these requests from which a token is sampled in this step: not those of a
        prompt of which more is to come."""

    @abstractmethod
    def tokens(self, places: Sequence[int]) -> list[int]:
        """The tokens at places of the step's input."""

    @staticmethod
    def _read(inputs: Tensor, places: Sequence[int]) -> list[int]:
        return [int(token) for token in inputs[list(places)].tolist()]


class OlderRows(Rows):
    """Of `vllm.v1.worker.gpu_model_runner`, which keeps its rows in one batch that persists."""

    samples_apart = False

    def prepare(self) -> bool:
        return True

    def count(self) -> int:
        return int(self._runner.input_batch.num_reqs)

    def emitting(self) -> int:
        return self.count() - int(self._runner.discard_request_mask.np[: self.count()].sum())

    def sampled(self, requests: Collection[str]) -> list[Row]:
        runner, batch = self._runner, self._runner.input_batch
        rows = []
        for request in requests:
            i = batch.req_id_to_index.get(request)
            if i is None or runner.discard_request_mask.np[i]:
                continue
            start, end = (int(at) for at in runner.query_start_loc.np[i : i + 2])
            seen = int(batch.num_computed_tokens_cpu[i]) + end - start
            rows.append(Row(i, request, seen - int(batch.num_prompt_tokens[i]), end - 1))
        return rows

    def tokens(self, places: Sequence[int]) -> list[int]:
        return self._read(self._runner.input_ids.gpu, places)


class NewerRows(Rows):
    """Of `vllm.v1.worker.gpu.model_runner`, which makes a batch for each step."""

    samples_apart = True

    def __init__(self, runner: Any) -> None:
        super().__init__(runner)
        self._batch: Any = None

    def prepare(self) -> bool:
        state = self._runner.execute_model_state
        self._batch = None if state is None else state.input_batch
        return self._batch is not None

    def count(self) -> int:
        return int(self._batch.num_reqs)

    def emitting(self) -> int:
        batch = self._batch
        seen = batch.num_computed_tokens_np + batch.num_scheduled_tokens
        return int((seen >= batch.prefill_len_np).sum())

    def sampled(self, requests: Collection[str]) -> list[Row]:
        batch, prompts = self._batch, self._runner.req_states.prompt_len.np
        rows = []
        for i, request in enumerate(batch.req_ids):
            if request not in requests:
                continue
            seen = int(batch.num_computed_tokens_np[i]) + int(batch.num_scheduled_tokens[i])
            if seen >= int(batch.prefill_len_np[i]):
                emitted = seen - int(prompts[batch.idx_mapping_np[i]])
                rows.append(Row(i, request, emitted, int(batch.query_start_loc_np[i + 1]) - 1))
        return rows

    def tokens(self, places: Sequence[int]) -> list[int]:
        return self._read(self._batch.input_ids, places)


def rows_of(runner: Any) -> Rows:
    """What tells the rows of a runner.

    Raises:
        UnsupportedModelError: neither of vLLM's two runners.
    """
    # Not imported: each brings kernels that the other's machine may not have.
    modules = {kind.__module__ for kind in type(runner).__mro__}
    if "vllm.v1.worker.gpu.model_runner" in modules:
        return NewerRows(runner)
    if "vllm.v1.worker.gpu_model_runner" in modules:
        return OlderRows(runner)
    raise UnsupportedModelError(
        f"{type(runner).__module__}.{type(runner).__name__} is a runner that this version of the "
        "plugin does not know",
        hint="supported: vLLM's own runners for GPUs and CPUs",
    )
