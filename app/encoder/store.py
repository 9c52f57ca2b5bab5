"""The folder DATA/encoders: bundles by their sha256, copied whole and durably, loaded once."""

import errno
import os
import shutil
import threading
import time
import uuid
from collections.abc import Collection as AnyOf
from contextlib import suppress
from pathlib import Path
from typing import Final

from index.drafts import drafting
from model.contract.bundle import Bundle, load_bundle
from model.contract.errors import BundleDamagedError
from model.contract.files import sync_path
from model.contract.manifest import MANIFEST_FILE

_YOUNG_S: Final = 24 * 3600.0


class EncoderStore:
    """Bundles on disk, and those of them that are loaded.

    Args:
        folder: DATA/encoders.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loaded: dict[str, Bundle] = {}
        self._lock = threading.Lock()  # guards _loaded, and lets one thread at a time load

    def copy(self, bundle: Bundle) -> Path:
        """Copy a verified bundle to its place; what is there already and whole stays, though it came meanwhile."""
        target = self._folder / bundle.sha
        if target.exists() and _is_whole(target, bundle.sha):
            os.utime(target)  # wanted now: see `sweep`
            return target
        with drafting(self._folder, bundle.sha) as draft:
            made = draft.folder / "bundle"
            made.mkdir()
            for name in (MANIFEST_FILE, *bundle.manifest.files):
                shutil.copyfile(bundle.path / name, made / name)
            _sync(made)
            _put(made, target, bundle.sha)
        sync_path(self._folder)
        return target

    def path(self, sha: str) -> Path:
        """Where a bundle lies, if it is there."""
        return self._folder / sha

    def find_loaded(self, sha: str) -> Bundle | None:
        """The bundle if it is in memory already."""
        return self._loaded.get(sha)

    def get(self, sha: str) -> Bundle:
        """The loaded bundle, from memory after the first time.

        Raises:
            BundleError: It is not there, or not what it was.
        """
        loaded = self._loaded.get(sha)
        if loaded is not None:
            return loaded
        with self._lock:
            if sha not in self._loaded:
                self._loaded[sha] = self._load(sha)
            return self._loaded[sha]

    def forget(self, sha: str) -> None:
        """Keep a bundle in memory no longer."""
        with self._lock:
            self._loaded.pop(sha, None)

    def remove(self, sha: str) -> None:
        """Remove a bundle from the disk."""
        self.forget(sha)
        shutil.rmtree(self._folder / sha, ignore_errors=True)

    def sweep(self, known: AnyOf[str]) -> None:
        """Remove bundles that are not known, and copies that were cut off; a young one may be about to be registered.

        Args:
            known: The sha256 of those that stay.
        """
        for path in self._folder.glob("*"):
            with suppress(FileNotFoundError):  # another server may be faster
                if path.name not in known and time.time() - path.stat().st_mtime > _YOUNG_S:
                    self.remove(path.name)

    def _load(self, sha: str) -> Bundle:
        bundle = load_bundle(self._folder / sha)
        if bundle.sha != sha:
            raise BundleDamagedError(f"{bundle.path} holds bundle {bundle.sha[:12]}...: add the original again")
        return bundle


def _put(made: Path, target: Path, sha: str) -> None:
    """Move a copy to its place; one that another has just put there stays, a damaged one is moved aside."""
    while True:
        try:
            made.rename(target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            return
        if _is_whole(target, sha):
            return
        with suppress(FileNotFoundError):  # others do the same
            target.rename(made.with_name(uuid.uuid4().hex))


def _is_whole(folder: Path, sha: str) -> bool:
    try:
        return load_bundle(folder).sha == sha
    except Exception:  # whatever is wrong with it, it is copied again
        return False


def _sync(folder: Path) -> None:
    for path in folder.rglob("*"):
        sync_path(path)
    sync_path(folder)
