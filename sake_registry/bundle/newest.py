"""A folder of bundles: how their files are named, and which is the newest of each model.

Guarantee: only whole bundles are found, by a manifest that its seal verifies; a file that is no
sound bundle is passed over with a warning. The newest is the one that was last written or asked
for; of equally new ones, the first by name.
"""

from __future__ import annotations

import logging
import re
from contextlib import suppress
from typing import TYPE_CHECKING

from sake_registry.errors import InputError, LockedError
from sake_registry.wording import count

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sake_registry.bundle.format import Manifest

log = logging.getLogger(__name__)

SUFFIX = ".h5"

_OF_KEY = re.compile(r"-[0-9a-f]{12}(-slim)?$")
"""What follows the model in a bundle's file name."""


def model_name(short: str, model_hash: str) -> str:
    """What the names of a model's bundles begin with."""
    return f"{short}-{model_hash[:8]}"


def file_name(model: str, key: str, *, slim: bool) -> str:
    """The name of a bundle's file: of what model (`model_name`) and content it is."""
    return f"{model}-{key[:12]}{'-slim' if slim else ''}{SUFFIX}"


def bundle_files(folder: Path, model: str = "") -> list[Path]:
    """The files in a folder that are named like bundles, of one model (`model_name`) or of all;
    no link is one."""
    paths = folder.glob(f"{model}-*{SUFFIX}" if model else f"*{SUFFIX}")
    return sorted(path for path in paths if path.name[0] != "." and not path.is_symlink())


def newest_bundles(
    folder: Path,
    *,
    model: str = "",
    accept: Callable[[Manifest], bool] = lambda manifest: True,
) -> list[tuple[Path, Manifest]]:
    """The newest whole bundle of each model in a folder, the newest of all first.

    Args:
        model: of this model alone (`model_name`).
        accept: whether a bundle counts; one that does not is passed over for an older one.

    Raises:
        ModuleNotFoundError: the extra that reads bundles is missing, and there is a file to read.
    """
    files: dict[Path, int] = {}
    for path in bundle_files(folder, model):
        with suppress(OSError):  # it is gone
            if path.is_file():
                files[path] = path.stat().st_mtime_ns
    if not files:
        return []
    from sake_registry.bundle.reader import read_manifest

    newest: dict[str, tuple[Path, Manifest]] = {}
    unsound: list[InputError | LockedError] = []
    for path in sorted(files, key=lambda p: (-files[p], p.name)):
        of = _OF_KEY.sub("", path.stem)
        if of in newest:
            continue
        try:
            manifest = read_manifest(path)
        except (InputError, LockedError) as error:
            unsound.append(error)
            continue
        if not manifest.partial and accept(manifest):
            newest[of] = path, manifest
    if unsound:
        what = f"passed over {count(len(unsound), 'file')} in {folder}"
        log.warning("%s: %s", what, unsound[0].message)
    return list(newest.values())
