"""From Python: the curves as a frame, what the report shows as figures of matplotlib, a run in a notebook."""

import pytest

import lamina
from lamina.core.errors import SettingError
from tests.verbs.test_seven import EXACT, PROBLEMS, fitted


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return fitted("pictures", tmp_path_factory.mktemp("pictures"))


def test_the_history_is_a_list_of_lines_and_gives_a_frame(pictures):
    import pandas

    history = pictures.history
    assert isinstance(history, list) and history[0]["step"] == 1
    frame = history.frame()
    assert isinstance(frame, pandas.DataFrame) and len(frame) == len(history)
    judged = frame["valid/accuracy"].dropna()
    assert judged.tolist() == [line["valid"]["accuracy"] for line in history if "valid" in line]
    assert frame["loss"].notna().sum() == len(history) - len(judged)
    assert "valid/accuracy" in history._repr_html_()


def test_without_pandas_the_frame_is_of_polars(pictures, monkeypatch):
    polars = pytest.importorskip("polars", reason="polars is not installed: pip install 'lamina[tabular]'")
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    frame = pictures.history.frame()
    assert isinstance(frame, polars.DataFrame)
    assert frame["valid/accuracy"].drop_nulls().to_list() == [
        line["valid"]["accuracy"] for line in pictures.history if "valid" in line
    ]


@pytest.mark.parametrize("kind", ["loss", "metric", "lr", "speed", "calibration"])
def test_a_kind_is_a_figure_with_named_axes_and_the_numbers_of_the_run(pictures, kind):
    (axes,) = pictures.plot(kind).axes
    assert axes.get_xlabel() and axes.get_ylabel() and axes.get_title()
    if kind == "loss":
        (line,) = axes.get_lines()
        logged = [row for row in pictures.history if "loss" in row]
        assert line.get_xdata().tolist() == [row["updates"] for row in logged]
        assert line.get_ydata().tolist() == [row["loss"] for row in logged]


def test_the_confusion_matrix_is_drawn_with_its_counts(pictures):
    (axes,) = pictures.plot("confusion").axes
    counts = [int(text.get_text().replace(",", "")) for text in axes.texts]
    assert len(counts) == 100 and sum(counts) == pictures.about["metrics"]["accuracy"]["count"]
    hits = sum(counts[11 * i] for i in range(10))
    assert hits / sum(counts) == pytest.approx(pictures.metrics["accuracy"])


def test_residuals_are_bars(tmp_path):
    run = fitted("diamonds", tmp_path)
    (axes,) = run.plot("residuals").axes
    assert sum(bar.get_height() for bar in axes.patches) == run.about["metrics"]["r2"]["count"]


def test_an_unknown_kind_is_answered_with_the_nearest_and_all(pictures):
    with pytest.raises(SettingError, match=r"has no plot 'los'\. Did you mean 'loss'\? It has loss, metric, lr"):
        pictures.plot("los")


def test_names_are_drawn_as_they_are_and_not_as_formulas(tmp_path):
    values = [0.1 * i for i in range(60)]
    table = {"a": values, "$\\frac{": ["$x^2$" if v > 3 else "\x1b[1m_b" for v in values]}
    run = lamina.fit(table, target="$\\frac{", model="mlp_tiny", budget="3steps", out=tmp_path / "run", set=EXACT)
    figure = run.plot("confusion", table)
    figure.canvas.draw()
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["\\x1b[1m_b", "$x^2$"]


def test_a_run_shows_itself_in_a_notebook(pictures):
    html = pictures._repr_html_()
    assert pictures.name in html and "not better than the simple baseline" in html
    assert f"{pictures.metrics['accuracy']:.4f}" in html and "report.html" in html
    assert "pictures" in PROBLEMS
