"""Language: what comes next in a text, learnt from texts alone; then texts are continued or written."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.calls import call
from lamina.core.errors import SettingError
from lamina.core.protocols import Batch
from lamina.metrics import baselines
from lamina.metrics.language import language
from lamina.metrics.value import Value
from lamina.nn import losses
from lamina.nn.generation import sample

__all__ = ["Language"]


class Language:
    """Which token next?

    Judged in bits per byte of held-out documents, which does not depend on how texts are cut into tokens: the nats of
    every token and of the sign that ends a document, over the document's bytes. A document is read from its start; one
    that is longer than the network's context in windows that overlap by half, so that each token has at least half
    a context before it.

    Args:
        glance: tokens that an evaluation on the way reads; the final one reads all.
    """

    ASKS = False
    metric = "bits_per_byte"

    def __init__(self, inputs: Mapping[str, Any], *, glance: int = 100_000):
        if len(inputs) != 1 or any("text" not in field.kinds for field in inputs.values()):
            raise SettingError(
                f"language reads one column of texts; {', '.join(inputs)} came. Keep it alone: --set data.inputs=COLUMN"
            )
        ((self.name, self.field),) = inputs.items()
        self.glance = glance
        self._loss = losses.create("cross_entropy", axis=-1)

    @classmethod
    def fits(cls, inputs: Mapping[str, Any], targets: Mapping[str, Any]) -> float:
        """1 for one column of texts and no target."""
        return 1.0 if not targets and ["text" in f.kinds for f in inputs.values()] == [True] else 0.0

    def sizes(self) -> dict[str, Any]:
        """A score for each token there is."""
        return {"vocab": self.field.sizes()["vocab"]}

    def model(self, kinds: list[str]) -> str:
        """The default network."""
        return "gpt"

    def method(self) -> str:
        """Next-token prediction is supervised learning with the text as its own target."""
        return "supervised"

    def sampler(self, model: Any) -> dict[str, Any]:
        """Stretches as long as the network can see."""
        return {"kind": "windows", "length": model.context}

    def loss(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """outputs: (batch, time, vocab) against the next tokens (batch, time)."""
        return {"cross_entropy": self._loss(outputs, batch["target.text"])}

    # ----------------------------------------------------------------------------------------------------- writing

    def predict(
        self,
        model: Any,
        batch: Batch,
        rng: Any = None,
        *,
        length: int = 200,
        temperature: float = 0.8,
        top_k: int = 0,
        top_p: float = 0.95,
    ) -> dict[str, Any]:
        """Each text and how it goes on, until it ends or has `length` new tokens."""
        rows = zip(batch["text"].cpu(), batch["text_lengths"].tolist(), strict=True)
        device = next(model.parameters()).device
        made = []
        for tokens, known in rows:
            prompt = torch.tensor([[self.field.end, *tokens[:known].tolist()]], device=device)
            new = sample(
                model,
                prompt,
                length,
                temperature=temperature,
                top_k=top_k,
                top_p=top_p,
                generator=rng,
                stop=self.field.end,
            )
            made.append([*prompt[0, 1:].tolist(), *new[0].tolist()])
        return {"tokens": made}

    def create(self, model: Any, rng: Any, count: int = 1, **options: Any) -> dict[str, Any]:
        """New texts from nothing."""
        empty = {"text": torch.zeros(count, 1, dtype=torch.long), "text_lengths": torch.zeros(count, dtype=torch.long)}
        return self.predict(model, empty, rng, **options)

    def decode(self, raw: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Texts."""
        return {"text": self.field.decode(raw["tokens"])}

    # --------------------------------------------------------------------------------------------------- measuring

    def evaluate(self, model: Any, data: Any, split: str, *, intervals: bool = True) -> dict[str, Value]:
        """Bits per byte and perplexity over a split's documents."""
        tokens, texts = data.documents(split)
        if not intervals:
            total = torch.tensor([len(t) for t in tokens]).cumsum(0)
            count = max(1, int((total <= self.glance).sum()))
            tokens, texts = tokens[:count], texts[:count]
        nats = self.nats(model, tokens, step=model.context // 2 if intervals else model.context)
        return language(nats.numpy(), [len(t) + 1 for t in tokens], [max(1, len(t.encode())) for t in texts])

    def nats(self, model: Any, documents: list[Tensor], step: int) -> Tensor:
        """(documents,) float64: -log p of each document and its end."""
        device, context = next(model.parameters()).device, model.context
        total = torch.zeros(len(documents), dtype=torch.float64)
        windows = sorted(self._windows(documents, context, step), key=lambda w: len(w[1]))
        for start in range(0, len(windows), 32):
            part = windows[start : start + 32]
            longest = max(len(tokens) for _, tokens, _ in part)
            rows = torch.zeros(len(part), longest, dtype=torch.long)
            counted = torch.zeros(len(part), longest - 1, dtype=torch.bool)
            for i, (_, tokens, first) in enumerate(part):
                rows[i, : len(tokens)] = tokens
                counted[i, first : len(tokens) - 1] = True
            scores = call(model, {"text": rows[:, :-1].to(device)}).float()
            cost = nn.functional.cross_entropy(scores.flatten(0, 1), rows[:, 1:].flatten().to(device), reduction="none")
            sums = (cost.view(counted.shape).cpu().double() * counted).sum(1)
            total.index_add_(0, torch.tensor([which for which, _, _ in part]), sums)
        return total

    def _windows(self, documents: list[Tensor], context: int, step: int) -> Iterator[tuple[int, Tensor, int]]:
        """(document, its tokens from one sign to the next, the first place that counts)."""
        end = torch.tensor([self.field.end])
        for which, document in enumerate(documents):
            tokens = torch.cat([end, document.long(), end])
            yield which, tokens[: context + 1], 0
            done = context + 1
            while done < len(tokens):
                until = min(done + step, len(tokens))
                begin = max(0, until - context - 1)
                yield which, tokens[begin:until], done - begin - 1
                done = until

    def baseline(self, data: Any, split: str) -> dict[str, dict[str, Value]]:
        """Bytes drawn by their frequency."""
        found = baselines.text(data.documents("train")[1], data.documents(split)[1])
        return {name: language(nats, count, [max(1, c) for c in count]) for name, (nats, count) in found.items()}
