"""Each bad input ends with status 2 and one message: what came, where, what was expected, what to do."""

import random

import numpy as np
import pytest
from PIL import Image


def table(path, rows=40, target=lambda i: "ab"[i % 2], header="x,y"):
    path.write_text(header + "\n" + "".join(f"{i % 7},{target(i)}\n" for i in range(rows)))
    return path


def pictures(folder, classes=("cats", "dogs"), each=6, mode="RGB"):
    for name in classes:
        (folder / name).mkdir(parents=True)
        for i in range(each):
            pixels = np.random.default_rng(i).integers(0, 255, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).convert(mode).save(folder / name / f"{i}.png")
    return folder


# --------------------------------------------------------------------------------------------------- paths and files


def test_an_empty_source(refused):
    assert "The source is empty. Name a file, a folder, or a built-in such as digits." in refused("fit", "")


def test_no_source(refused):
    assert "fit needs a source" in refused("fit")


def test_a_missing_file_is_answered_with_the_nearest(refused, tmp_path):
    table(tmp_path / "houses.csv")
    assert "There is no file house.csv. Did you mean 'houses.csv'?" in refused("fit", "house.csv", "--target", "y")


def test_a_missing_folder(refused):
    assert "There is no file nowhere/x.csv. The folder nowhere does not exist either" in refused("fit", "nowhere/x.csv")


def test_a_built_in_that_there_is_not(refused):
    message = refused("fit", "digist")
    assert (
        "There is no file or folder digist here, and: No data set is called 'digist'. Did you mean 'digits'?" in message
    )


def test_an_empty_folder(refused, tmp_path):
    (tmp_path / "nothing").mkdir()
    assert "nothing is an empty folder. Expected a table" in refused("fit", "nothing")


def test_an_empty_file(refused, tmp_path):
    (tmp_path / "x.csv").write_bytes(b"")
    assert "x.csv is empty (0 bytes)" in refused("fit", "x.csv", "--target", "y")


def test_a_file_of_no_known_kind(refused, tmp_path):
    (tmp_path / "x.bin").write_bytes(b"\x00\x01\x02" * 100)
    assert "x.bin" in refused("fit", "x.bin", "--target", "y")


# ------------------------------------------------------------------------------------------------------------ tables


def test_ragged_rows(refused, tmp_path):
    text = "x,y\n" + "1,a\n2,b,c\n" * 20
    (tmp_path / "x.csv").write_text(text)
    message = refused("fit", "x.csv", "--target", "y")
    assert "x.csv has 20 broken rows of 40" in message
    assert "the first is row 3: 3 cells where the header has 2" in message


def test_a_few_ragged_rows_among_many_are_left_out_and_listed(lamina, tmp_path):
    path = table(tmp_path / "x.csv", 60)
    path.write_text(path.read_text() + "1,2,3\n")
    ended = lamina("fit", "x.csv", "--target", "y", "--model", "mlp_tiny", "--steps", 3, "--out", "run")
    assert ended.status == 0, ended.err
    assert "row 62" in (tmp_path / "run" / "skipped.csv").read_text()
    assert "left out 1 row" in ended.err and "skipped.csv" in ended.err


def test_a_wrong_encoding(refused, tmp_path):
    (tmp_path / "x.csv").write_bytes("x,y\n1,Käse\n".encode("latin-1") * 10)
    message = refused("fit", "x.csv", "--target", "y")
    assert "x.csv is not utf-8: byte 0xe4 in row 2" in message
    assert "--set data.encoding=latin-1" in message


def test_a_missing_target(refused, tmp_path):
    table(tmp_path / "x.csv", header="size,price")
    message = refused("fit", "x.csv", "--target", "prize")
    assert "--target: x.csv has no column 'prize'. Did you mean 'price'? Its columns: size, price." in message


def test_no_target_at_all(refused, tmp_path):
    table(tmp_path / "x.csv")
    message = refused("fit", "x.csv")
    assert "No task fits x.csv" in message and "Say the column to learn with --target" in message


def test_one_class_only(refused, tmp_path):
    table(tmp_path / "x.csv", target=lambda i: "yes")
    message = refused("fit", "x.csv", "--target", "y")
    assert "Target 'y': all 40 rows are of one class, 'yes'" in message


def test_a_constant_column_is_left_out_and_said(lamina, tmp_path):
    (tmp_path / "x.csv").write_text("x,c,y\n" + "".join(f"{i % 5},7,{'ab'[i % 2]}\n" for i in range(40)))
    ended = lamina("fit", "x.csv", "--target", "y", "--model", "mlp_tiny", "--steps", 2)
    assert ended.status == 0
    assert "left out 'c': it is constant" in ended.err


def test_nothing_but_a_constant_column(refused, tmp_path):
    (tmp_path / "x.csv").write_text("c,y\n" + "7,a\n7,b\n" * 20)
    assert "leaves no column to learn from" in refused("fit", "x.csv", "--target", "y")


def test_labels_that_are_all_missing(refused, tmp_path):
    table(tmp_path / "x.csv", target=lambda i: "NaN")
    message = refused("fit", "x.csv", "--target", "y")
    assert "target" in message.lower() and "'y'" in message and "--target" in message


def test_labels_of_which_most_are_missing(refused, tmp_path):
    table(tmp_path / "x.csv", target=lambda i: "a" if i < 10 else "NaN")
    message = refused("fit", "x.csv", "--target", "y")
    assert "The target y is missing in 30 of 40 rows (first: row 12 of x.csv" in message


def test_a_few_missing_labels_are_left_out_and_said(lamina, tmp_path):
    table(tmp_path / "x.csv", target=lambda i: "" if i == 5 else "ab"[i % 2])
    ended = lamina("fit", "x.csv", "--target", "y", "--model", "mlp_tiny", "--steps", 2)
    assert ended.status == 0
    assert "left out 1 row without a target (first: row 7 of x.csv)" in ended.err


def test_a_hundred_thousand_columns(refused, tmp_path):
    names = ",".join(f"c{i}" for i in range(100_000))
    cells = ",".join("1" for _ in range(100_000))
    (tmp_path / "wide.csv").write_text(f"{names}\n" + f"{cells}\n" * 5)
    message = refused("fit", "wide.csv", "--target", "c0")
    assert "wide.csv has 99,999 input columns (for 5 rows), and at most 20,000 are learnt from" in message


def test_column_names_given_twice(refused, tmp_path):
    (tmp_path / "x.csv").write_text("x,y,x\n" + "1,a,2\n" * 10)
    message = refused("fit", "x.csv", "--target", "y")
    assert "column name more than once: 'x' ('x' stands over columns 1 and 3)" in message


def test_too_few_rows(refused, tmp_path):
    table(tmp_path / "x.csv", 3)
    assert "x.csv has 3 rows; learning and testing need at least 4" in refused("fit", "x.csv", "--target", "y")


# ---------------------------------------------------------------------------------------------------------- pictures


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"", "the file is empty (0 bytes)"), (b"no picture at all", "it is none of JPEG"), (None, "1x1 pixels")],
)
def test_pictures_that_cannot_be_read(refused, tmp_path, content, why):
    folder = pictures(tmp_path / "pets", each=3)
    for file in (folder / "cats").iterdir():
        if content is None:
            Image.new("RGB", (1, 1)).save(file)
        else:
            file.write_bytes(content)
    message = refused("fit", "pets")
    assert why in message and "cats" in message


def test_a_bad_picture_among_many_is_left_out_and_listed(lamina, tmp_path):
    folder = pictures(tmp_path / "pets", each=12)
    (folder / "cats" / "3.png").write_bytes(b"")
    ended = lamina("fit", "pets", "--model", "mlp_tiny", "--steps", 2, "--out", "run")
    assert ended.status == 0, ended.err
    assert "3.png: the file is empty (0 bytes)" in (tmp_path / "run" / "skipped.csv").read_text()
    assert "left out 1 row" in ended.err


@pytest.mark.parametrize("kind", ["16 bit", "CMYK"])
def test_pictures_of_16_bits_and_of_print_colours_are_read(lamina, tmp_path, kind):
    folder = tmp_path / "pets"
    for name, tone in (("dark", 0.1), ("light", 0.9)):
        (folder / name).mkdir(parents=True)
        for i in range(8):
            level = tone + 0.01 * i
            if kind == "CMYK":
                Image.new("CMYK", (8, 8), (0, 0, 0, int(255 * (1 - level)))).save(folder / name / f"{i}.jpg")
            else:
                Image.fromarray(np.full((8, 8), int(65535 * level), np.uint16)).save(folder / name / f"{i}.png")
    ended = lamina("fit", "pets", "--model", "mlp_tiny", "--steps", 40, "--set", "lr=0.02", "--json")
    assert ended.status == 0, ended.err
    assert '"accuracy": {"value": 1.0' in ended.out  # tones that came out wrong could not be told apart


def test_a_class_folder_with_one_picture(refused, tmp_path):
    folder = pictures(tmp_path / "pets")
    for i in range(1, 6):
        (folder / "dogs" / f"{i}.png").unlink()
    message = refused("fit", "pets")
    assert "dogs" in message and "1 picture" in message


# ------------------------------------------------------------------------------------- graphs, texts, environments


def test_an_edge_to_a_node_that_does_not_exist(refused, tmp_path):
    (tmp_path / "g").mkdir()
    (tmp_path / "g" / "nodes.csv").write_text("id,x,y\n" + "".join(f"n{i},{i % 3},{'ab'[i % 2]}\n" for i in range(20)))
    (tmp_path / "g" / "edges.csv").write_text("from,to\nn1,n2\nn3,n99\n")
    message = refused("fit", "g", "--target", "y")
    assert "n99" in message and "row 3" in message and "edges.csv" in message


def test_a_text_of_three_characters(refused, tmp_path):
    (tmp_path / "x.txt").write_text("abc")
    message = refused("fit", "x.txt")
    assert "x.txt is too short to learn from: 3 characters" in message


def test_an_environment_that_there_is_not(refused):
    message = refused("fit", "gym:CartPoll-v1")
    assert "CartPoll" in message and "CartPole" in message


def test_an_environment_without_gymnasium(refused, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "gymnasium", None)
    message = refused("fit", "gym:CartPole-v1")
    assert "gymnasium" in message and "pip install 'lamina[rl]'" in message


# ---------------------------------------------------------------------------------------------------- names and values


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model", "mpl"], "No model is called 'mpl'. Did you mean 'mlp'?"),
        (["--task", "clasification"], "No task is called 'clasification'. Did you mean 'classification'?"),
        (["--method", "supervized"], "No method is called 'supervized'. Did you mean 'supervised'?"),
        (["--set", "data.types={'image': 'imag'}"], "No field is called 'imag'. Did you mean 'image'?"),
        (["--set", "data.types={'imag': 'image'}"], "has no column 'imag'. Did you mean 'image'?"),
        (["--taget", "label"], "No such option: --taget"),
        (["--model", "mlp", "--set", "hiden=[3]"], "nothing here has a setting 'hiden'. Did you mean 'model.hidden'?"),
        (["--model", "mlp", "--set", "model.hiden=[3]"], "model has no setting 'hiden'. Did you mean 'hidden'?"),
        (["--set", "modl.hidden=[3]"], "there is no room 'modl'. Did you mean 'model'?"),
        (["--model", "mlp", "--set", "hidden=wide"], "model.hidden takes a list of whole numbers"),
        (["--set", "lr=fast"], "method.lr takes a number"),
        (["--set", "lr"], "--set takes KEY=VALUE, but 'lr' came"),
        (["--set", "lr=0.1", "--set", "method.lr=0.2"], "gives method.lr twice"),
        (["--set", "data.encodin=x"], "neither the reader nor a field here has a setting 'encodin'"),
        (["--set", "data.fractions=[0.5,0.2,0.2]"], "three shares of train, valid and test that sum to 1"),
        (["--set", "optimizer=adamm"], "adamm"),
        (["--set", "schedule=cosin"], "cosin"),
        (["--set", "augment=flipp"], "flipp"),
        (["--set", "plan.precision=float8"], "plan.precision is one of"),
        (["--set", "task.loss=crossentropy"], "crossentropy"),
        (["--set", "select=accurracy"], "measures no 'accurracy'. Did you mean 'accuracy'?"),
        (["--set", "select=r2"], "classification measures no 'r2'"),
        (["--device", "cuda:9"], "--device cuda:9: this machine or this torch has none"),
        (
            ["--budget", "soon"],
            "A budget is a time, passes or updates, like 10m, 20epochs or 5000steps; 'soon' is none",
        ),
        (["--budget", "0epochs"], "'0epochs' is none"),
        (["--budget", "-5steps"], "'-5steps' is none"),
        (["--epochs", "2", "--steps", "3"], "Say how long once: --epochs 2 and --steps 3 came"),
        (["--weights", "nowhere.safetensors"], "There is no weights file nowhere.safetensors"),
        (["--out", "."], "exists already"),
    ],
)
def test_what_is_not_known_or_not_possible_is_said_with_the_nearest(refused, tmp_path, words, said):
    (tmp_path / "something").write_text("so that . is not empty")
    assert said in refused("fit", "digits", *words)


def test_a_network_that_cannot_read_the_columns(refused, tmp_path):
    table(tmp_path / "x.csv")
    message = refused("fit", "x.csv", "--target", "y", "--model", "resnet9")
    assert "ResNet reads image" in message or "resnet" in message.lower()
    assert "'x'" in message


def test_own_code_that_cannot_be_found_or_run(refused, tmp_path):
    assert "There is no module 'mine'" in refused("fit", "digits", "--model", "mine:Net")
    (tmp_path / "broken.py").write_text("import torch\n1 / 0\n")
    message = refused("fit", "digits", "--model", "broken.py:Net")
    assert "ZeroDivisionError" in message and "line 2 of broken.py" in message


def test_runs_that_are_none(refused, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "empty is no run folder: it has no run.json" in refused("evaluate", "empty")
    assert "nowhere is no run folder" in refused("predict", "nowhere", "digits")
    (tmp_path / "run.json").write_text("{")
    assert "run.json is damaged" in refused("evaluate", ".")
    assert "compare needs at least two runs" in refused("compare", ".")
    assert "There is no folder nowhere" in refused("runs", "nowhere")


def test_show_of_what_there_is_not(refused):
    assert "No network, task, method, data set or run is called 'mpl'. Did you mean 'mlp'?" in refused("show", "mpl")


def test_arbitrary_bytes_end_with_a_message(lamina, tmp_path):
    """Whatever a file holds, no traceback: random bytes and random cuts of a good table under every ending."""
    rng = random.Random(0)
    good = table(tmp_path / "good.csv").read_bytes()
    for i, ending in enumerate((".csv", ".tsv", ".jsonl", ".json", ".parquet", ".txt", "")):
        for j in range(4):
            data = rng.randbytes(300) if j % 2 else good[: rng.randrange(len(good))] + rng.randbytes(3)
            (tmp_path / f"x{i}{j}{ending}").write_bytes(data)
            ended = lamina("fit", f"./x{i}{j}{ending}", "--target", "y", "--model", "mlp_tiny", "--steps", 1)
            assert ended.status in (0, 2), ended.err
            assert "Traceback" not in ended.err
