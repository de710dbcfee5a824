"""`sake serve`: an OpenAI-compatible server with a bundle on the model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sake_registry.commands.console import State, model_options, say
from sake_registry.runtime.judged import BUDGET

if TYPE_CHECKING:
    from sake_registry.models.loading import LocatedModel
    from sake_registry.settings import Settings


@click.command("serve")
@click.option("--bundle", metavar="PLACE", help="A bundle, or a pointer (.json) to one; a URL too.")
@click.option("--bare", is_flag=True, help="No bundle: the model alone, to compare with.")
@model_options
@click.option("--name", metavar="NAME", help="What clients call the model.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option(
    "--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0 takes any."
)
@click.option(
    "--overrides", metavar="PLACE", help="What is switched off; beside the bundle if not given."
)
@click.option(
    "--admin-token-file",
    type=click.Path(path_type=Path),
    help="The token of admin calls, else of SAKE_ADMIN_TOKEN.",
)
@click.option("--shadow", is_flag=True, help="Decide and log, change nothing.")
@click.option(
    "--log", type=click.Path(path_type=Path), help="Append decisions here, not to stderr."
)
@click.option("--log-prompts", is_flag=True, help="Log prompts too.")
@click.option(
    "--max-prompt-tokens", type=click.IntRange(1), help="Longest prompt; the context if not given."
)
@click.option(
    "--max-tokens",
    default=1024,
    show_default=True,
    type=click.IntRange(1),
    help="Longest answer, and that of a chat that does not say.",
)
@click.option(
    "--time-limit",
    default=120.0,
    show_default=True,
    type=click.FloatRange(0.1),
    help="Seconds until an answer has ended, waiting included.",
)
@click.option(
    "--decision-budget-ms",
    default=1000 * BUDGET,
    show_default=True,
    type=click.FloatRange(0.01),
    help="A decision that took longer does not count: the answer is bare.",
)
@click.option(
    "--batch",
    default=16,
    show_default=True,
    type=click.IntRange(1, 1024),
    help="Answers under way at once; others join as these end.",
)
@click.option(
    "--portion",
    default=128,
    show_default=True,
    type=click.IntRange(1),
    help="Prompt tokens read between two tokens of the answers under way.",
)
@click.option(
    "--waiting",
    default=256,
    show_default=True,
    type=click.IntRange(1),
    help="Requests that may wait; more are answered 503.",
)
@click.pass_obj
def command(
    state: State,
    /,
    bundle: str | None,
    bare: bool,
    name: str | None,
    host: str,
    port: int,
    overrides: str | None,
    admin_token_file: Path | None,
    shadow: bool,
    log: Path | None,
    log_prompts: bool,
    max_prompt_tokens: int | None,
    max_tokens: int,
    time_limit: float,
    decision_budget_ms: float,
    batch: int,
    portion: int,
    waiting: int,
    **options: Any,
) -> None:
    """Serve a model with a bundle on it, as OpenAI's API, with a page at /.

    Each answer says which edit fired. The bundle is replaced by changing the pointer, and an edit
    is switched off in overrides.json, both without a restart.

    \b
    sake serve
    sake serve --bundle production.json --model ./my-model --port 8080
    """
    if bare and bundle:
        raise click.UsageError("--bare has no bundle")
    from sake_registry.errors import MissingExtraError
    from sake_registry.settings import find_root, load_settings

    root = find_root(state.folder)
    settings = load_settings(root, options)
    try:
        from sake_registry.remote.trust import Policy
        from sake_registry.serving.admin import read_token
        from sake_registry.serving.batching import BatchLimits
        from sake_registry.serving.run import Serving, listen, run, service
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        raise MissingExtraError(f"serving needs {error.name}", "serve") from error
    from sake_registry.models.loading import load, locate

    token = read_token(admin_token_file, os.environ)
    policy = Policy.of(settings, root)
    with listen(host, port, token) as bound:  # before the model, whose loading takes long
        located = locate(settings)
        if bundle is None and not bare:
            bundle, overrides = _of_registry(state, options, located, settings, root, overrides)
        serving = Serving(
            name=name or located.source.short,
            place=bundle,
            overrides=overrides,
            policy=policy,
            shadow=shadow,
            log=log,
            log_prompts=log_prompts,
            token=token,
            budget=decision_budget_ms / 1000,
            prompt_tokens=max_prompt_tokens,
            answer_tokens=max_tokens,
            seconds=time_limit,
            batches=BatchLimits(rows=batch, waiting=waiting, portion=portion),
        )
        loaded = load(located, trust_remote_code=settings.trust_remote_code)
        with service(loaded.model, loaded.tokenizer, serving, source=located.folder) as ready:
            what = (
                f"{located.source.name} with {bundle}" if bundle else f"{located.source.name}, bare"
            )
            run(ready, bound, lambda url: say(f"serving {what}: {url}", err=True))


_EXTRA = {"fastapi", "starlette", "uvicorn", "prometheus_client", "fsspec", "aiohttp"}


def _of_registry(
    state: State,
    options: dict[str, Any],
    located: LocatedModel,
    settings: Settings,
    root: Path | None,
    overrides: str | None,
) -> tuple[str, str]:
    """The registry's newest bundle, and its overrides."""
    from sake_registry.compiler.plan import find_bundle
    from sake_registry.errors import InputError

    if root is None:
        raise InputError(
            f"no registry at or above {state.folder}, and no bundle is named",
            hint="sake serve --bundle FILE --model NAME",
        )
    path = find_bundle(state.registry(options), located)
    return str(path), overrides or str(settings.place("overrides", root))
