"""A folder of pictures as a table with the paths in column `image`.

Either a folder a class (`cats/1.png`), or pictures beside a table of labels that has a column of file names. Folders
train, valid (val, validation) and test on top are the user's own splits and become a column `split`. Hidden files are
passed over; links that lead out of the folder are left out and listed. The files are opened later, by the image field.
"""

import os
from collections import Counter
from itertools import islice
from pathlib import Path

from lamina.core.errors import DataError, did_you_mean
from lamina.data.sources import table as tables
from lamina.data.sources._files import beneath, leads_out
from lamina.data.sources.frame import Table, TableColumn, some

__all__ = ["TARGET", "read", "sniff"]

TARGET = "label"  # what is asked where a folder is a class
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
SPLITS = {"train": "train", "training": "train", "valid": "valid", "val": "valid", "validation": "valid"}
SPLITS |= {"dev": "valid", "test": "test", "testing": "test"}
LABELS = (".csv", ".tsv", ".jsonl", ".parquet")


def sniff(path: Path) -> float:
    """How much a path looks like a folder of pictures: 0.9 where a look at the first files finds some."""
    if not path.is_dir():
        return 0.0
    pictures = (file.suffix.lower() in SUFFIXES for file in islice(beneath(path), 2000))
    return 0.9 if any(pictures) else 0.0


def read(path: Path, *, labels: str | Path | None = None, least: int = 2) -> Table:
    """A folder of pictures as a Table: `image`, `label` (or the columns of the table of labels), `split`.

    Args:
        labels: the table of labels, where it is not the only one in the folder. A column must hold file names.
        least: pictures that a class must have.

    Raises: DataError for no pictures, one class only, a class with too few pictures, labels of missing pictures.
    """
    if not path.is_dir():
        raise DataError(f"{path} is no folder. Expected a folder of pictures, one folder a class.")
    skipped: list[tuple[int, str]] = []
    files = sorted(f for f in beneath(path, skipped) if f.suffix.lower() in SUFFIXES)
    if not files:
        others = Counter(f.suffix.lower() or "without suffix" for f in beneath(path)).most_common(4)
        there = ", ".join(f"{count} {suffix}" for suffix, count in others) or "nothing"
        raise DataError(f"{path} holds no pictures ({there}). Expected files like {', '.join(SUFFIXES[:4])}.")
    table = Path(labels) if labels is not None else _labels(path)
    made = _labelled(path, files, table) if table is not None else _by_folder(path, files, least)
    made.skipped += skipped
    if skipped:
        made.notes.append(f"{len(skipped)} files were left out: {skipped[0][1]}" + (" …" if len(skipped) > 1 else ""))
    return made


def _by_folder(root: Path, files: list[Path], least: int) -> Table:
    parts = [f.relative_to(root).parts for f in files]
    tops = {p[0].lower() for p in parts}
    split = tops <= SPLITS.keys() and "train" in {SPLITS[t] for t in tops} and all(len(p) > 1 for p in parts)
    depth = 1 if split else 0
    loose = [f for f, p in zip(files, parts, strict=True) if len(p) == depth + 1]
    columns = {"image": [str(f) for f in files]}
    notes: list[str] = []
    if len(loose) < len(files):
        if loose:
            raise DataError(
                f"{loose[0]} and {len(loose) - 1} more pictures lie beside the class folders of {root}. Move each "
                "into the folder of its class, or give a table of labels (--set data.labels=labels.csv)."
            )
        names = ["/".join(p[depth:-1]) for p in parts]
        _check(root, names, [p[0] for p in parts] if split else None, least)
        columns["label"] = names
        notes.append(f"{len(set(names))} classes, a folder each: {some(sorted(set(names)))}")
        notes += _without(root, {f.parent for f in files})
    else:
        notes.append(f"{len(files)} pictures without labels")
    if split:
        columns["split"] = [SPLITS[p[0].lower()] for p in parts]
        notes.append(f"splits are the folders {', '.join(sorted(tops))}")
    return _table(root, columns, notes)


def _without(root: Path, used: set[Path]) -> list[str]:
    """What a class folder that is empty, or files that are no pictures, might mean: said, and passed over."""
    notes = []
    inside = [Path(folder) for folder, folders, _ in os.walk(root) if not folders]
    empty = [f.relative_to(root).as_posix() for f in inside if f not in used and f != root and "/." not in f"/{f}"]
    if empty:
        notes.append(f"{some(sorted(empty))} hold{'s' * (len(empty) == 1)} no picture, which makes no class")
    others = [f.name for f in beneath(root) if f.suffix.lower() not in SUFFIXES]
    if others:
        files = "file is no picture and is" if len(others) == 1 else "files are no pictures and are"
        notes.append(f"{len(others)} {files} passed over: {some(sorted(set(others)))}")
    return notes


def _check(root: Path, names: list[str], splits: list[str] | None, least: int) -> None:
    sizes = Counter(names)
    if len(sizes) == 1:
        raise DataError(f"{root} has one class only, {names[0]!r}. Expected a folder for each of two classes or more.")
    few = {name: count for name, count in sizes.items() if count < least}
    if few:
        name, count = next(iter(few.items()))
        raise DataError(
            f"The class folder {name!r} of {root} has {count} picture{'s' if count > 1 else ''}; a class needs "
            f"{least} or more, one to learn from and one to check with. Add some, or remove the folder"
            + (f" (likewise {some([n for n in few if n != name])})." if len(few) > 1 else ".")
        )
    if splits is not None:
        learnt = {n for n, s in zip(names, splits, strict=True) if SPLITS[s.lower()] == "train"}
        new = sorted(set(names) - learnt)
        if new:
            raise DataError(
                f"The class {new[0]!r} of {root} is not among the folders of train ({some(sorted(learnt))})."
                f"{did_you_mean(new[0], learnt)} Rename it, or put pictures of it into train."
            )


def _labelled(root: Path, files: list[Path], labels: Path) -> Table:
    """The rows of the table of labels, its column of file names turned into paths."""
    table = tables.read(labels)
    known: dict[str, list[str]] = {}
    for file in files:  # by path from the folder, by name, each with and without the suffix
        inside = file.relative_to(root)
        for name in {inside.as_posix(), inside.with_suffix("").as_posix(), inside.name, inside.stem}:
            known.setdefault(name, []).append(str(file))
    hits = {n: sum(str(v) in known for v in c.values) for n, c in table.columns.items()}
    column = max(hits, key=lambda n: hits[n])
    if not hits[column]:
        first = next(iter(table.columns.values()))
        raise DataError(
            f"No column of {labels} names pictures of {root}: {first.name!r} holds {first.values[0]!r}, the pictures "
            f"are called like {files[0].relative_to(root).as_posix()!r}. Give one column file names."
        )
    names = table.columns[column]
    paths = []
    for row, name in enumerate(names.values):
        found = known.get(str(name), [])
        if len(found) != 1:
            problem = "is not there" if not found else f"could be {found[0]} or {found[1]}"
            near = did_you_mean(str(name), known) if not found and len(known) < 50_000 else ""
            raise DataError(
                f"{names.where(row)}, column {column!r}: the picture {str(name)!r} {problem}.{near} "
                "Put it there, name it by its path in the folder, or drop the row."
            )
        paths.append(found[0])
    image = TableColumn("image", paths, names.source, names.first_row, names.lines)
    rest = {n: c for n, c in table.columns.items() if n not in (column, "image")}
    unnamed = len(files) - len(set(paths))
    notes = [*table.notes, f"pictures are named by column {column!r} of {labels.name} (data.labels)"]
    notes += [f"{unnamed} pictures have no row in {labels.name} and are left out"] if unnamed else []
    return Table({"image": image, **rest}, table.rows, str(root), table.first_row, list(table.skipped), notes)


def _table(root: Path, columns: dict[str, list[str]], notes: list[str]) -> Table:
    made = {name: TableColumn(name, values, str(root), 1) for name, values in columns.items()}
    return Table(made, len(columns["image"]), str(root), 1, [], notes)


def _labels(root: Path) -> Path | None:
    found = sorted(f for f in root.iterdir() if f.is_file() and f.suffix.lower() in LABELS and f.name[0] != ".")
    if len(found) > 1:
        raise DataError(
            f"{root} holds several tables: {some([f.name for f in found])}. Say which one has the labels "
            f"(--set data.labels={found[0]})."
        )
    if found and leads_out(found[0], root):
        raise DataError(f"{found[0]} is a link that leads out of {root}. Put the table itself there.")
    return found[0] if found else None
