"""One file, or one JSON document, over HTTP: whole and of the stated hash, or one clear error.

The token (HF_TOKEN) goes to the endpoint's own origin alone: a redirect elsewhere is followed without it, and it stands
in no message. What broke off goes on from where it was; what the server says of itself (5xx, 429) is tried again.
"""

import contextlib
import hashlib
import http.client
import json
import os
import re
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import IO, Any, TypeVar

from lamina.core.errors import DataError, SettingError

__all__ = ["Known", "endpoint", "fetch", "fetch_json"]

HUB = "https://huggingface.co"
TIMEOUT_S = 20.0  # of one wait for the other side
WAITS_S = (1.0, 2.0, 4.0, 8.0)  # before each further try
MOST_JSON = 32 << 20
_CHUNK = 1 << 20
_T = TypeVar("_T")


@dataclass(frozen=True)
class Known:
    """What a listing says of a file: its size in bytes, and its `sha256`, or `git` (SHA-1 of a blob) for small ones."""

    size: int
    algorithm: str
    hash: str

    def start(self) -> Any:
        """A hash to feed the file's bytes to."""
        if self.algorithm == "git":
            return hashlib.sha1(b"blob %d\0" % self.size, usedforsecurity=False)
        return hashlib.sha256()


class _Again(Exception):
    """Worth another try; `after` is how many seconds the server asks to be left alone."""

    def __init__(self, why: str, after: float = 0.0):
        super().__init__(why)
        self.after = after


def endpoint() -> str:
    """HF_ENDPOINT, or the public hub. Raises: SettingError for one that is no plain http(s) address."""
    given = (os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")
    parts = urllib.parse.urlsplit(given)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.query:
        raise SettingError("HF_ENDPOINT is an address such as https://huggingface.co, without a password in it.")
    return given


def fetch_json(path: str, what: str) -> tuple[Any, str | None]:
    """A document of the endpoint, and the address of its next page. what: for messages. Raises: DataError."""

    def once() -> tuple[Any, str | None]:
        with _open(path if "://" in path else endpoint() + path) as answer:
            data = answer.read(MOST_JSON + 1)
            if len(data) < min(int(answer.headers.get("Content-Length") or 0), MOST_JSON):
                raise _Again("its answer broke off")
            if len(data) > MOST_JSON:
                raise DataError(f"{what}: {_host()} answers with more than {MOST_JSON >> 20} MB, which is no listing.")
            following = re.search(r'<([^>]+)>; *rel="next"', answer.headers.get("Link", ""))
        try:
            found = json.loads(data)
        except (ValueError, RecursionError):
            raise DataError(f"{what}: {_host()} answers with what is no JSON. Is HF_ENDPOINT right?") from None
        page = urllib.parse.urljoin(endpoint(), following[1]) if following else None
        if page and _origin(page) != _origin(endpoint()):
            raise DataError(f"{what}: {_host()} continues its listing on another host, which is not followed.")
        return found, page

    return _persist(once, what)


def fetch(path: str, part: Path, known: Known, what: str) -> None:
    """The file at the endpoint's path into `part`, going on where that ends. Raises: DataError; OSError of the disk."""
    resumed = part.exists() and part.stat().st_size > 0
    found = _persist(lambda: _further(path, part, known, what), what, lambda: _size(part))
    if found != known.hash and resumed:  # the earlier half may be what is wrong
        part.unlink()
        found = _persist(lambda: _further(path, part, known, what), what, lambda: _size(part))
    if found != known.hash:
        part.unlink()
        name = {"git": "git hash"}.get(known.algorithm, "SHA-256")
        raise DataError(
            f"{what} came with the {name} {found[:16]}…, where {known.hash[:16]}… was listed: it was changed or "
            "damaged on its way. Nothing of it was kept. Try again; if it stays so, do not trust that host."
        )


def _further(path: str, part: Path, known: Known, what: str) -> str:
    """The rest of a file, appended; the hash of all of it. Raises: _Again where it breaks off."""
    sha, have = known.start(), 0
    if part.exists():
        with open(part, "rb") as file:
            while data := file.read(_CHUNK):
                sha.update(data)
                have += len(data)
    if have > known.size:
        part.unlink()
        sha, have = known.start(), 0
    if have == known.size and (have or not known.size):
        part.touch()
        return sha.hexdigest()
    with _open(endpoint() + path, {"Range": f"bytes={have}-"} if have else {}) as answer, open(part, "ab") as file:
        if have and not (answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")):
            file.truncate(0)  # the server starts from the beginning
            sha, have = known.start(), 0
        while data := answer.read(_CHUNK):
            have += len(data)
            if have > known.size:
                file.truncate(0)
                raise DataError(f"{what} is longer than the {known.size:,} bytes listed. Nothing of it was kept.")
            file.write(data)
            sha.update(data)
        file.flush()
        os.fsync(file.fileno())
    if have < known.size:
        raise _Again(f"it ended after {have:,} of {known.size:,} bytes")
    return str(sha.hexdigest())


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


# ------------------------------------------------------------------------------------------------------------ HTTP


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to http(s), never from https down to http, and with the token to the endpoint's own origin alone."""

    max_redirections = 5

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        new = super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]
        if new is not None:
            if new.type not in ("http", "https") or (req.type == "https" and new.type == "http"):
                raise DataError(f"{_host()} redirects to {new.type}://{new.host}, which is not followed.")
            _authorise(new)
        return new


def _open(url: str, headers: dict[str, str] | None = None) -> Any:
    request = urllib.request.Request(url, headers={"User-Agent": "lamina", **(headers or {})})
    _authorise(request)
    return urllib.request.build_opener(_Redirects).open(request, timeout=TIMEOUT_S)


def _authorise(request: urllib.request.Request) -> None:
    token = os.environ.get("HF_TOKEN", "").strip()
    if not token or _origin(request.full_url) != _origin(endpoint()):
        return
    if not re.fullmatch(r"[\x21-\x7e]+", token):
        raise SettingError("HF_TOKEN holds characters that no token has. Copy it anew.")
    scheme, host, _ = _origin(request.full_url)
    if scheme != "https" and host not in ("127.0.0.1", "::1", "localhost"):
        raise SettingError(f"HF_TOKEN is not sent to http://{host}, where all could read it. Take https, or unset it.")
    request.add_unredirected_header("Authorization", f"Bearer {token}")


def _origin(url: str) -> tuple[str, str, int]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or (443 if parts.scheme == "https" else 80)


def _host() -> str:
    return urllib.parse.urlsplit(endpoint()).netloc


# ---------------------------------------------------------------------------------------------------------- trying


def _persist(once: Callable[[], _T], what: str, progress: Callable[[], int] = lambda: 0) -> _T:
    """What `once` gives; tried again where that may help, as often as it gets a MB further. Raises: DataError."""
    tried, reached = 0, progress()
    while True:
        try:
            with _said(what):
                return once()
        except _Again as error:
            if (now := progress()) >= reached + _CHUNK:  # not a byte at a time, for ever
                tried, reached = 0, now
            if tried == len(WAITS_S):
                raise DataError(
                    f"{what} could not be fetched from {_host()} in {tried + 1} tries: {error}. Try later; what has "
                    "come is kept."
                ) from None
            time.sleep(max(WAITS_S[tried], min(error.after, 60.0) if WAITS_S[tried] else 0.0))
            tried += 1


@contextlib.contextmanager
def _said(what: str) -> Any:
    """What can go wrong with a request, as _Again where another try may help, else as one clear error."""
    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()
        after = error.headers.get("Retry-After", "") if error.headers else ""
        if error.code >= 500 or error.code in (408, 429):
            raise _Again(f"it answers {error.code}", float(after) if after.isdigit() else 0.0) from None
        raise DataError(_refusal(error, what)) from None
    except urllib.error.URLError as error:
        if isinstance(error.reason, TimeoutError | ConnectionResetError | http.client.HTTPException):
            raise _Again(f"no answer ({error.reason})") from None
        secure = isinstance(error.reason, ssl.SSLError)
        hint = "Its certificate was not accepted." if secure else "Is this machine online, and HF_ENDPOINT right?"
        raise DataError(f"{what} could not be fetched: {_host()} cannot be reached ({error.reason}). {hint}") from None
    except (TimeoutError, ConnectionError, ssl.SSLError, http.client.HTTPException) as error:
        raise _Again(f"{type(error).__name__} ({error})".replace(" ()", "")) from None


def _refusal(error: urllib.error.HTTPError, what: str) -> str:
    missing = error.headers.get("X-Error-Code", "") if error.headers else ""
    if missing == "RevisionNotFound":
        return f"{what}: there is no such revision at {_host()}. Leave @REVISION out for the newest."
    if error.code in (401, 403) and os.environ.get("HF_TOKEN"):
        return f"{what}: {_host()} answers {error.code}: HF_TOKEN may not read it, or its terms are not accepted yet."
    if error.code in (401, 403):
        return (
            f"{what}: {_host()} answers {error.code}: it does not exist, or needs a token. Check its name, or set "
            "HF_TOKEN to one that may read it."
        )
    if error.code in (404, 410):
        return f"{what}: {_host()} answers {error.code}: there is no such thing. Check owner, name and revision."
    return f"{what}: {_host()} answers {error.code} ({error.reason})."
