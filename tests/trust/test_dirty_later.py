"""Broken values that only come when a run is used: refused with the place, or used with a warning that counts them."""

import warnings

import pytest

import lamina
from lamina.cli import main
from lamina.core.errors import DataError, DataWarning
from tests.trust.dirty import each, sound, table

QUICK = {"plan.threads": 1, "plan.precision": "float32"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Learnt from the sound table, of which nothing is missing."""
    folder = tmp_path_factory.mktemp("learnt")
    table()(folder)
    asked = dict(target="y", model="mlp_tiny", budget="3steps", out=folder / "run", set=QUICK)
    return lamina.fit(folder / "x.csv", **asked)


def without(column):
    return lambda rows: [{k: v for k, v in row.items() if k != column} for row in rows]


USED = {
    "a new category": (
        each("c", lambda i, v: "zzz", lambda i: i in (3, 8)),
        "Column 'c': 2 of 100 values are labels that training lacks: \"zzz\" (rows 5, 10). They are read as unknown",
    ),
    "a word among numbers": (
        each("a", lambda i, v: "high", lambda i: i == 3),
        "Column 'a': 1 of 100 values are no numbers and count as missing: \"high\" (row 5). Mend",
    ),
    "numbers missing": (
        each("a", lambda i, v: "", lambda i: i < 50),
        "Column 'a': 50 of 100 values are missing. Training lacked none, so its usual value is taken",
    ),
    "an infinite number": (
        each("b", lambda i, v: "inf", lambda i: i == 9),
        "Column 'b': 1 of 100 values are infinite and count as missing (row 11). Mend",
    ),
}


@pytest.mark.parametrize("name", USED)
def test_values_that_cannot_be_used_are_counted_in_a_warning_and_every_row_is_answered(run, tmp_path, name):
    change, said = USED[name]
    table(change, name="new.csv")(tmp_path)
    for verb in (run.evaluate, run.predict):
        with pytest.warns(DataWarning) as heard:
            answer = verb(tmp_path / "new.csv")
        assert [str(w.message) for w in heard if said in str(w.message)], [str(w.message) for w in heard]
    assert len(answer["y"]) == 100 and all(0 <= p <= 1 for p in answer["confidence"])


@pytest.mark.parametrize("change", [None, lambda rows: [{**row, "more": "1"} for row in rows]])
def test_sound_data_and_a_column_too_many_are_used_without_a_word(run, tmp_path, change):
    table(change or (lambda rows: None), name="new.csv")(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        assert run.evaluate(tmp_path / "new.csv")["accuracy"]["count"] == 100
        assert len(run.predict(tmp_path / "new.csv")["y"]) == 100


@pytest.mark.parametrize(
    ("change", "verbs", "said"),
    [
        (without("b"), "evaluate predict", r"new.csv lacks the column 'b' that the run learnt from. It has: a, c, y"),
        (without("y"), "evaluate", r"new.csv lacks the target column y, so nothing can be measured. For predictions"),
        (each("a", lambda i, v: "high"), "evaluate predict", r"hold numbers, but 100 of 100 values are none: \"high\""),
        (
            each("y", lambda i, v: "maybe", lambda i: i == 3),
            "evaluate",
            r"labels seen in training lack: \"maybe\" \(row 5",
        ),
        (
            each("y", lambda i, v: "", lambda i: i == 3),
            "evaluate",
            r"no value in 1 of 100 rows \(row 5\), and a target",
        ),
    ],
)
def test_what_cannot_be_answered_is_refused_with_its_place(run, tmp_path, change, verbs, said):
    table(change, name="new.csv")(tmp_path)
    for verb in verbs.split():
        with pytest.raises(DataError, match=said):
            getattr(run, verb)(tmp_path / "new.csv")
    if "predict" not in verbs:
        assert len(run.predict(tmp_path / "new.csv")["y"]) == 100


def test_a_ragged_row_is_left_out_of_figures_with_a_word_but_no_answer_may_slip_out_of_its_row(run, tmp_path):
    """Predict once gave 100 answers for 101 rows and said nothing."""
    table(name="new.csv")(tmp_path)
    lines = (tmp_path / "new.csv").read_text().splitlines(keepends=True)
    (tmp_path / "new.csv").write_text("".join([*lines[:3], "1,2\n", *lines[3:]]))
    with pytest.warns(DataWarning, match=r"new.csv: left out 1 row: row 4 \(2 cells where the header has 4\)"):
        assert run.evaluate(tmp_path / "new.csv")["accuracy"]["count"] == 100
    with pytest.raises(DataError, match=r"1 sample of .*new.csv cannot be read \(row 4: 2 cells .*Mend or remove"):
        run.predict(tmp_path / "new.csv")


def test_the_shell_says_it_on_standard_error_and_keeps_the_answers_clean(run, tmp_path, monkeypatch, capfd):
    table(USED["a new category"][0], name="new.csv")(tmp_path)
    monkeypatch.setattr("sys.argv", ["lamina", "predict", str(run.folder), str(tmp_path / "new.csv")])
    main.main()
    said = capfd.readouterr()
    assert "warning: Column 'c': 2 of 100 values are labels" in said.err
    assert said.out.splitlines()[0] == "y,confidence" and len(said.out.splitlines()) == 1 + len(sound())
