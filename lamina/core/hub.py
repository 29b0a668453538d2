"""hf:OWNER/NAME[@REVISION][/FILE]: repositories of the Hugging Face hub, at one commit, checked by hash, kept for good.

    LAMINA_CACHE (else the user's cache folder, lamina/)
      hub/blobs/<hash>                                   files by what is in them
      hub/<host>/<datasets|models>/<owner>--<name>/<commit>/listing.json      names, sizes and hashes, sealed
                                                                    /files/   the same bytes under their own names
A branch or a tag is looked up when asked for, and stands for its commit from then on; a commit that is in the cache
needs no network. Every file is compared with its hash each time a process first opens it. No file is ever run.
LAMINA_DOWNLOAD_GB bounds what one call may fetch (20).
"""

import contextlib
import os
import re
import shutil
import sys
import threading
import urllib.parse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from lamina.core import download
from lamina.core.download import Known
from lamina.core.errors import DataError, RunError, SettingError, TrainingError, did_you_mean
from lamina.core.files import Lock, read_sealed, write_sealed

__all__ = ["Address", "Listing", "cache", "fetch", "is_address", "listing", "parse", "pinned"]

MOST_FILES = 100_000
MOST_LISTED = 128 << 20  # bytes of a listing
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
_REVISION = r"refs/pr/\d+|refs/convert/[a-z]+|[A-Za-z0-9_][A-Za-z0-9._-]*"
_ADDRESS = re.compile(rf"hf:({_NAME}/{_NAME}|{_NAME}(?![^@]))(?:@({_REVISION}))?(?:/(.+))?", re.DOTALL)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_checked: set[tuple[str, str, int, int]] = set()  # path, hash, size, time of change: what this process has compared


@dataclass(frozen=True)
class Address:
    """A repository, or a file or folder in it. kind: datasets or models; revision: empty for the newest."""

    kind: str
    name: str
    revision: str = ""
    file: str = ""

    def __str__(self) -> str:
        at, file = f"@{self.revision}" if self.revision else "", f"/{self.file}" if self.file else ""
        return f"hf:{self.name}{at}{file}"

    @property
    def pinned(self) -> bool:
        """Whether the revision is a commit, which never changes."""
        return bool(_COMMIT.fullmatch(self.revision))


@dataclass(frozen=True)
class Listing:
    """The files of a repository at a commit, by their names. address: without a file."""

    address: Address
    files: dict[str, Known]


def is_address(source: Any) -> bool:
    """Whether this names a repository of the hub."""
    return isinstance(source, str) and source.startswith("hf:")


def parse(text: str, kind: str) -> Address:
    """Raises: SettingError for what is no address."""
    found = _ADDRESS.fullmatch(text)
    name, revision, file = found.groups() if found else ("", "", "")
    if not found or "--" in name or ".." in name or (file and _strays(file)):
        raise SettingError(f"{text!r} is no address of the hub. Expected hf:OWNER/NAME, hf:OWNER/NAME@REVISION or "
                           "hf:OWNER/NAME@REVISION/FILE.")  # fmt: skip
    return Address(kind, name, revision or "", (file or "").rstrip("/"))


def pinned(source: Any, kind: str) -> Any:
    """An address with its branch or tag turned into the commit that it is now; anything else as it is."""
    return str(_pin(parse(source, kind))) if is_address(source) else source


def _pin(address: Address) -> Address:
    if address.pinned:
        return address
    revision = urllib.parse.quote(address.revision or "main", safe="")
    with _or_cached(address):
        found, _ = _api(address, f"revision/{revision}")
    commit = found.get("sha") if isinstance(found, dict) else None
    if not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
        raise DataError(f"{address}: the hub names no commit for it. Is HF_ENDPOINT right?")
    return replace(address, revision=commit)


def listing(address: Address) -> Listing:
    """What a repository holds at the address's commit, from the cache or the hub. Raises: DataError."""
    whole = replace(_pin(address), file="")
    path = _home(whole) / "listing.json"
    if path.is_file():
        with contextlib.suppress(RunError, ValueError, TypeError, KeyError):  # damaged: asked for again
            kept = read_sealed(path, {"files": {str: list}}, MOST_LISTED)["files"]
            return Listing(whole, {name: Known(*row) for name, row in kept.items()})
    with _or_cached(whole):
        files = _tree(whole)
    with _writing():
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = {name: [one.size, one.algorithm, one.hash] for name, one in files.items()}
        write_sealed(path, {"address": str(whole), "files": rows})
    return Listing(whole, files)


def fetch(listed: Listing, names: Iterable[str]) -> list[Path]:
    """Where these files lie on this machine, each of the listed hash; those that are not there are fetched.

    Raises: DataError for a name that is not listed, too much to fetch, no network, or bytes of another hash.
    """
    names, root = list(names), _home(listed.address) / "files"
    unknown = next((name for name in names if name not in listed.files), None)
    if unknown is not None:
        near = did_you_mean(unknown, listed.files) or f" It has {', '.join(sorted(listed.files)[:8])}."
        raise DataError(f"{listed.address} has no file {unknown!r}.{near}")
    lacking = [name for name in names if not _whole(root / name, listed.files[name])]
    missing = {listed.files[n].hash: n for n in lacking if not _whole(_blob(listed.files[n]), listed.files[n])}
    if missing:
        _check_room(listed, list(missing.values()))
        with _writing(), _one_at_a_time() as alone:
            for name in missing.values():
                _get(listed, name, alone)
    with _writing():
        for name in lacking:
            _place(_blob(listed.files[name]), root / name)
    return [root / name for name in names]


def cache() -> Path:
    """Where downloads are kept. Raises: SettingError where no such place is known."""
    if given := os.environ.get("LAMINA_CACHE"):
        return Path(given).expanduser().absolute()
    try:
        if os.name == "nt" and os.environ.get("LOCALAPPDATA"):
            return Path(os.environ["LOCALAPPDATA"]) / "lamina" / "cache"
        if sys.platform == "darwin":
            return Path.home() / "Library" / "Caches" / "lamina"
        given = os.environ.get("XDG_CACHE_HOME", "")
        return (Path(given) if os.path.isabs(given) else Path.home() / ".cache") / "lamina"
    except RuntimeError:
        raise SettingError("There is no home folder to keep downloads in. Set LAMINA_CACHE to a folder.") from None


# ----------------------------------------------------------------------------------------------------- what it holds


def _api(address: Address, rest: str) -> tuple[Any, str | None]:
    _may_ask(str(address))
    return download.fetch_json(f"/api/{address.kind}/{address.name}/{rest}", str(address))


def _tree(address: Address) -> dict[str, Known]:
    """Every file of a commit, page by page. Raises: DataError for names that lead out of their folder."""
    rows, following = _api(address, f"tree/{address.revision}?recursive=true")
    files: dict[str, Known] = {}
    while True:
        try:
            for row in rows:
                if row["type"] == "file":
                    large = row.get("lfs")
                    algorithm, value = ("sha256", large["oid"]) if large else ("git", row["oid"])
                    known = Known(int(large["size"] if large else row["size"]), algorithm, value)
                    if not re.fullmatch(r"[0-9a-f]{64}" if large else r"[0-9a-f]{40}", value) or known.size < 0:
                        raise ValueError(f"hash {value!r}")
                    files[str(row["path"])] = known
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{address}: the hub's listing of its files cannot be read ({error!r}).") from None
        if len(files) > MOST_FILES:
            raise DataError(f"{address} holds more than {MOST_FILES:,} files, and as many are taken. Name one of them.")
        if following is None:
            break
        rows, following = download.fetch_json(following, str(address))
    for name in files:
        if _strays(name):
            raise DataError(
                f"{address} lists a file called {name!r}, which leads out of its folder. Nothing was written; do not "
                "trust this repository."
            )
        above = next((str(p) for p in PurePosixPath(name).parents if str(p) in files), None)
        if above is not None:
            raise DataError(f"{address} lists {above!r} both as a file and as a folder. Nothing was written.")
    return files


def _strays(name: str) -> bool:
    """Whether a name could mean anything but a file below its folder."""
    parts = name.rstrip("/").split("/")
    apart = '\\:*?"<>|' if os.name == "nt" else "\\"
    return any(p in ("", ".", "..") for p in parts) or any(ord(c) < 32 or c == "\x7f" or c in apart for c in name)


@contextlib.contextmanager
def _or_cached(address: Address) -> Iterator[None]:
    """An error of the network names what the cache has of the repository."""
    try:
        yield
    except DataError as error:
        above = _home(address).parent
        kept = sorted(above.glob("*/listing.json"), key=lambda p: p.stat().st_mtime) if above.is_dir() else []
        if not kept or kept[-1].parent.name == address.revision:
            raise
        there = replace(address, revision=kept[-1].parent.name)
        raise DataError(f"{error} The cache holds {there}, which needs no network.") from None


# --------------------------------------------------------------------------------------------------------- the cache


def _home(address: Address) -> Path:
    host = re.sub(r"[^a-z0-9.]+", "-", download.endpoint().partition("://")[2].lower())
    return cache() / "hub" / host / address.kind / address.name.replace("/", "--") / (address.revision or "main")


def _blob(known: Known) -> Path:
    return cache() / "hub" / "blobs" / f"{known.algorithm}-{known.hash}"


def _whole(path: Path, known: Known) -> bool:
    """Whether the file is there, itself and no link, with the listed bytes."""
    try:
        state = path.lstat()
        if path.is_symlink() or state.st_size != known.size:
            return False
        key = (str(path), known.hash, state.st_size, state.st_mtime_ns)
        if key not in _checked:
            sha = known.start()
            with open(path, "rb") as file:
                while data := file.read(1 << 20):
                    sha.update(data)
            if sha.hexdigest() != known.hash:
                return False
            _checked.add(key)
        return True
    except OSError:
        return False


def _check_room(listed: Listing, names: list[str]) -> None:
    """Refuse to fetch more than is allowed, or than the disk has left."""
    asked = sum(listed.files[name].size for name in names)
    try:
        most = float(os.environ.get("LAMINA_DOWNLOAD_GB") or 20)
    except ValueError:
        raise SettingError("LAMINA_DOWNLOAD_GB is a number of gigabytes, such as 20.") from None
    if asked > most * 1e9:
        raise DataError(
            f"{listed.address} asks for {asked / 1e9:,.1f} GB ({len(names)} files), and at most {most:g} GB are "
            f"fetched. Name one of its files, or set LAMINA_DOWNLOAD_GB={-(-asked // 10**9)}."
        )
    place = next((p for p in (cache(), *cache().absolute().parents) if p.is_dir()), None)
    if place is not None and (free := shutil.disk_usage(place).free) < asked:
        raise DataError(
            f"{listed.address} asks for {asked / 1e9:,.1f} GB, and {place} has {free / 1e9:,.1f} GB left. Free some, "
            "or set LAMINA_CACHE to a folder on another disk."
        )


def _get(listed: Listing, name: str, alone: bool) -> None:
    """Fetch a file's bytes into their blob; a part that an earlier process left is gone on with."""
    address, known = listed.address, listed.files[name]
    what = str(replace(address, file=name))
    _may_ask(what)
    blob = _blob(known)
    blob.parent.mkdir(parents=True, exist_ok=True)
    part = blob.with_name(f".{blob.name}.{'' if alone else f'{os.getpid()}-{threading.get_ident()}.'}tmp")
    above = "datasets/" if address.kind == "datasets" else ""
    place = f"/{above}{address.name}/resolve/{address.revision}/{urllib.parse.quote(name)}"
    download.fetch(place, part, known, what)
    os.replace(part, blob)


def _may_ask(what: str) -> None:
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "on", "yes", "true"):
        raise DataError(f"{what} is not whole in the cache {cache()}, and HF_HUB_OFFLINE forbids to ask for it.")


def _place(blob: Path, path: Path) -> None:
    """The blob's bytes under a name of their own: one more name for the same file, or a copy where that cannot be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{blob.name[:24]}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        try:
            os.link(blob, beside)
        except OSError:
            shutil.copyfile(blob, beside)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)  # renaming one name of a file to another of the same leaves both


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[bool]:
    """Whether no other process fetches: then a part under its usual name is gone on with."""
    (cache() / "hub").mkdir(parents=True, exist_ok=True)
    try:
        lock = Lock(cache() / "hub" / "lock")
    except RunError:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


@contextlib.contextmanager
def _writing() -> Iterator[None]:
    """A cache that cannot be written is one clear message."""
    try:
        yield
    except (OSError, TrainingError) as error:
        why = getattr(error, "strerror", None) or error
        raise DataError(
            f"Downloads are kept in {cache()}, which cannot be written ({why}). Free space there, or set LAMINA_CACHE "
            "to another folder."
        ) from error
