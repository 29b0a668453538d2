"""A user's DataLoader: what is drawn in it is drawn from (seed, epoch, batch)."""

import torch
from torch.utils.data import DataLoader, Dataset

from lamina.data.loader import LoaderData


class Noisy(Dataset):
    """An input that is nothing but what its transform draws."""

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return torch.rand(2), index % 2


def drawn(seed, count, start=0, shuffle=False):
    data = LoaderData({"train": DataLoader(Noisy(), batch_size=2, shuffle=shuffle)})
    feed = data.feed({}, split="train", batch=2, seed=seed)
    feed.load_state_dict({"epoch": start // 3, "index": start % 3})
    return [feed.next(step)[0] for step in range(start, count)]


def test_each_batch_of_each_epoch_draws_anew_and_a_seed_draws_the_same_again():
    first = [batch["numbers"] for batch in drawn(0, 6)]
    assert len({tuple(rows.flatten().tolist()) for rows in first}) == 6
    for mine, again, other in zip(first, drawn(0, 6), drawn(1, 6), strict=True):
        assert torch.equal(mine, again["numbers"])
        assert not torch.equal(mine, other["numbers"])


def test_taken_up_in_the_middle_of_an_epoch_it_goes_on_with_the_same_rows():
    whole, rest = drawn(0, 9, shuffle=True), drawn(0, 9, start=4, shuffle=True)
    for mine, again in zip(whole[4:], rest, strict=True):
        assert all(torch.equal(mine[name], again[name]) for name in mine)


def test_the_order_differs_between_epochs_and_seeds():
    def orders(seed):
        labels = torch.cat([batch["target.y"] for batch in drawn(seed, 15, shuffle=True)])
        return [tuple(rows.tolist()) for rows in labels.split(6)]

    assert len(set(orders(0))) > 1
    assert orders(0) != orders(1)
    assert all(sum(rows) == 3 for rows in orders(0))
