"""The mutation check itself: the faults it makes are faults, still parse, and leave messages alone."""

import ast

import pytest

from tools import mutate

SOURCE = """
def forward(self, x, y: "a + b" = 3):
    x = self.norm(x)
    if x < y:
        raise ValueError(f"{x - y} é" + "no")
    return x + y * generator(seed, "é")
"""


def changed(fault):
    raw = SOURCE.encode()
    return (raw[: fault.start] + fault.after.encode() + raw[fault.end :]).decode()


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("sign", "return (x - y * generator(seed, 'é'))"),
        ("sign", "return x + (y / generator(seed, 'é'))"),
        ("comparison", "if (x >= y):"),
        ("layer", "    pass\n    if x < y:"),
        ("seed", "return x + y * generator(0)"),
    ],
)
def test_each_kind_of_fault_is_made(kind, line):
    assert any(line in changed(f) for f in mutate.faults("x.py", SOURCE) if f.kind == kind)


def test_every_fault_still_parses_and_no_message_is_touched():
    found = list(mutate.faults("x.py", SOURCE))
    assert len(found) == 5
    for fault in found:
        ast.parse(changed(fault))
        assert 'raise ValueError(f"{x - y} é" + "no")' in changed(fault)


def test_places_are_drawn_by_the_seed_and_every_kind_takes_part():
    one, again, other = mutate.draw(0, 10, ""), mutate.draw(0, 10, ""), mutate.draw(1, 10, "")
    assert one == again
    assert one != other
    assert {fault.kind for fault in one} == {"sign", "comparison", "layer", "seed"}
    assert len({(fault.file, fault.line) for fault in one}) == 10
