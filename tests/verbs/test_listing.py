"""`lamina runs`: what is below a folder, and what of it cannot be trusted."""

import json

import lamina
from lamina.verbs import listing


def test_a_run_of_which_a_byte_was_changed_is_listed_as_damaged(columns, workplace):
    """The figure is still JSON, and of the right kind: only the seal tells."""
    for name in ("whole", "forged", "cut"):
        lamina.fit(columns, target="z", model="mlp_tiny", budget="2steps", out=workplace / "runs" / name)
    path = workplace / "runs" / "forged" / "run.json"
    value = json.loads(path.read_text())["metrics"]["r2"]["value"]
    path.write_text(path.read_text().replace(str(value), "0.99"))
    json.loads(path.read_text())
    (workplace / "runs" / "cut" / "run.json").write_text("{}")
    rows = {row["run"].rpartition("/")[2]: row for row in listing.runs()}
    assert rows["whole"]["status"] == "done" and rows["whole"]["value"] is not None
    for name in ("forged", "cut"):
        assert rows[name]["status"] == "damaged" and "value" not in rows[name]
