"""Hostile run folders: a sound run, changed in one place as a stranger would, its seals and checksums made good."""

import hashlib
import json
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["CASES", "HostileRun", "sealed"]

DEEP = "[" * 10_000 + "]" * 10_000


@dataclass(frozen=True)
class HostileRun:
    """change(run, outside) makes a sound copy hostile. names: the file that the line names. says: what else it holds.

    verbs: those that look at it; runs always lists the folder, without a traceback.
    """

    change: Callable[[Path, Path], object]
    names: str
    says: str = ""
    verbs: tuple[str, ...] = ("evaluate", "predict", "show", "compare", "report", "resume", "weights")


READING = ("evaluate", "predict", "show", "report")
RESUMING = ("resume",)


# ----------------------------------------------------------------------------------------------------------- changes


def sealed(run: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change run.json and seal it anew."""
    about = json.loads((run / "run.json").read_text())
    del about["seal"]
    change(about)
    text = json.dumps(about, indent=1, ensure_ascii=False).removesuffix("\n}")
    seal(run / "run.json", text)


def seal(path: Path, text: str) -> None:
    """Any text that lacks its last brace, with a true seal."""
    path.write_text(f'{text},\n "seal": "{hashlib.sha256(text.encode()).hexdigest()}"\n}}\n')


def about(**values: Any) -> Callable[[Path, Path], object]:
    """Entries of run.json, by a path of keys with dots."""

    def change(run: Path, outside: Path) -> None:
        def put(held: dict[str, Any]) -> None:
            for place, value in values.items():
                *above, last = place.split("__")
                inside = held
                for key in above:
                    inside = inside[key]
                inside[last] = value

        sealed(run, put)

    return change


def raw(text: str) -> Callable[[Path, Path], object]:
    return lambda run, outside: seal(run / "run.json", text)


def fields(change: Callable[[dict[str, Any]], object] | str) -> Callable[[Path, Path], object]:
    """Change fields.json, and state its new checksum wherever one stands."""

    def make(run: Path, outside: Path) -> None:
        path = run / "fields" / "fields.json"
        if isinstance(change, str):
            path.write_text(change)
        else:
            held = json.loads(path.read_text())
            change(held)
            path.write_text(json.dumps(held))
        sealed(run, lambda held: held.update(fields_sha256=hashlib.sha256(path.read_bytes()).hexdigest()))
        manifests(run)

    return make


def state(column: str, **values: Any) -> Callable[[Path, Path], object]:
    return fields(lambda held: held[column]["state"].update(values))


def weights(header: dict[str, Any] | bytes, body: bytes = bytes(8), size: int | None = None) -> Callable:
    """A model.safetensors of this header, with its checksum in run.json."""

    def make(run: Path, outside: Path) -> None:
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        path = run / "model.safetensors"
        with open(path, "wb") as file:
            file.write(struct.pack("<Q", len(text) if size is None else size) + text + body)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        sealed(run, lambda held: held.update(weights_sha256=digest))

    return make


def checkpoint(run: Path) -> Path:
    return run / "checkpoints" / (run / "checkpoints" / "latest").read_text().strip()


def manifests(run: Path, more: dict[str, Any] | None = None, text: str | None = None) -> None:
    """A manifest that is true again, or any; the checkpoint gets the name that goes with it."""
    at = checkpoint(run)
    held = json.loads((at / "MANIFEST").read_text())
    for name in held:
        data = (at / name).read_bytes()
        held[name] = [len(data), hashlib.sha256(data).hexdigest()]
    made = (json.dumps(held | (more or {})) if text is None else text).encode()
    (at / "MANIFEST").write_bytes(made)
    called = f"{at.name.partition('-')[0]}-{hashlib.sha256(made).hexdigest()[:8]}"
    at.rename(at.with_name(called))
    (run / "checkpoints" / "latest").write_text(called + "\n")


def meta(change: Callable[[dict[str, Any]], object] | str) -> Callable[[Path, Path], object]:
    def make(run: Path, outside: Path) -> None:
        path = checkpoint(run) / "meta.json"
        if isinstance(change, str):
            path.write_text(change)
        else:
            held = json.loads(path.read_text())
            change(held)
            path.write_text(json.dumps(held))
        manifests(run)

    return make


def linked(name: str, target: str) -> Callable[[Path, Path], object]:
    """A file or folder of the run is a link to what lies outside."""

    def make(run: Path, outside: Path) -> None:
        path = run / name
        if path.exists():
            os.rename(path, outside.parent / f"moved-{path.name}")
        path.symlink_to(outside / target)

    return make


def twin(name: str) -> Callable[[Path, Path], object]:
    """A hard link: what is appended to the one is appended to the other."""

    def make(run: Path, outside: Path) -> None:
        (run / name).unlink()
        os.link(outside / "secret.csv", run / name)

    return make


def piped(name: str) -> Callable[[Path, Path], object]:
    def make(run: Path, outside: Path) -> None:
        (run / name).unlink(missing_ok=True)
        os.mkfifo(run / name)

    return make


def pointer(text: str) -> Callable[[Path, Path], object]:
    return lambda run, outside: (run / "checkpoints" / "latest").write_text(text)


_F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}

CASES = {
    # ---------------------------------------------------------------------------------------------------- run.json
    "brackets 10,000 deep": HostileRun(raw(f'{{\n "schema": {DEEP}'), "run.json", "more than 64 deep"),
    "no JSON, well sealed": HostileRun(raw('{\n "schema": nonsense'), "run.json", "no JSON"),
    "a list, well sealed": HostileRun(raw('[\n {"schema": 1'), "run.json"),
    "NaN": HostileRun(raw('{\n "schema": NaN'), "run.json", "NaN is no number"),
    "a number of 5,000 digits": HostileRun(raw('{\n "schema": ' + "1" * 5000), "run.json", "thousands of digits"),
    "a key twice": HostileRun(raw('{\n "schema": 1,\n "schema": 1'), "run.json", "stands twice"),
    "words for numbers": HostileRun(about(seed="0; import os"), "run.json", "seed is '0; import os' where a whole"),
    "a list for a name": HostileRun(about(model__name=["x"]), "run.json", "model.name is a list where text"),
    "metrics that are text": HostileRun(about(metrics="fine"), "run.json", "metrics"),
    "figures that are text": HostileRun(
        about(metrics={"accuracy": {"value": "1", "low": 0, "high": 1, "count": 3}}), "run.json", "metrics.accuracy"
    ),
    "a schema from the future": HostileRun(about(schema=99), "run.json", "schema 99"),
    "a model by import path": HostileRun(about(model__name="evil:Net"), "evil:Net", "never runs code", READING),
    "a model by the path of a file": HostileRun(
        about(model__name="./evil.py:Net"), "evil.py:Net", "never runs code", READING
    ),
    "a model of lamina_ext": HostileRun(about(model__name="own"), "own", "never runs code", READING),
    "a task by import path": HostileRun(about(task__name="evil:Net"), "evil:Net", "never runs code", READING),
    "a model asked for by import path": HostileRun(
        about(asked__model="evil:Net"), "evil:Net", "never runs code", RESUMING
    ),
    "a method asked for by import path": HostileRun(
        about(asked__method="evil:Net"), "evil:Net", "never runs code", RESUMING
    ),
    "an environment by import path": HostileRun(about(source="gym:evil:Evil-v0"), "gym:evil", "never runs", RESUMING),
    "an environment to validate on": HostileRun(
        about(asked__valid="gym:evil:Evil-v0"), "gym:evil", "never runs code", RESUMING
    ),
    "a field by import path": HostileRun(
        about(asked__set=["data.types={'a': 'evil:Net'}"]), "evil:Net", "never runs code", RESUMING
    ),
    "a field of lamina_ext": HostileRun(about(asked__set=["types={'a': 'own'}"]), "own", "never runs code", RESUMING),
    "a network of terabytes": HostileRun(
        about(settings__model={"hidden": [10**9, 10**9]}), "model.safetensors", "does not fit the mlp_tiny", READING
    ),
    "a network without an end": HostileRun(
        about(settings__model={"hidden": [4] * 100_000}), "run.json", "more than", READING[:1]
    ),
    "a network of terabytes to go on with": HostileRun(
        about(asked__set=["model.hidden=[1000000000,1000000000]"]), "MLP", "GB of memory", RESUMING
    ),
    "a network of petabytes to go on with": HostileRun(
        about(asked__set=["model.hidden=[1000000000000000]"]), "MLP", "GB of memory", RESUMING
    ),
    "settings of other types": HostileRun(about(settings__model={"hidden": "x"}), "hidden", "", READING),
    "a plan with words of its own": HostileRun(about(plan={"device": "cpu", "evil": 1}), "evil", "", READING),
    "inputs that have no field": HostileRun(about(data__inputs=["zzz"]), "lacks the field of 'zzz'", "", READING),
    # ------------------------------------------------------------------------------------------------------ fields
    "fields 10,000 deep": HostileRun(fields(DEEP), "fields.json", "more than 64 deep", READING),
    "fields that are a list": HostileRun(fields("[]"), "fields.json", "", READING),
    "a field named by import path": HostileRun(
        fields(lambda held: held["a"].update(field="evil:Net")), "evil:Net", "never runs code", READING
    ),
    "a field that is none": HostileRun(
        fields(lambda held: held["a"].update(field="guess")), "fields.json", "", READING
    ),
    "a field's methods written over": HostileRun(
        state("a", median="x", encode=3), "fields.json", "median is 'x' where a number", READING
    ),
    "labels that are lists": HostileRun(state("y", labels=[["a"], ["b"]]), "fields.json", "labels[0]", READING),
    "labels that are no numbers": HostileRun(state("y", whole=True, labels=["a", "b"]), "fields.json", "", READING),
    "a tokenizer with a pattern that never ends": HostileRun(
        fields(
            lambda held: held.update(
                a={"field": "text", "state": {
                    "settings": {"tokens": "bpe", "vocab": 300, "length": 0, "signs": False}, "idf": [1.0] * 4,
                    "bag": {"words": []}, "tokenizer": {"vocab": 300, "tokenizer": json.dumps({
                        "normalizer": {"type": "Replace", "pattern": {"Regex": "(a+)+$"}, "content": ""}})},
                }}
            )
        ),
        "fields.json", "normalizer", READING,
    ),
    # ----------------------------------------------------------------------------------------------------- weights
    "a header of exabytes": HostileRun(weights({}, size=1 << 60), "model.safetensors", "claims 1,152,9", READING),
    "a header 10,000 deep": HostileRun(weights(DEEP.encode()), "model.safetensors", "more than 64 deep", READING),
    "a header with a name twice": HostileRun(
        weights(b'{"a":%s,"a":%s}' % ((json.dumps(_F32).encode(),) * 2)), "model.safetensors", "stands twice", READING
    ),
    "tensors that overlap": HostileRun(weights({"a": _F32, "b": _F32}), "model.safetensors", "overlap", READING),
    "a tensor of petabytes": HostileRun(
        weights({"a": {**_F32, "shape": [1 << 50], "data_offsets": [0, 1 << 52]}}), "model.safetensors", "", READING
    ),
    "a tensor of negative size": HostileRun(
        weights({"a": {**_F32, "shape": [-1, -2]}}), "model.safetensors", "claims bytes 0 to 8", READING
    ),
    "tensors of another network": HostileRun(weights({"a": _F32}), "model.safetensors", "does not fit", READING),
    "weights that are a pickle": HostileRun(weights(b"\x80\x04cos\nsystem\n"), "model.safetensors", "", READING),
    # ----------------------------------------------------------------------------------- links, pipes and checkpoints
    "run.json that links out": HostileRun(linked("run.json", "secret.csv"), "run.json", "a link"),
    "weights that link out": HostileRun(linked("model.safetensors", "secret.csv"), "model.safetensors", "a link"),
    "fields that link out": HostileRun(linked("fields", "."), "fields", "a link"),
    "checkpoints that link out": HostileRun(linked("checkpoints", "."), "checkpoints", "a link"),
    "a diary that links out": HostileRun(linked("events.jsonl", "secret.csv"), "events.jsonl", "a link"),
    "a lock that links out": HostileRun(linked("lock", "new-file"), "lock", "a link"),
    "a diary with a second name": HostileRun(twin("events.jsonl"), "events.jsonl", "a hard link"),
    "run.json that is a pipe": HostileRun(
        piped("run.json"), "run.json", "", ("evaluate", "predict", "compare", "resume")
    ),
    "a pointer that is a pipe": HostileRun(piped("checkpoints/latest"), "latest", "a pipe"),
    "a pointer that climbs": HostileRun(pointer("../../outside\n"), "latest", "should hold the name", RESUMING),
    "a pointer of a megabyte": HostileRun(pointer("0" * (1 << 20)), "latest", "1,048,576 bytes", RESUMING),
    "a manifest 10,000 deep": HostileRun(
        lambda run, outside: manifests(run, text=DEEP), "MANIFEST", "more than 64 deep", RESUMING
    ),
    "a manifest that names nothing": HostileRun(
        lambda run, outside: manifests(run, text="{}"), "MANIFEST", "does not state", RESUMING
    ),
    "a manifest that climbs": HostileRun(
        lambda run, outside: manifests(run, {"../../../outside/secret.csv": [1, "a"]}), "MANIFEST", "outside", RESUMING
    ),
    "a manifest of other types": HostileRun(
        lambda run, outside: manifests(run, {"x": ["1", 2]}), "MANIFEST", "does not state", RESUMING
    ),
    "a state 10,000 deep": HostileRun(meta(DEEP), "meta.json", "more than 64 deep", RESUMING),
    "a state of other types": HostileRun(meta(lambda held: held.update(state=[])), "meta.json", "", RESUMING),
    "a state that names no tensor": HostileRun(
        meta(lambda held: held["state"].update(stage={"$tensor": "evil"})), "meta.json", "evil", RESUMING
    ),
    "a state without its stage": HostileRun(
        meta(lambda held: held["state"].update(stage={})), "checkpoint", "", RESUMING
    ),
}  # fmt: skip
