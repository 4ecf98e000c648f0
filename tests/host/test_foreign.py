"""Images of other programs: told apart by content, read with the right values, or refused for the true reason."""

import csv
import gzip
import io
import os
import pickle
import struct
import tarfile
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.io import savemat

from ohmspike.chip import Chip
from ohmspike.host.commands.cli import run
from ohmspike.host.data.foreign import kind_of, read_images
from ohmspike.host.data.formats import DataError
from ohmspike.host.data.images import load_dataset
from ohmspike.host.data.samples import load_samples
from ohmspike.host.data.streams import Stream
from ohmspike.host.support.errors import RunWarning

RNG = np.random.default_rng(1)
IMAGES = RNG.integers(0, 256, (12, 8, 8)).astype(np.uint8)
LABELS = np.arange(12) % 3


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + b"".join(struct.pack(">I", n) for n in array.shape) + array.tobytes()


def pictures(folder, images=IMAGES, labels=LABELS, names=("ant", "bee", "cat"), suffix="png"):
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        (folder / names[label]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / names[label] / f"{number:03}.{suffix}")


def table(path, header, label_first=True, delimiter=","):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter)
        names = [f"pixel{i}" for i in range(64)]
        if header:
            writer.writerow(["label", *names] if label_first else [*names, "label"])
        for image, label in zip(IMAGES.reshape(12, 64).tolist(), LABELS.tolist(), strict=True):
            writer.writerow([label, *image] if label_first else [*image, label])


def as_csv(path):
    table(path / "a.csv", header=True)
    return path / "a.csv"


def as_csv_without_header(path):
    table(path / "a.csv", header=False)
    return path / "a.csv"


def as_csv_with_the_label_last(path):
    table(path / "a.txt", header=True, label_first=False, delimiter=";")
    return path / "a.txt"


def as_packed_csv(path):
    table(path / "a.csv", header=True)
    (path / "a.csv.gz").write_bytes(gzip.compress((path / "a.csv").read_bytes()))
    return path / "a.csv.gz"


def as_pictures(path):
    pictures(path / "set")
    return path / "set"


def as_idx_by_any_name(path):
    (path / "set").mkdir()
    (path / "set" / "my-pictures").write_bytes(idx(IMAGES))
    (path / "set" / "my-classes.gz").write_bytes(gzip.compress(idx(LABELS.astype(np.uint8))))
    return path / "set"


def as_matlab(path):
    savemat(path / "a.mat", {"X": IMAGES.astype(float), "y": LABELS[:, None]})
    return path / "a.mat"


def as_matlab_with_samples_last(path):
    savemat(path / "a.mat", {"images": np.moveaxis(IMAGES, 0, -1), "labels": LABELS})
    return path / "a.mat"


def as_parquet(path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    cells = []
    for image in IMAGES:
        Image.fromarray(image).save(buffer := io.BytesIO(), "png")
        cells.append({"bytes": buffer.getvalue(), "path": None})
    (path / "set" / "data").mkdir(parents=True)
    table = pyarrow.table({"image": cells, "label": LABELS})
    parquet.write_table(table, path / "set/data/train-00000-of-00001.parquet")
    return path / "set"


def as_npz_of_integers_with_an_axis_too_many(path):
    np.savez(path / "a.npz", images=IMAGES[:, None].astype(np.int64), labels=LABELS[:, None].astype(float))
    return path / "a.npz"


@pytest.mark.parametrize("write", [
    as_csv, as_csv_without_header, as_csv_with_the_label_last, as_packed_csv, as_pictures, as_idx_by_any_name,
    as_matlab, as_matlab_with_samples_last, as_parquet, as_npz_of_integers_with_an_axis_too_many])
def test_what_others_wrote_is_read_with_the_right_values(write, tmp_path):
    found = load_samples(write(tmp_path))
    images = np.concatenate([found.train_images, found.test_images])
    labels = np.concatenate([found.train_labels, found.test_labels])
    assert found.held_out and found.plane == (8, 8)
    assert sorted((image.tobytes(), label) for image, label in zip(images, labels, strict=True)) == sorted(
        (image.tobytes(), label) for image, label in zip(IMAGES, LABELS, strict=True))


def test_splits_of_folders_stay_splits(tmp_path):
    pictures(tmp_path / "set" / "train", IMAGES[:9], LABELS[:9])
    pictures(tmp_path / "set" / "test", IMAGES[9:], LABELS[9:])
    found = load_dataset(tmp_path / "set")
    assert not found.held_out and len(found.train_images) == 9 and np.array_equal(found.test_labels, LABELS[9:])
    (tmp_path / "raw").mkdir()
    for name, array in (("train-images-idx3-ubyte", IMAGES), ("train-labels-idx1-ubyte", LABELS),
                        ("t10k-images-idx3-ubyte", IMAGES[:2]), ("t10k-labels-idx1-ubyte", LABELS[:2])):
        (tmp_path / "raw" / name).write_bytes(idx(array.astype(np.uint8)))
    found = load_dataset(tmp_path / "raw")
    assert not found.held_out and np.array_equal(found.train_images, IMAGES) and len(found.test_images) == 2


def text(header=True, mark=",", images=IMAGES):
    names = mark.join(["label", *(f"pixel{i}" for i in range(images[0].size))]) + "\n"
    return names * header + "\n".join(
        mark.join(map(str, [label, *image.ravel()])) for label, image in zip(LABELS, images, strict=False))


def npy(array):
    np.save(buffer := io.BytesIO(), array)
    return buffer.getvalue()


LARGE = np.kron(IMAGES, np.ones((1, 9, 9), np.uint8))


@pytest.mark.parametrize(("content", "images", "labelled"), [
    (text(images=LARGE).encode(), LARGE, True), (text(False, images=LARGE).encode(), LARGE, True),
    (text(False, " ").encode(), IMAGES, True), (text().encode("utf-16"), IMAGES, True),
    (text().replace("\n", "\r\n").encode(), IMAGES, True), (gzip.compress(text(mark=";").encode()), IMAGES, True),
    (gzip.compress(npy(IMAGES)), IMAGES, False), (gzip.compress(idx(IMAGES)), IMAGES, False),
    (b"\0\0\x0c\x03" + idx(IMAGES)[4:16] + IMAGES.astype(">i4").tobytes(), IMAGES, False),
    (b"\0\0\x0d\x03" + idx(IMAGES)[4:16] + (IMAGES / 255).astype(">f4").tobytes(), IMAGES, False),
], ids=["rows longer than the head", "such rows without a header", "blanks", "UTF-16", "CRLF", "semicolons in gzip",
        "npy in gzip", "IDX in gzip by another name", "IDX of int32", "IDX of float32"])
def test_other_ways_to_write_the_same_are_read(content, images, labelled, tmp_path):
    (tmp_path / "a").write_bytes(content)
    found = load_dataset(tmp_path / "a")
    both = np.concatenate([found.train_images, found.test_images])
    assert sorted(map(bytes, both)) == sorted(map(bytes, images)) and (found.train_labels is not None) == labelled
    if labelled:
        known = {bytes(image): label for image, label in zip(images, LABELS, strict=True)}
        assert [known[bytes(image)] for image in found.train_images] == found.train_labels.tolist()


def test_folders_of_numbers_are_these_classes_and_pictures_of_16_bits_keep_their_upper_byte(tmp_path):
    for name in ("2", "10"):
        (tmp_path / "set" / name).mkdir(parents=True)
        Image.fromarray(IMAGES[0].astype(np.uint16) * 256 + 7).save(tmp_path / "set" / name / "a.png")
    found = read_images(tmp_path / "set")
    assert sorted(found["labels"]) == [2, 10] and np.array_equal(found["images"], [IMAGES[0]] * 2)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="must be a file or a folder, not a pipe"):
        load_samples(tmp_path / "pipe")


def test_labels_of_test_images_that_are_not_there_are_refused(tmp_path, capsys):
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=LABELS, test_labels=LABELS)
    for words in (["convert", "FILE", str(tmp_path / "b.npz")], ["learn", "--data", "FILE"]):
        assert run([str(tmp_path / "a.npz") if word == "FILE" else word for word in words]) == 1
        assert "test_labels must come with test_images" in capsys.readouterr().err


def test_one_picture_is_converted_to_the_plane(tmp_path, capsys):
    (tmp_path / "a.png").write_bytes(png())
    assert run(["convert", str(tmp_path / "a.png"), str(tmp_path / "b.npz"), "--plane", "4x4"]) == 0
    assert "1 images, 0 test images of 4x4" in capsys.readouterr().out


def packed(*members):
    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as archive:
        for name in members:
            archive.writestr(name, b"x")
    return buffer.getvalue()


def tarred():
    with tarfile.open(fileobj=(buffer := io.BytesIO()), mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a"), io.BytesIO())
    return buffer.getvalue()


def png():
    Image.fromarray(IMAGES[0]).save(buffer := io.BytesIO(), "png")
    return buffer.getvalue()


def objects():
    np.save(buffer := io.BytesIO(), np.array([1, None], object), allow_pickle=True)
    return buffer.getvalue()


REFUSED = {
    "png": (png(), r"one picture \(PNG\)", "a folder of pictures for every class"),
    "jpeg": (b"\xff\xd8\xff\xe0" + bytes(20), r"one picture \(JPEG\)", "a folder of pictures for every class"),
    "bmp": (b"BM" + bytes(50), r"one picture \(BMP\)", "ohmspike classify takes one picture"),
    "npz in gzip": (gzip.compress(packed("a.npy")), r"archive \(.npz\), packed with gzip", "unpack"),
    "cut npz": (packed("images.npy")[:40], "not a readable .npz file: it is truncated or damaged", "fetch it again"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS", "git lfs pull"),
    "page": (b"<!DOCTYPE html><html>404</html>", "a page of a web site", "download"),
    "objects": (objects(), "not Python objects", "numpy.stack"),
    "idx of no type": (b"\0\0\x07\x01" + bytes(8), "a file of an unknown kind", "numpy.fromfile"),
    "nir": (b"\x89HDF\r\n\x1a\n" + bytes(50) + b"edges\0\0\0nodes\0", "a NIR graph", "--chip"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(50), "an HDF5 file", "h5py"),
    "aedat4": (b"#!AER-DAT4.0\r\n" + bytes(50), "byte 14: must be the size of a header, not 0", "fetch the file again"),
    "aedat2": (b"#!AER-DAT2.0\r\n# more\r\n", "samples must be at least 2", "--window"),
    "aedat1": (b"#!AER-DAT1.0\r\n# more\r\n", "an AEDAT recording of an event camera, of a version", "Recordings"),
    "prophesee": (b"% Date 2020-01-01 10:00:00\n% evt 4.0\n" + bytes(99), "must have words of EVT 2.0", "fetch"),
    "prophesee without events": (b"% Date 2020-01-01 10:00\n" + bytes([9] * 99), "byte 24: must be the type", "fetch"),
    "text of no header": (b"% data file containing events\nx" + bytes([9] * 99), "must be the type", "fetch"),
    "pickle": (pickle.dumps([1, 2]), "a Python pickle", "runs code"),
    "xlsx": (packed("[Content_Types].xml", "xl/workbook.xml"), "an Excel workbook", "device fit"),
    "torch": (packed("archive/data.pkl"), "a PyTorch file", "torch.load"),
    "zip": (packed("a.txt"), "a zip archive", "unpack"),
    "tar": (tarred(), "a tar archive", "unpack"),
    "empty": (b"", "an empty file", "numpy.savez"),
    "damaged gzip": (b"\x1f\x8b\x08nonsense", "a damaged gzip file", "fetch it again"),
    "chip": (b"[plane]\nheight = 28\n", "a chip description", "--chip"),
    "json": (b'{"images": [1, 2]}', "a JSON file", "numpy.savez"),
    "script": (b"import numpy\nprint(1)\n", "a text file", "numpy.savez"),
    "bytes": (bytes(range(256)), "a file of an unknown kind", "numpy.savez"),
    "small table": (b"label,p0,p1\n1,0,255\n2,1,1\n", r"not 3 columns \(label, p0, p1\)", "reshape"),
    "device table": (b"Pulse,Conductance (uS)\n1,2.5\n2,3.5\n", "not 2 columns", "ohmspike device fit"),
    "events": (b"x,y,t,p\n1,2,3,0\n4,5,6,1\n", "samples must be at least 2", "--window"),
    "events without polarity": (b"x,y,t\n1,2,3\n4,5,6\n", "not 3 columns", "x, y, t and p"),
    "ragged": (b"\n".join([b",".join([b"1"] * 17)] * 3 + [b"1,2"]), "row 4: must have 17 columns", None),
    "words": (b"\n".join([b",".join([b"1"] * 17)] * 3 + [b",".join([b"x"] * 17)]), "pixels must be numbers", None),
    "nan": (b"\n".join([b",".join([b"1"] * 17)] * 3 + [b",".join([b"nan"] * 17)]), "finite numbers", None),
    "idx labels": (idx(LABELS.astype(np.uint8)), "an IDX file of labels", "--labels"),
    "cut idx": (idx(IMAGES)[:-1], "truncated", None),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_set_of_images_is_named_with_the_way_out(name, tmp_path):
    content, message, hint = REFUSED[name]
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        load_samples(tmp_path / "a")
    assert hint is None or hint in caught.value.hint


@pytest.mark.parametrize(("arrays", "message", "hint"), [
    ({"images": IMAGES.reshape(12, 64)}, r"not \(12, 64\)", "reshape(-1, 8, 8)"),
    ({"images": np.zeros((12, 8, 8, 3), np.uint8)}, "not .12, 8, 8, 3.", "mean(axis=-1)"),
    ({"images": np.zeros((12, 3, 8, 8), np.uint8)}, "not .12, 3, 8, 8.", "mean(axis=1)"),
    ({"images": IMAGES[0]}, r"not \(8, 8\)", "images[None]"),
    ({"images": IMAGES.astype(float)}, "0 to 1 where they are floats", "divide them by 255"),
    ({"images": IMAGES.astype(int) * 200}, "0 to 255 where they are integers", "// 256"),
    ({"images": IMAGES, "labels": np.eye(3, dtype=int)[LABELS]}, "labels must be integers of shape", "argmax"),
    ({"images": IMAGES, "labels": np.array(["a"] * 12)}, "labels must be integers of shape", "numpy.unique"),
    ({"images": IMAGES, "labels": np.array(["a"] * 12, object)}, "labels: must be numbers, not Python", "numpy.unique"),
    ({"images": IMAGES, "labels": LABELS[:5]}, "labels must be integers of shape", "one label for every image"),
])
def test_the_usual_mistakes_get_their_cure(arrays, message, hint, tmp_path):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=message) as caught:
        load_samples(tmp_path / "a.npz")
    assert hint in caught.value.hint


def test_pictures_of_two_sizes_are_refused_and_scaled_by_convert(tmp_path, capsys):
    pictures(tmp_path / "set")
    Image.fromarray(np.zeros((10, 9), np.uint8)).save(tmp_path / "set" / "bee" / "odd.png")
    with pytest.raises(DataError, match="odd.png: pictures must all be 8x8, not 10x9") as caught:
        load_dataset(tmp_path / "set")
    assert "--plane" in caught.value.hint
    assert run(["convert", str(tmp_path / "set"), str(tmp_path / "b.npz"), "--plane", "4x4"]) == 0
    assert "13 images, 0 test images of 4x4, 3 classes" in capsys.readouterr().out
    assert load_dataset(tmp_path / "b.npz").plane == (4, 4)


def test_convert_adds_labels_and_writes_what_data_reads(tmp_path, capsys):
    np.save(tmp_path / "images.npy", IMAGES)
    (tmp_path / "labels.txt").write_text("\n".join(map(str, LABELS)) + "\n")
    out = tmp_path / "b.npz"
    assert run(["convert", str(tmp_path / "images.npy"), str(out), "--labels", str(tmp_path / "labels.txt")]) == 0
    arrays = read_images(out)
    assert np.array_equal(arrays["images"], IMAGES) and np.array_equal(arrays["labels"], LABELS)
    (tmp_path / "labels.txt").write_text("one\n")
    assert run(["convert", str(tmp_path / "images.npy"), str(out), "--labels", str(tmp_path / "labels.txt")]) == 1
    assert "not readable as labels" in capsys.readouterr().err
    assert run(["convert", str(tmp_path / "images.npy"), str(tmp_path / "b.csv")]) == 1
    assert "OUT must end in .npz" in capsys.readouterr().err
    assert run(["convert", str(tmp_path / "images.npy"), str(out), "--plane", "0x4"]) == 2


SEEDS = [content for content, _, _ in REFUSED.values()] + [idx(IMAGES)]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_mutated_files_are_read_or_refused_and_nothing_else(tmp_path, data):
    content = bytearray(data.draw(st.sampled_from(SEEDS)))
    for _ in range(data.draw(st.integers(0, 4))):
        if content:
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "a"
    path.write_bytes(content[:data.draw(st.integers(0, len(content)))])
    assert kind_of(path).title
    try:
        samples = load_samples(path).train_images
        assert isinstance(samples, Stream) or samples.dtype == np.uint8
    except DataError as error:
        assert str(path) in str(error)


@pytest.mark.parametrize("words", [
    ["robustness", "--out", "r.csv"], ["continual", "--out", "c.json"], ["demo"], ["spice"],
    ["device", "study", "target65"], ["device", "compare", "target65"],
    ["convert"]], ids=lambda words: " ".join(words[:2]))
def test_a_stream_where_images_are_needed_is_called_one(words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("s.npz", time=np.arange(4), line=np.arange(4), offsets=np.array([0, 2, 4]), labels=np.array([0, 1]))
    data = ["s.npz", "out.npz"] if words == ["convert"] else ["--data", "s.npz"]
    assert run([*words, *data]) == 1
    error = capsys.readouterr().err
    assert "s.npz: an event stream (time, line, offsets), and images are needed here" in error, error
    assert "hint: ohmspike learn, classify, compare, accuracy and search take events" in error


@pytest.mark.parametrize("names", [("x_train", "y_train", "x_test", "y_test"), ("X", "y"), ("data", "target"),
                                   ("train_images", "train_labels")])
def test_archives_of_other_programs_are_read_under_their_names(names, tmp_path):
    flat = names[0] in ("X", "data")
    images = IMAGES.reshape(12, 64).astype(np.float32) if flat else IMAGES
    np.savez(tmp_path / "a.npz", **dict(zip(names, (images, LABELS, IMAGES[:4], LABELS[:4]), strict=False)))
    read = read_images(tmp_path / "a.npz")
    assert np.array_equal(read["images"], IMAGES) and np.array_equal(read["labels"], LABELS)
    assert ("test_images" in read) == (len(names) == 4)


@pytest.mark.parametrize(("labels", "said"), [
    (LABELS * 0, "all samples to learn are of class 0"),
    (LABELS * 2, "2 of 5 classes have no samples to learn: 1, 3")])
def test_classes_without_samples_are_said(labels, said, tmp_path):
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=labels, test_images=IMAGES, test_labels=labels)
    with pytest.warns(RunWarning, match=said):
        load_dataset(tmp_path / "a.npz").check(
            Chip(name="eight", plane_height=8, plane_width=8, patch_height=8, patch_width=8, stride=1, neurons=4),
            labels_for="a test")
