"""Published data sets: read from files in their publishers' formats, and fetched from a server."""

import socket
import urllib.request
import zipfile
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import medmnist
import numpy as np
import pytest
from datafiles import idx_gz, load, md5, pixels, python2_pickle, refusal, tar_gz
from scipy.io import savemat
from torchvision import datasets

from pfltune.data import downloads
from pfltune.data.downloads import RemoteFile, fetch
from pfltune.errors import UserError

TORCHVISION = ("cifar10", "cifar100", "svhn", "fashionmnist", "emnist")


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("PFLTUNE_DATA", str(tmp_path / "root"))
    return tmp_path / "root"


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """No test asks the internet, but for a server of its own."""
    real = urllib.request.urlopen

    def local(request, *args, **kwargs):
        if request.host.startswith("127.0.0.1"):
            return real(request, *args, **kwargs)
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(urllib.request, "urlopen", local)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def place(root):
    """``place(data set, file, content)`` puts a file where a download would be."""

    def write(name, file, content):
        path = root / "downloads" / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    return write


def cifar_batch(count, labels, seed):
    return {
        b"data": pixels(count, 3072, seed=seed),
        labels: [(seed + number) % 3 for number in range(count)],
        b"filenames": [b"image_%d.png" % number for number in range(count)],
    }


class TestFormats:
    @pytest.mark.parametrize(
        ("name", "kind", "labels"),
        [
            ("cifar10", datasets.CIFAR10, b"labels"),
            ("cifar100", datasets.CIFAR100, b"fine_labels"),
        ],
    )
    def test_cifar_is_what_torchvision_reads(self, name, kind, labels, root, monkeypatch):
        members = {
            file: python2_pickle(cifar_batch(4 + number, labels, number))
            for number, (file, _) in enumerate(kind.train_list + kind.test_list)
        }
        names = {kind.meta["key"].encode(): [b"cup", b"pen", b"hat"]}
        members[kind.meta["filename"]] = python2_pickle(names)
        members = {f"{kind.base_folder}/{file}": content for file, content in members.items()}
        # The real archives are not in the order of the batches either.
        reverse = dict(reversed(members.items()))
        archive = tar_gz(root / "downloads" / name / kind.filename, reverse)
        monkeypatch.setattr(kind, "tgz_md5", md5(archive))
        data = load(name)

        for listed in ("train_list", "test_list"):
            digests = [
                [file, md5(members[f"{kind.base_folder}/{file}"])]
                for file, _ in getattr(kind, listed)
            ]
            monkeypatch.setattr(kind, listed, digests)
        meta = md5(members[f"{kind.base_folder}/{kind.meta['filename']}"])
        monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": meta})
        datasets.utils.extract_archive(str(archive), str(archive.parent))
        parts = [kind(archive.parent, train=train) for train in (True, False)]
        images = np.concatenate([part.data for part in parts]).transpose(0, 3, 1, 2)
        assert np.array_equal(data.images.numpy(), images)
        assert data.labels.tolist() == parts[0].targets + parts[1].targets
        assert data.class_names == ("cup", "pen", "hat")

    def test_svhn_is_what_torchvision_reads(self, root, monkeypatch):
        folder = root / "downloads" / "svhn"
        folder.mkdir(parents=True)
        for split, count in (("train", 7), ("test", 5)):
            path = folder / f"{split}_32x32.mat"
            labels = np.arange(1, count + 1, dtype=np.uint8)[::-1, None] + 3
            content = {"X": pixels(32, 32, 3, count, seed=count), "y": labels}
            savemat(path, content, do_compression=True)
            listed = [*datasets.SVHN.split_list[split][:2], md5(path)]
            monkeypatch.setitem(datasets.SVHN.split_list, split, listed)
        parts = [datasets.SVHN(folder, split) for split in ("train", "test")]
        data = load("svhn")
        assert np.array_equal(data.images.numpy(), np.concatenate([part.data for part in parts]))
        assert np.array_equal(data.labels, np.concatenate([part.labels for part in parts]))
        assert 0 in data.labels
        assert data.class_names == tuple("0123456789")

    def test_fashionmnist_is_gunzipped(self, place, monkeypatch):
        train, test = pixels(30, 28, 28, seed=1), pixels(10, 28, 28, seed=2)
        contents = [idx_gz(x) for x in (train, np.arange(30) % 10, test, np.arange(10))]
        resources = [
            (f[0], md5(c)) for f, c in zip(datasets.FashionMNIST.resources, contents, strict=True)
        ]
        for (file, _), content in zip(resources, contents, strict=True):
            place("fashionmnist", file, content)
        monkeypatch.setattr(datasets.FashionMNIST, "resources", resources)
        monkeypatch.setattr("pfltune.data.source.CHUNK_BYTES", 10_000)
        data = load("fashionmnist")
        assert np.array_equal(data.images[:, 0].numpy(), np.concatenate([train, test]))
        assert data.labels.tolist() == [*range(10)] * 4
        assert data.class_names[9] == "Ankle boot"

    def test_emnist_is_read_out_of_its_archive(self, root, monkeypatch):
        parts = {"train": pixels(6, 28, 28, seed=1), "test": pixels(3, 28, 28, seed=2)}
        path = root / "downloads" / "emnist" / "gzip.zip"
        path.parent.mkdir(parents=True)
        with zipfile.ZipFile(path, "w") as archive:
            for part, images in parts.items():
                stem = f"gzip/emnist-balanced-{part}"
                labels = 46 - np.arange(len(images))
                archive.writestr(f"{stem}-images-idx3-ubyte.gz", idx_gz(images))
                archive.writestr(f"{stem}-labels-idx1-ubyte.gz", idx_gz(labels))
        monkeypatch.setattr(datasets.EMNIST, "md5", md5(path))
        data = load("emnist")
        assert np.array_equal(data.images[:, 0].numpy(), np.concatenate([*parts.values()]))
        assert data.labels.tolist() == [46, 45, 44, 43, 42, 41, 46, 45, 44]
        assert len(data.class_names) == 47

    @pytest.mark.parametrize(("size", "suffix"), [(None, ""), (28, ""), (64, "_64")])
    def test_medmnist_is_what_medmnist_reads(self, root, size, suffix, monkeypatch):
        folder = root / "downloads" / "bloodmnist"
        folder.mkdir(parents=True)
        side, arrays = size or 28, {}
        for number, split in enumerate(("train", "val", "test"), start=2):
            arrays[f"{split}_images"] = pixels(number, side, side, 3, seed=number)
            arrays[f"{split}_labels"] = np.arange(number, dtype=np.uint8)[:, None]
        np.savez_compressed(folder / f"bloodmnist{suffix}.npz", **arrays)
        digest = md5(folder / f"bloodmnist{suffix}.npz")
        monkeypatch.setitem(medmnist.INFO["bloodmnist"], f"MD5{suffix}", digest)
        data = load("bloodmnist", size=size)
        parts = [
            medmnist.BloodMNIST(split, root=str(folder), size=size)
            for split in ("train", "val", "test")
        ]
        images = np.concatenate([part.imgs for part in parts]).transpose(0, 3, 1, 2)
        assert np.array_equal(data.images.numpy(), images)
        assert np.array_equal(data.labels, np.concatenate([part.labels for part in parts])[:, 0])
        assert data.class_names[:2] == ("basophil", "eosinophil")
        assert data.classes == 8

    def test_what_is_decoded_needs_no_download_again(self, place, monkeypatch):
        content = idx_gz(pixels(3, 28, 28)), idx_gz(np.arange(3))
        resources = [
            (file, md5(content[number % 2]))
            for number, (file, _) in enumerate(datasets.FashionMNIST.resources)
        ]
        paths = [
            place("fashionmnist", file, content[number % 2])
            for number, (file, _) in enumerate(resources)
        ]
        monkeypatch.setattr(datasets.FashionMNIST, "resources", resources)
        first = load("fashionmnist")
        for path in paths:
            path.unlink()
        assert load("fashionmnist").images.equal(first.images)


class TestRefused:
    def test_medmnist_sets_that_are_no_labelled_images(self):
        assert "'chestmnist' cannot be used: its images have several labels" in refusal(
            "chestmnist"
        )
        for name in medmnist.INFO:
            if "3d" in name:
                assert f"{name!r} cannot be used: it has volumes" in refusal(name)

    def test_a_size_that_is_not_published(self):
        assert refusal("organamnist", size=32) == (
            "data set 'organamnist' has no size=32; choose from: 28, 64, 128, 224"
        )

    @pytest.mark.parametrize("name", [*TORCHVISION, "organamnist"])
    def test_offline_one_line_says_which_file_to_put_where(self, name, root):
        message = refusal(name)
        assert message.startswith(f"data set {name!r} needs ")
        assert "Name or service not known" in message
        assert f"into {root}/downloads/{name} (from http" in message
        assert "digits, folder:PATH, domains:PATH or npz:PATH, which need no download" in message
        left = {path.name for path in (root / "downloads" / name).iterdir()}
        assert left == set()

    def test_all_missing_files_are_named_at_once(self):
        message = refusal("svhn")
        assert "needs train_32x32.mat, test_32x32.mat, which cannot be downloaded" in message

    def test_a_file_of_other_content_is_not_taken(self, place):
        place("cifar10", "cifar-10-python.tar.gz", b"half of it")
        assert "cifar-10-python.tar.gz (the one there has another md5)" in refusal("cifar10")


CONTENT = b"the whole file"


@contextmanager
def serving(behaviour, log=None):
    """A server of CONTENT, or one that misbehaves; gives the file to fetch from it."""
    done = Event()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(404 if behaviour == "missing" else 200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()

        def do_GET(self):
            if log is not None:
                log.append(self.path)
            self.do_HEAD()
            if behaviour == "silent":
                done.wait(300)
            content = {"short": CONTENT[:5], "other": CONTENT[::-1]}.get(behaviour, CONTENT)
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        Thread(target=http.serve_forever, daemon=True).start()
        yield RemoteFile("a.bin", f"http://127.0.0.1:{http.server_port}/a.bin", md5(CONTENT))
        done.set()
        http.shutdown()


class TestFetch:
    def test_a_file_is_fetched_once(self, root):
        log = []
        with serving("well", log) as file:
            (path,) = fetch("set", [file])
            asked = len(log)
            assert fetch("set", [file]) == (path,)
        assert path == root / "downloads" / "set" / "a.bin"
        assert path.read_bytes() == CONTENT
        assert len(log) == asked > 0

    @pytest.mark.thorough
    @pytest.mark.parametrize("behaviour", ["short", "other", "missing", "silent", "closed"])
    def test_no_failure_leaves_a_file_or_hangs(self, root, behaviour, monkeypatch):
        monkeypatch.setattr(downloads, "TIMEOUT_SECONDS", 0.3)
        with serving(behaviour) as file:
            if behaviour == "closed":
                file = replace(file, url="http://127.0.0.1:9/a.bin")
            with pytest.raises(UserError, match=r"'set' needs a\.bin, which cannot be") as caught:
                fetch("set", [file])
        assert "\n" not in str(caught.value)
        folder = root / "downloads" / "set"
        assert list(folder.iterdir()) == []
        assert socket.getdefaulttimeout() is None

    def test_a_file_of_other_content_is_not_replaced(self, place):
        path = place("set", "a.bin", CONTENT[:5])
        log = []
        with serving("well", log) as file, pytest.raises(UserError, match="another md5"):
            fetch("set", [file])
        assert path.read_bytes() == CONTENT[:5], "it may be somebody's own"
        assert log == []

    def test_what_a_killed_download_left_is_not_taken(self, place):
        leftover = place("set/.part", "a.bin", CONTENT[:5])
        with serving("well") as file:
            (path,) = fetch("set", [file])
        assert path.read_bytes() == CONTENT
        assert not leftover.exists()

    def test_what_is_there_already_is_kept_when_another_file_fails(self, place):
        path = place("set", "a.bin", CONTENT)
        with serving("other") as file, pytest.raises(UserError, match=r"needs b\.bin, which"):
            fetch("set", [file, replace(file, name="b.bin", md5=md5(b"else"))])
        assert path.read_bytes() == CONTENT
