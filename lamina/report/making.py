"""What a network makes: pictures beside real ones and through training, texts that go on, an episode that it plays."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lamina.core import calls
from lamina.core.display import shown
from lamina.core.errors import RunError
from lamina.core.files import told, write_bytes
from lamina.core.seeds import generator, mix
from lamina.core.untrusted import contents
from lamina.fields._pixels import png
from lamina.report.blocks import Example, Figure, Gallery, Lines, Series, compact, number, picture, spaced
from lamina.report.samples import sheet
from lamina.train.judging import judging

__all__ = ["episode", "keep", "kept", "pictures", "texts", "written"]

MADE = 32
THROUGH = 12  # sheets of samples through training that are shown
WRITTEN = 60  # tokens of a text; with what it goes on from no more than a network of fixed places has
FRAMES = 16  # of an episode
TOKENS = 60_000  # of documents that are looked at one by one
STARTS = ("data:image/png;base64,iVBORw0KGgo", "data:image/jpeg;base64,/9j/")  # a PNG, and what is made of one
TILE = 48  # pixels of a picture of a sheet
LARGEST = 128 << 10  # bytes of a kept sheet


# ------------------------------------------------------------------------------------------------------------ pictures


def keep(folder: Path, updates: int, task: Any, model: Any) -> None:
    """Write samples/UPDATES.png: what a generator makes by now, from the same noise each time. Draws from no generator
    that training draws from; anything but a task that makes and draws from nothing leaves nothing."""
    if not hasattr(task, "create") or not hasattr(task, "draw"):
        return
    with torch.random.fork_rng(devices=[]), torch.no_grad(), judging(model):
        made = task.decode(task.create(model, generator(0, "report"), count=9))["image"]
    tiles = [_small(picture, TILE) for picture in made]
    high, wide = (side + 1 for side in tiles[0].shape[:2])
    whole = np.zeros((3 * high - 1, 3 * wide - 1, *tiles[0].shape[2:]), np.uint8)
    for i, tile in enumerate(tiles):
        whole[i // 3 * high :, i % 3 * wide :][: high - 1, : wide - 1] = tile
    with told(folder):
        (folder / "samples").mkdir(exist_ok=True)
        write_bytes(folder / "samples" / f"{updates:08d}.png", png(whole if whole.ndim == 3 else whole[:, :, None]))


def kept(folder: Path) -> list[Gallery]:
    """The sheets of samples that training left, in order."""
    place = folder / "samples"
    paths = sorted(p for p in place.glob("*.png") if p.stem.isdecimal()) if place.is_dir() else []
    examples = []
    for i in spaced(len(paths), THROUGH):
        try:
            held = picture(contents(paths[i], LARGEST))
        except (RunError, OSError, ValueError, SyntaxError):  # not what we wrote
            continue
        if held.startswith(STARTS):
            updates = int(paths[i].stem[:12])
            words = f"{updates:,} update{'s' * (updates != 1)}"
            examples.append(Example(words, png=held, alt=f"nine samples after {words}"))
    note = "The same noise each time, so that a place of the sheet is one sample growing."
    return [Gallery("Samples through training", examples, note, film=True)] if examples else []


def pictures(task: Any, model: Any, data: Any, split: str) -> list[Any]:
    """Made pictures, real ones, and of each made one the nearest real one of the training split."""
    made = task.create(model, generator(0, "report"), count=MADE)["image"].cpu()
    found: list[Any] = [Gallery("Made", sheet(task.decode({"image": made})["image"], "made picture"), dense=True)]
    if not data.count(split) or not data.count("train"):
        return found
    real = task.real(next(iter(data.batches({}, split=split, batch=MADE))))
    there = sheet(task.decode({"image": real})["image"], "real picture")
    found.append(Gallery(f"Real, of the {split} split", there, dense=True))
    seen = task.real(next(iter(data.batches({}, split="train", batch=2000))))
    near = torch.cdist(made[:12].flatten(1).float(), seen.flatten(1).float())
    own = torch.cdist(real[:12].flatten(1).float(), seen.flatten(1).float())
    nearest = seen[near.argmin(1)]
    pairs = []
    for a, b in zip(task.decode({"image": made[:12]})["image"], task.decode({"image": nearest})["image"], strict=True):
        both = np.concatenate([a, np.full_like(a[:, :1], 255), b], axis=1)
        pairs += sheet([both], "made, and the nearest real one beside it:")
    note = (
        f"Left made, right the nearest of {len(seen):,} training pictures by their pixels. The distance is "
        f"{compact(float(near.min(1).values.median()))} (median); between held-out and training pictures it is "
        f"{compact(float(own.min(1).values.median()))}. Much smaller would mean that pictures are copied."
    )
    return [*found, Gallery("Nearest training pictures", pairs, note)]


# --------------------------------------------------------------------------------------------------------------- texts


def texts(task: Any, model: Any, data: Any, split: str) -> list[Any]:
    """How a held-out text goes on, and the documents that cost the most bits a byte."""
    documents, words = data.documents(split)
    if not documents:
        return []
    total, count = 0, 0
    for document in documents:
        if count and total + len(document) > TOKENS:
            break
        total, count = total + len(document), count + 1
    documents, words = documents[:count], words[:count]
    nats = task.nats(model, documents, step=model.context).double().numpy()
    bits = nats / np.log(2) / np.array([max(1, len(w.encode())) for w in words])
    order = np.argsort(-bits, kind="stable")
    examples = [
        Example(f"{number(float(bits[i]))} bits per byte", text=words[i][:400] or "(empty)", note=f"document {i + 1}",
                mood="bad" if rank < 3 else "")
        for rank, i in enumerate([*order[:3], *order[-3:]] if count > 6 else order)
    ]  # fmt: skip
    some = f"Of the first {count:,} documents of the {split} split" if count < data.count(split) else "Of all documents"
    edges = np.histogram_bin_edges(bits, bins=min(30, max(5, round(count**0.5))))
    middle = (edges[1:] + edges[:-1]) / 2
    held = np.histogram(bits, bins=edges)[0].astype(float).tolist()
    alt = f"Half of the documents cost less than {number(float(np.median(bits)))} bits per byte."
    spread = Figure(
        "documents", "Bits per byte by document", "bits per byte", "documents",
        [Series("documents", middle.tolist(), held, "bars")], alt, note=f"{some}. {alt}",
    )  # fmt: skip
    note = f"{some}: those that are hardest to foretell, and then the easiest."
    return [*([spread] if count > 4 else []), Gallery("Worst and best documents", examples, note, wide=True)]


def written(task: Any, model: Any, data: Any, split: str) -> list[Gallery]:
    """Texts from nothing, and how the start of held-out documents goes on."""
    examples = []
    made = task.create(model, generator(0, "report"), count=2, length=min(WRITTEN, model.context - 1))
    for text in task.decode(made)["text"]:
        examples.append(Example("from nothing", text=text or "(it ended at once)"))
    documents, _ = data.documents(split)
    known = min(24, model.context // 2)
    starts = [d[:known] for d in documents if len(d) > known][:2]
    for start in starts:
        batch = {"text": start[None].long(), "text_lengths": torch.tensor([len(start)])}
        (tokens,) = task.predict(model, batch, generator(0, "report"), length=min(WRITTEN, model.context - known - 1))[
            "tokens"
        ]
        head, whole = task.decode({"tokens": [start.tolist(), tokens]})["text"]
        rest = whole[len(head) :] if whole.startswith(head) else whole
        examples.append(Example("goes on with", text=head + "⟩⟩" + rest))
    note = f"Drawn at temperature 0.8. ⟩⟩ marks where the start of a {split} document ends and the network goes on."
    return [Gallery("Texts it writes", examples, note, wide=True)]


# ------------------------------------------------------------------------------------------------------------- episode


def episode(about: Mapping[str, Any], model: Any, data: Any) -> list[Any]:
    """One episode, played greedily from a start that training never saw: its frames, and what was observed."""
    world, why = data.environment, ""
    first = next(iter(model.parameters()))
    kind = data.kinds()[0]

    def act(seen: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return calls.call(model, {kind: torch.from_numpy(seen).to(first.device)}).float().argmax(-1).cpu().numpy()

    seed = mix("episodes", 1)
    try:
        seen, rewards, frames = _play(
            replace(world, settings={**world.settings, "render_mode": "rgb_array"}), seed, act
        )
    except Exception as error:  # whatever a renderer misses: a package, a screen
        why = f"It could not be drawn: {type(error).__name__}: {shown(str(error).strip(), 200)}"
        seen, rewards, frames = _play(world, seed, act)
    if kind == "image":
        frames = [np.moveaxis(s, 0, 2) for s in seen]
    found: list[Any] = []
    total = float(np.sum(rewards))
    judged = (about.get("metrics") or {}).get("mean_return") or {}
    mean = f"; the mean of the {judged['count']:,} that were judged is {number(judged['value'])}" if judged else ""
    if frames:
        picked = spaced(len(frames), FRAMES)
        strip = sheet([_small(frames[i]) for i in picked], "frame")
        for example, i in zip(strip, picked, strict=True):
            example.title, example.alt = f"step {i:,}", f"the environment after {i:,} steps"
        note = f"{len(rewards):,} steps, return {compact(total)}{mean}."
        found.append(Gallery("An episode", strip, note, film=True))
    if kind != "image":
        x = [float(i) for i in range(len(seen))]
        values = np.asarray(seen).reshape(len(seen), -1)
        series = [
            Series(f"observed {i}", x, values[:, i].astype(float).tolist()) for i in range(min(6, values.shape[1]))
        ]
        alt = f"An episode of {len(rewards):,} steps with a return of {compact(total)}{mean}."
        found.append(Figure("episode", "An episode, as observed", "step", "observation", series, alt,
                            note=" ".join([alt, why]).strip(), whole=True))  # fmt: skip
    elif why:
        found.append(Lines([why]))
    return found


def _play(
    world: Any, seed: int, act: Callable[[np.ndarray], np.ndarray]
) -> tuple[list[np.ndarray], list[float], list[Any]]:
    many = world.make(1, seed)
    try:
        seen, rewards, frames = [many.observe()[0]], [], []
        drawn = "render_mode" in world.settings
        if drawn:
            frames.append(many.picture())
        while True:
            _, reward, terminated, truncated, final = many.step(act(many.observe()))
            seen.append(final[0])
            rewards.append(float(reward[0]))
            if terminated[0] or truncated[0]:
                return seen, rewards, [f for f in frames if f is not None]
            if drawn:
                frames.append(many.picture())
    finally:
        many.close()


def _small(frame: np.ndarray, side: int = 160) -> np.ndarray:
    """Pixels (h, w[, channels]) at most about `side` wide and high, each the mean of those it stands for."""
    from PIL import Image

    step = max(1, max(frame.shape[:2]) // side)
    return np.asarray(Image.fromarray(np.ascontiguousarray(frame, np.uint8).squeeze()).reduce(step))
