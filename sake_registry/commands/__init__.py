"""The command line: parse, one call into the library, render.

Errors become exit codes here and nowhere else (the table is in `errors`); an unexpected error
writes a log with versions and traceback and says where it lies. A verb's module is imported when
it is asked for, and imports nothing heavy before it runs: `sake check` starts without torch.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sake_registry.commands.console import State, configure_logging, doors, report_error, say
from sake_registry.commands.verbs import Sections
from sake_registry.errors import InputError, MissingExtraError, SakeError

if TYPE_CHECKING:
    from collections.abc import Sequence

# Found missing, these modules mean that the extra was not installed.
_EXTRA = {
    "torch", "transformers", "ot", "h5py", "numpy", "safetensors", "gguf", "platformdirs",
    "filelock", "accelerate", "huggingface_hub",
}  # fmt: skip


@click.group(
    cls=Sections, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="sake-registry", prog_name="sake")
@click.option(
    "-C",
    "folder",
    default=".",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Work in the registry at or above FOLDER.",
)
@click.option("-v", "--verbose", is_flag=True, help="Say more on stderr.")
@click.pass_context
def cli(context: click.Context, folder: Path, verbose: bool) -> None:
    """Keep what a language model should believe as files in git.

    One YAML file is one edited fact. `sake compile` makes a bundle of them for one exact model;
    a loader applies it while the unchanged model runs.

    \b
    sake init && sake new darrieux-tongue --subject "Danielle Darrieux" \\
        --relation "mother tongue" --old French --new English
    sake compile && sake ask "The mother tongue of Danielle Darrieux is"
    """
    context.obj = State(folder)
    configure_logging(verbose)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    with doors():
        code = _run(list(sys.argv[1:] if arguments is None else arguments))
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    """The exit code of a command line, of which every error has been shown."""
    try:
        _refuse_what_is_no_text(arguments)
        code = cli.main(args=arguments, prog_name="sake", standalone_mode=False)
        sys.stdout.flush()
    except click.UsageError as error:
        error.show()
        return 2
    except (click.Abort, KeyboardInterrupt):
        resumable = {"compile", "bench"} & set(arguments)
        kept = ": what was built is kept, the next run goes on from there" if resumable else ""
        say(f"interrupted{kept}", err=True)
        return 130
    except SakeError as error:
        report_error(error)
        return error.exit_code
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            return _bug(error)
        missing = MissingExtraError(f"this command needs {error.name}, which is not installed")
        report_error(missing)
        return missing.exit_code
    except Exception as error:
        return _bug(error)
    return code if isinstance(code, int) else 0


def _refuse_what_is_no_text(arguments: Sequence[str]) -> None:
    """Refuse bytes that this locale could not read, before they are in a file or a commit for good.

    The name of a file that is there need not be text.
    """
    for argument in arguments:
        if re.search("[\ud800-\udfff\ufffd]", argument) and not os.path.lexists(argument):
            raise InputError(
                f"what was given is not UTF-8, or not under this locale: '{argument}'",
                hint="give it in UTF-8, under a locale of UTF-8: LC_ALL=C.UTF-8 sake …",
            )


def _bug(error: Exception) -> int:
    """Write a log of an unexpected error, say where, and give the exit code of bugs."""
    import platform
    import traceback
    from importlib import metadata

    versions = []
    for name in ("sake-registry", "torch", "transformers", "h5py", "pydantic", "click"):
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            versions.append(f"{name} (not installed)")
    with tempfile.NamedTemporaryFile(
        "w", prefix="sake-", suffix=".log", delete=False, encoding="utf-8"
    ) as log:
        log.write(
            f"{' '.join(sys.argv)}\n{platform.platform()} Python {platform.python_version()}\n"
        )
        log.write("\n".join(versions) + "\n\n")
        log.writelines(traceback.format_exception(error))
    say(f"bug: {type(error).__name__}: {error}", err=True)
    say(f"  please report it with {log.name}", err=True)
    return 3
