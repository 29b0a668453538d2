"""Downloads: pinned, checked by hash, resumed, confined, and one clear error for whatever goes wrong."""

import hashlib
import os
import re
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest

from lamina.core import download, hub
from lamina.core.errors import DataError, SettingError
from lamina.core.files import Lock
from tests import hub as hubs

SMALL = "a,b\n1,2\n"
LARGE = os.urandom(300_000)


@pytest.fixture
def there(monkeypatch, tmp_path):
    """A hub that runs, and a cache of its own."""
    monkeypatch.setattr(download, "WAITS_S", (0.0, 0.0))
    monkeypatch.setenv("LAMINA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "LAMINA_DOWNLOAD_GB"):
        monkeypatch.delenv(name, raising=False)
    with hubs.running() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


@pytest.fixture(autouse=True)
def _forget():
    """Each test as a process of its own: nothing was compared with its hash yet."""
    hub._checked.clear()


def get(text: str, *names: str, kind: str = "datasets") -> list[Path]:
    listed = hub.listing(hub.parse(text, kind))
    return hub.fetch(listed, names or listed.files)


def parts(cache: Path) -> list[str]:
    return sorted(p.name for p in cache.rglob("*.tmp"))


# ------------------------------------------------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("hf:a/b", ("a/b", "", "")),
        ("hf:b", ("b", "", "")),
        ("hf:a/b@v1.0", ("a/b", "v1.0", "")),
        ("hf:a/b@refs/convert/parquet/default/train.parquet", ("a/b", "refs/convert/parquet", "default/train.parquet")),
        ("hf:a/b/data/x.csv", ("a/b", "", "data/x.csv")),
        ("hf:a/b@" + "0" * 40 + "/x.csv", ("a/b", "0" * 40, "x.csv")),
    ],
)
def test_an_address_has_a_name_a_revision_and_a_file(text, parsed):
    address = hub.parse(text, "datasets")
    assert (address.name, address.revision, address.file) == parsed
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    ["hf:", "hf:/b", "hf:../b", "hf:a/..", "hf:a/b@", "hf:a/b@x/../y", "hf:a/b//x", "hf:a/b/../../x", "hf:a--b/c",
     "hf:a/b/x\n", "hf:a/b/c\\d", "hf:a b/c", "hf:a/b@-x", "hf:a/b?x"],
)  # fmt: skip
def test_what_is_no_address_is_refused(text):
    with pytest.raises(SettingError, match=r"is no address of the hub\. Expected hf:OWNER/NAME"):
        hub.parse(text, "datasets")


# -------------------------------------------------------------------------------------------------------- fetching


def test_files_come_whole_under_their_names_and_need_no_network_again(there):
    commit = there.put("datasets", "a/b", data__small_csv=SMALL, large_bin=LARGE)
    small, large = get("hf:a/b", "data/small.csv", "large.bin")
    assert (small.read_text(), large.read_bytes()) == (SMALL, LARGE)
    assert small.parts[-4:] == (commit, "files", "data", "small.csv")
    before = len(there.asked)
    assert get(f"hf:a/b@{commit}", "data/small.csv", "large.bin") == [small, large]
    assert len(there.asked) == before
    assert not small.is_symlink() and not parts(hub.cache())


def test_a_branch_is_looked_up_each_time_and_stands_for_its_commit(there):
    first = there.put("datasets", "a/b", x_csv=SMALL)
    assert hub.pinned("hf:a/b", "datasets") == f"hf:a/b@{first}"
    second = there.put("datasets", "a/b", x_csv=SMALL + "3,4\n")
    assert hub.pinned("hf:a/b@main/x.csv", "datasets") == f"hf:a/b@{second}/x.csv"
    assert hub.pinned(f"hf:a/b@{first}", "datasets") == f"hf:a/b@{first}"
    assert get(f"hf:a/b@{first}")[0].read_text() == SMALL


def test_the_same_bytes_are_fetched_and_kept_once(there):
    there.put("datasets", "a/b", x_csv=SMALL, y_csv=SMALL)
    there.put("datasets", "c/d", z_csv=SMALL)
    get("hf:a/b"), get("hf:c/d")
    assert sum("/resolve/" in path for path in there.paths()) == 1
    assert len(list((hub.cache() / "hub" / "blobs").iterdir())) == 1


def test_a_listing_of_several_pages_is_read_to_its_end(there):
    there.page = 2
    there.commit("datasets", "a/b", {f"{i}.csv": f"a\n{i}\n".encode() for i in range(5)})
    assert sorted(path.read_text() for path in get("hf:a/b")) == [f"a\n{i}\n" for i in range(5)]


def test_what_broke_off_goes_on_from_there(there):
    there.put("datasets", "a/b", large_bin=LARGE)
    there.faults[r"^/[0-9a-f]{40}/large"] = ["cut", "cut"]
    (path,) = get("hf:a/b")
    assert path.read_bytes() == LARGE
    asked = [headers.get("range") for where, _, headers in there.asked if where == "elsewhere"]
    assert asked == [None, "bytes=150000-", "bytes=225000-"]


def test_a_part_of_an_earlier_process_is_gone_on_with(there):
    there.put("datasets", "a/b", large_bin=LARGE)
    there.faults[r"^/[0-9a-f]{40}/large"] = ["cut", 500, 500, 500]
    with pytest.raises(DataError, match=r"in 3 tries: it answers 500\. Try later; what has come is kept"):
        get("hf:a/b")
    assert len(parts(hub.cache())) == 1
    there.asked.clear()
    there.faults.clear()
    assert get("hf:a/b")[0].read_bytes() == LARGE
    assert [h.get("range") for where, _, h in there.asked if where == "elsewhere"] == ["bytes=150000-"]
    assert not parts(hub.cache())


def test_a_server_without_ranges_is_started_again(there):
    there.put("datasets", "a/b", large_bin=LARGE)
    there.faults[r"^/[0-9a-f]{40}/large"] = ["cut", "whole"]
    assert get("hf:a/b")[0].read_bytes() == LARGE


def test_a_damaged_part_of_an_earlier_process_is_fetched_anew(there):
    there.put("datasets", "a/b", large_bin=LARGE)
    blob = hub.cache() / "hub" / "blobs" / f".sha256-{hashlib.sha256(LARGE).hexdigest()}.tmp"
    blob.parent.mkdir(parents=True)
    blob.write_bytes(bytes(1000))
    assert get("hf:a/b")[0].read_bytes() == LARGE


@pytest.mark.parametrize("fault", [500, 503, 429, "drop"])
def test_what_passes_is_tried_again(there, fault):
    there.put("datasets", "a/b", x_csv=SMALL)
    for place in ("/revision/", "/tree/", "/resolve/"):
        there.faults[place] = [fault]
    assert get("hf:a/b")[0].read_text() == SMALL


def test_a_listing_that_breaks_off_is_asked_for_again(there):
    there.put("datasets", "a/b", x_csv=SMALL)
    there.faults["/tree/"] = ["cut"]
    assert get("hf:a/b")[0].read_text() == SMALL


# ----------------------------------------------------------------------------------------------------------- trust


@pytest.mark.parametrize("data", [SMALL.encode(), LARGE], ids=["git", "sha256"])
def test_bytes_of_another_hash_are_not_kept(there, data):
    there.commit("datasets", "a/b", {"x.csv": data})
    listed = hub.listing(hub.parse("hf:a/b", "datasets"))
    (commit,) = there.kept
    there.kept[commit]["x.csv"] = data[:-1] + b"!"  # as long, changed on its way
    with pytest.raises(DataError, match=r"hf:a/b@\w+/x\.csv came with the .* was changed or damaged on its way"):
        hub.fetch(listed, ["x.csv"])
    assert not list((hub.cache() / "hub" / "blobs").iterdir())
    assert not list(hub.cache().rglob("x.csv"))


def test_a_file_longer_than_listed_is_cut_short(there):
    there.commit("datasets", "a/b", {"x.bin": LARGE})
    listed = hub.listing(hub.parse("hf:a/b", "datasets"))
    (commit,) = there.kept
    there.kept[commit]["x.bin"] = LARGE * 10
    with pytest.raises(DataError, match="is longer than the 300,000 bytes listed"):
        hub.fetch(listed, ["x.bin"])


def test_what_is_damaged_in_the_cache_is_fetched_again(there):
    there.put("datasets", "a/b", large_bin=LARGE)
    (path,) = get("hf:a/b")
    path.write_bytes(bytes(len(LARGE)))
    hub._checked.clear()
    (path,) = get("hf:a/b")
    assert path.read_bytes() == LARGE
    listing = path.parents[1] / "listing.json"
    listing.write_text(listing.read_text().replace("300000", "300001"))
    assert get("hf:a/b")[0].read_bytes() == LARGE


@pytest.mark.parametrize(
    "name", ["../../x.csv", "/etc/x.csv", "a/../../x.csv", "a//x.csv", "./x.csv", "a\\..\\x.csv", "x\x1b[2J.csv", ".."]
)
def test_a_name_that_leads_out_of_its_folder_ends_it(there, name, tmp_path):
    there.commit("datasets", "a/b", {"good.csv": SMALL.encode(), name: SMALL.encode()})
    with pytest.raises(
        DataError, match=r"lists a file called .* which leads out of its folder\. Nothing was written"
    ) as e:
        get("hf:a/b", "good.csv")
    assert "\x1b" not in str(e.value)
    assert not list(tmp_path.rglob("*.csv"))


def test_a_name_that_is_file_and_folder_ends_it(there):
    there.commit("datasets", "a/b", {"a": b"1", "a/b.csv": b"2"})
    with pytest.raises(DataError, match="lists 'a' both as a file and as a folder"):
        get("hf:a/b")


def test_the_token_goes_to_its_host_alone_and_is_written_nowhere(there, monkeypatch, tmp_path):
    there.private = "hf_secret"
    there.put("datasets", "a/b", large_bin=LARGE)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert get("hf:a/b")[0].read_bytes() == LARGE
    sent = {(where, headers.get("authorization")) for where, _, headers in there.asked}
    assert sent == {("hub", "Bearer hf_secret"), ("elsewhere", None)}
    assert not any(b"hf_secret" in p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())


def test_without_a_token_what_needs_one_says_so(there, monkeypatch):
    there.private = "hf_secret"
    there.put("datasets", "a/b", x_csv=SMALL)
    with pytest.raises(DataError, match=r"answers 401: it does not exist, or needs a token\. .* set HF_TOKEN"):
        get("hf:a/b")
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    with pytest.raises(DataError, match="HF_TOKEN may not read it, or its terms") as error:
        get("hf:a/b")
    assert "hf_other" not in str(error.value)


def test_a_token_is_not_sent_where_all_could_read_it(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://mirror.example")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with pytest.raises(SettingError, match=r"HF_TOKEN is not sent to http://mirror\.example"):
        download.fetch_json("/api/x", "it")


@pytest.mark.parametrize("given", ["ftp://x", "huggingface.co", "https://me:pass@huggingface.co", "file:///etc"])
def test_an_endpoint_is_a_plain_address(monkeypatch, given):
    monkeypatch.setenv("HF_ENDPOINT", given)
    with pytest.raises(SettingError, match=r"HF_ENDPOINT is an address such as") as error:
        download.endpoint()
    assert "pass" not in str(error.value).partition("without")[0]


@pytest.mark.parametrize("place", ["file:///etc/hostname", "ftp://127.0.0.1/x", "data:text/plain,x"])
def test_a_redirect_leads_to_http_alone(there, monkeypatch, place):
    monkeypatch.setattr(there, "answer", lambda path: (302, {"Location": place}, b""))
    with pytest.raises(DataError, match=r"answers 302 \(.*not allowed|redirects to ftp://.* not followed"):
        get("hf:a/b")


def test_a_redirect_in_a_circle_ends(there, monkeypatch):
    monkeypatch.setattr(there, "answer", lambda path: (302, {"Location": path}, b""))
    with pytest.raises(DataError, match="answers 302"):
        get("hf:a/b")
    assert len(there.asked) < 20


def test_a_listing_does_not_go_on_elsewhere(there, monkeypatch):
    there.put("datasets", "a/b", x_csv=SMALL)
    real = there.answer
    link = {"Link": f'<{there.elsewhere}/more>; rel="next"'}
    monkeypatch.setattr(there, "answer", lambda path: (200, link, b"[]") if "/tree/" in path else real(path))
    with pytest.raises(DataError, match="continues its listing on another host, which is not followed"):
        get("hf:a/b")
    assert not there.paths("elsewhere")


@pytest.mark.parametrize("row", [{"oid": "../x"}, {"size": -1}, {"size": "many"}, {"lfs": {"oid": "0", "size": 1}}])
def test_a_listing_that_makes_no_sense_is_said(there, row):
    there.put("datasets", "a/b", x_csv=SMALL)
    there.listed["x.csv"] = row
    with pytest.raises(DataError, match="the hub's listing of its files cannot be read"):
        get("hf:a/b")


# ------------------------------------------------------------------------------------------------------ in the way


def test_what_is_not_there_is_said(there):
    commit = there.put("datasets", "a/b", x_csv=SMALL)
    with pytest.raises(DataError, match=r"hf:a/c: 127\.0\.0\.1:\d+ answers 404: there is no such thing"):
        get("hf:a/c")
    with pytest.raises(DataError, match=r"hf:a/b@old: there is no such revision .* Leave @REVISION out"):
        get("hf:a/b@old")
    with pytest.raises(DataError, match=rf"hf:a/b@{commit} has no file 'y\.csv'\. Did you mean 'x\.csv'\?"):
        get("hf:a/b", "y.csv")
    with pytest.raises(DataError, match="answers 404"):
        get("hf:a/b", kind="models")


def test_without_a_network_the_cache_is_named(there):
    commit = there.put("datasets", "a/b", x_csv=SMALL)
    get("hf:a/b")
    there.stop()
    with pytest.raises(DataError) as error:
        get("hf:a/b")
    assert re.fullmatch(
        rf"hf:a/b could not be fetched: 127\.0\.0\.1:\d+ cannot be reached \(.*\)\. Is this machine online, and "
        rf"HF_ENDPOINT right\? The cache holds hf:a/b@{commit}, which needs no network\.",
        str(error.value),
    )
    assert get(f"hf:a/b@{commit}")[0].read_text() == SMALL


def test_a_user_may_forbid_to_ask(there, monkeypatch):
    commit = there.put("datasets", "a/b", x_csv=SMALL)
    get("hf:a/b")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    before = len(there.asked)
    with pytest.raises(DataError, match=f"HF_HUB_OFFLINE forbids to ask for it. The cache holds hf:a/b@{commit}"):
        get("hf:a/b")
    assert get(f"hf:a/b@{commit}")[0].read_text() == SMALL
    assert len(there.asked) == before


def test_a_silent_server_is_not_waited_for_for_ever(there, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(DataError, match=r"could not be fetched from .* in 3 tries: .*timed out"):
            get("hf:a/b")


def test_what_is_no_hub_is_said(there, monkeypatch):
    there.put("datasets", "a/b", x_csv=SMALL)
    monkeypatch.setattr(there, "answer", lambda path: (200, {}, b"<html>"))
    with pytest.raises(DataError, match=r"answers with what is no JSON\. Is HF_ENDPOINT right\?"):
        get("hf:a/b")
    monkeypatch.setattr(there, "answer", lambda path: (200, {}, b'{"sha": "../../x"}'))
    with pytest.raises(DataError, match="the hub names no commit for it"):
        get("hf:a/b")


def test_too_much_is_refused_before_it_comes(there, monkeypatch):
    there.commit("datasets", "a/b", {"x.bin": LARGE})
    there.listed["x.bin"] = {"lfs": {"oid": "0" * 64, "size": 50 * 10**9}}
    with pytest.raises(DataError, match=r"asks for 50\.0 GB \(1 files\), and at most 20 GB .* LAMINA_DOWNLOAD_GB=50"):
        get("hf:a/b")
    monkeypatch.setenv("LAMINA_DOWNLOAD_GB", "60")
    monkeypatch.setattr(hub.shutil, "disk_usage", lambda path: SimpleNamespace(free=10**9))
    with pytest.raises(DataError, match=r"has 1\.0 GB left\. Free some, or set LAMINA_CACHE"):
        get("hf:a/b")
    assert not any("/resolve/" in path for path in there.paths())


def test_a_cache_that_cannot_be_written_is_said(there, monkeypatch, tmp_path):
    there.put("datasets", "a/b", x_csv=SMALL)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LAMINA_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(
        DataError, match=r"which cannot be written \(Not a directory\)\. Free space there, or set LAMINA"
    ):
        get("hf:a/b")


def test_the_cache_is_where_the_user_keeps_such_things(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hub.sys, "platform", "linux")
    monkeypatch.setenv("LAMINA_CACHE", "mine")
    assert hub.cache() == tmp_path / "mine"
    monkeypatch.delenv("LAMINA_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert hub.cache() == tmp_path / "xdg" / "lamina"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative, which the standard says to pass over")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert hub.cache() == tmp_path / ".cache" / "lamina"

    def homeless() -> Path:
        raise RuntimeError

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(SettingError, match=r"There is no home folder to keep downloads in\. Set LAMINA_CACHE"):
        hub.cache()


def test_two_who_fetch_at_once_both_get_it(there):
    """The second finds the lock taken, and fetches beside it."""
    there.put("datasets", "a/b", large_bin=LARGE)
    (hub.cache() / "hub").mkdir(parents=True)
    lock = Lock(hub.cache() / "hub" / "lock")
    try:
        assert get("hf:a/b")[0].read_bytes() == LARGE
    finally:
        lock.release()
    assert not parts(hub.cache())


def test_the_published_client_understands_the_hub_of_these_tests(there):
    """So what holds against it holds against what that client talks to."""
    client = pytest.importorskip("huggingface_hub")
    commit = there.put("datasets", "a/b", data__x_csv=SMALL, large_bin=LARGE)
    api = client.HfApi(endpoint=there.url, token=False)
    assert api.dataset_info("a/b", revision="main").sha == commit
    rows = {row.path: row for row in api.list_repo_tree("a/b", repo_type="dataset", recursive=True)}
    ours = hub.listing(hub.parse("hf:a/b", "datasets")).files
    assert {n: (r.size, r.lfs.sha256 if r.lfs else r.blob_id) for n, r in rows.items()} == {
        n: (k.size, k.hash) for n, k in ours.items()
    }
