"""Recordings of event cameras: files written by the rules of their formats here, and what is read of them."""

import gzip
import itertools
import json
import shutil
import struct
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ohmspike.chip import Chip
from ohmspike.host.coding.streams import stream_events
from ohmspike.host.commands.cli import run
from ohmspike.host.data.foreign import kind_of
from ohmspike.host.data.formats import DataError
from ohmspike.host.data.recordings import es, jaer
from ohmspike.host.data.recordings import events as events_of_a_camera
from ohmspike.host.data.recordings.formats import format_of
from ohmspike.host.data.recordings.sets import Cut, load_recordings
from ohmspike.host.data.saccades import saccades
from ohmspike.host.data.samples import load_samples
from ohmspike.host.support.errors import RunWarning

# an event is (time in µs, x, y, polarity), as the writers take them and `read` gives them


def some_events(count=60, seed=0, height=34, width=34, top=300_000):
    rng = np.random.default_rng(seed)
    times = np.sort(rng.integers(0, top, count))
    return [(int(t), int(rng.integers(0, width)), int(rng.integers(0, height)), int(rng.integers(0, 2))) for t in times]


def nmnist(events):
    """40 bits an event, highest byte first; an overflow where times pass a multiple of 2^23."""
    made = bytearray()
    for t, x, y, p in events:
        made += bytes([x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255])
    return bytes(made)


def aedat2(events, davis=None):
    """Addresses of a DVS128, or of a DAVIS with its name in the header; other kinds of events between them."""
    header = "#!AER-DAT2.0\r\n# This is a raw AE data file\r\n" + (f"# AEChip: davis.{davis}\r\n" if davis else "")
    made = bytearray(header.encode())
    for t, x, y, p in events:
        address = p << 11 | x << 12 | y << 22 if davis else (1 - p) | x << 1 | y << 8
        made += struct.pack(">II", address, t & 0xFFFFFFFF)
        for other in (1 << 31, 1 << 10) if davis else (1 << 15,):
            made += struct.pack(">II", address | other, t & 0xFFFFFFFF)
    return bytes(made)


def aedat3(events, packet=7):
    made = bytearray(b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n")
    turns = sorted({0, *range(0, len(events), packet), sum(t >> 31 == 0 for t, *_ in events), len(events)})
    for first, last in itertools.pairwise(turns):  # a packet has one count of turns
        part = events[first:last]
        made += struct.pack("<hhiiiiii", 0, 1, 16, 4, 0, 1, 1, 1) + bytes(16)  # a special event
        made += struct.pack("<hhiiiiii", 1, 1, 8, 4, part[0][0] >> 31, len(part) + 1, len(part) + 1, len(part))
        made += struct.pack("<II", 0, 0)  # one that does not hold
        for t, x, y, p in part:
            made += struct.pack("<Ii", 1 | p << 1 | y << 2 | x << 17, t & 0x7FFFFFFF)
    return bytes(made)


def flat_table(fields, name):
    """A FlatBuffer with one table: numbers as (format, value), vectors of bytes as (count, content)."""
    places, body, heap = [], bytearray(4), bytearray()
    for field in fields:
        size = 8 if field[0] == "<q" else 4
        while len(body) % size:
            body += bytes(1)
        places.append(len(body))
        body += struct.pack(*field) if isinstance(field[0], str) else bytes(4)
    table = 4 + bool(name) * 4 + 4 + 2 * len(fields)
    table += -table % 8
    start = table + len(body)
    for field, place in zip(fields, places, strict=True):
        if not isinstance(field[0], str):
            heap += bytes(-(start + len(heap)) % 4)
            body[place:place + 4] = struct.pack("<I", start + len(heap) - table - place)
            heap += struct.pack("<I", field[0]) + field[1]
    rows = struct.pack("<HH", 4 + 2 * len(fields), len(body)) + b"".join(struct.pack("<H", at) for at in places)
    begin = table - len(rows)
    body[:4] = struct.pack("<i", table - begin)
    front = struct.pack("<I", table) + name
    return front + bytes(begin - len(front)) + rows + bytes(body) + bytes(heap)


def sized(content):
    return struct.pack("<I", len(content)) + content


def lz4_frame(content):
    """A frame of blocks that are stored as they are; its second byte of header checks the first two by xxHash."""
    pytest.importorskip("lz4", reason="needs the extra events")
    made = b"\x04\x22\x4d\x18\x60\x40\x82"
    return made + struct.pack("<I", 1 << 31 | len(content)) + content + bytes(4)


def zstandard_frame(content):
    return pytest.importorskip("zstandard", reason="needs the extra events").ZstdCompressor().compress(content)


def aedat4(events, pack=lambda content: content, kind=0, packet=11):
    info = (b'<dv><node name="outInfo" path="/out/outInfo/"><node name="0" path="/out/outInfo/0/">'
            b'<attr key="typeIdentifier" type="string">FRME</attr></node>'
            b'<node name="3" path="/out/outInfo/3/"><attr key="typeIdentifier" type="string">EVTS</attr>'
            b'<node name="info" path="/out/outInfo/3/info/"><attr key="sizeX" type="int">346</attr>'
            b'<attr key="sizeY" type="int">260</attr></node></node></node></dv>')
    packets = bytearray()
    for first in range(0, len(events), packet):
        part = events[first:first + packet]
        content = pack(sized(flat_table([(len(part), b"".join(struct.pack("<qhhB3x", *event) for event in part))],
                                        b"EVTS")))
        packets += struct.pack("<ii", 3, len(content)) + content + struct.pack("<ii", 0, 5) + b"frame"
    header = sized(flat_table([("<i", kind), ("<q", -1), (len(info), info)], b"IOHE"))
    return b"#!AER-DAT4.0\r\n" + header + packets


def dat(events, version=2):
    made = bytearray(f"% Data file containing CD events.\n% Version {version}\n% Width 304\n% Height 240\n".encode())
    made += bytes([12, 8])
    for t, x, y, p in events:
        word = x | y << 14 | p << 28 if version == 2 else x | y << 9 | p << 17
        made += struct.pack("<II", t & 0xFFFFFFFF, word)
    return bytes(made)


def evt2(events):
    made, high = bytearray(b"% evt 2.0\n% geometry 640x480\n% end\n"), None
    made += struct.pack("<I", 1 << 28 | 3 << 11)  # an event before any time is none
    for t, x, y, p in events:
        if t >> 6 != high:
            high = t >> 6
            made += struct.pack("<I", 8 << 28 | high & 0xFFFFFFF)
            made += struct.pack("<I", 10 << 28 | 77)  # a trigger
        made += struct.pack("<I", p << 28 | (t & 63) << 22 | x << 11 | y)
    return bytes(made)


def evt21(events, upper_first=True):
    """A word for events of one time, row and polarity within 32 columns, as long as they follow each other."""
    made, high, word = bytearray(b"% format EVT21;height=720;width=1280\n"), None, None

    def put(upper, lower):
        made.extend(struct.pack("<II", *((upper, lower) if upper_first else (lower, upper))))

    for t, x, y, p in events:
        if word is not None and word[:3] == (t, y, p) and word[3] < x + 32 and x - word[3] < 32 and x > word[4]:
            word = (*word[:4], x, word[5] | 1 << x - word[3])
            continue
        if word is not None:
            put(word[2] << 28 | (word[0] & 63) << 22 | word[3] << 11 | word[1], word[5])
        if t >> 6 != high:
            high = t >> 6
            put(8 << 28 | high & 0xFFFFFFF, 0)
        word = (t, y, p, x, x, 1)
    put(word[2] << 28 | (word[0] & 63) << 22 | word[3] << 11 | word[1], word[5])
    return bytes(made)


def evt3(events):
    """Single events, and neighbours of one time, row and polarity as vectors of 12 and of 8."""
    made = bytearray(b"% evt 3.0\n% format EVT3;height=720;width=1280\n% end\n")
    high = low = row = None

    def put(kind, value):
        made.extend(struct.pack("<H", kind << 12 | value))

    put(2, 5)  # an event before any time is none
    at = 0
    while at < len(events):
        t, x, y, p = events[at]
        if t >> 12 != high:
            high, low = t >> 12, None
            put(8, high & 0xFFF)
        if (t & 0xFFF) != low:
            low = t & 0xFFF
            put(6, low)
        if y != row:
            row = y
            put(0, y)
        alike = [x]
        while at + len(alike) < len(events) and events[at + len(alike)][0::2] == (t, y) and (
                events[at + len(alike)][3] == p and alike[-1] < events[at + len(alike)][1] < x + 20):
            alike.append(events[at + len(alike)][1])
        if len(alike) > 1:
            put(3, p << 11 | x)
            bits = sum(1 << one - x for one in alike)
            put(4, bits & 0xFFF)
            put(5, bits >> 12)
        else:
            put(2, p << 11 | x)
        at += len(alike)
    return bytes(made)


def event_stream(events, atis=False):
    made = bytearray(b"Event Stream\x02\x00\x00" + bytes([2 if atis else 1]) + struct.pack("<HH", 640, 480))
    now, top = 0, 63 if atis else 127
    for index, (t, x, y, p) in enumerate(events):
        if index == 2:
            made += bytes([0xFC if atis else 0xFE] * 5)  # a reset
        late = t - now
        while late >= top:
            turns = min(3, late // top) if atis else 1
            made.append(0xFC | turns if atis else 0xFF)
            late -= top * turns
        made += struct.pack("<BHH", late << 2 | p << 1 if atis else late << 1 | p, x, y)
        if atis:
            made += struct.pack("<BHH", 1, x, y)  # a threshold crossing
        now = t
    return bytes(made)


def csv_text(events, order="xytp", names=True, mark=","):
    rows = [dict(zip("txyp", event, strict=True)) for event in events]
    head = mark.join(order) + "\n" if names else ""
    return (head + "".join(mark.join(str(row[name]) for name in order) + "\n" for row in rows)).encode()


def structured(events, fields="xytp"):
    kinds = {"x": "<i2", "y": "<i2", "t": "<i8", "p": "?"}
    array = np.zeros(len(events), [(name, kinds[name]) for name in fields])
    for name, at in zip("txyp", range(4), strict=True):
        array[name] = [event[at] for event in events]
    return array


def read(path):
    """All events of a file, as they were given to a writer."""
    with format_of(path).open(path) as recording:
        parts = [np.stack([part.time, part.x, part.y, part.on], axis=1) for part in recording.blocks]
    return [tuple(map(int, row)) for part in parts for row in part]


def of_stream(stream, sample=0):
    """Events of a sample, by the lines of contract 9.8."""
    here = slice(*stream.offsets[sample:sample + 2])
    off, pixel = np.divmod(stream.line[here].astype(int), stream.sensor[0] * stream.sensor[1])
    y, x = np.divmod(pixel, stream.sensor[1])
    return list(zip(stream.time[here].tolist(), x.tolist(), y.tolist(), (1 - off).tolist(), strict=True))


EVENTS = st.lists(st.tuples(st.integers(0, 300_000), st.integers(0, 33), st.integers(0, 33), st.integers(0, 1)),
                  min_size=1, max_size=40).map(sorted)


def written(folder, name, events):
    path = folder / f"a.{name.split()[0]}"
    if name.startswith("bin"):
        path.write_bytes(nmnist(events))
    elif name in WRITERS:
        path.write_bytes(WRITERS[name](events))
    elif name == "npy":
        np.save(path, structured(events))
    elif name == "npy columns":
        np.save(path, np.array([[x, y, t, p] for t, x, y, p in events], float))
    elif name == "csv":
        path.write_bytes(csv_text(events))
    elif name == "csv with other columns":
        path.write_text("id,polarity,timestamp,y,x\n" + "".join(
            f"{i},{2 * p - 1},{t},{y},{x}\n" for i, (t, x, y, p) in enumerate(events)))
    elif name == "txt":
        path.write_bytes(b"# t x y p\n" + csv_text(events, "txyp", names=False, mark=" "))
    elif name == "txt of seconds":
        path.write_text("t x y p\n" + "".join(f"{t / 1e6 + 0.0000001:.9f} {x} {y} {p}\n" for t, x, y, p in events))
    return path


WRITERS = {
    "aedat 2": aedat2, "aedat 2 of a DAVIS": lambda events: aedat2(events, "DAVIS240C"), "aedat 3": aedat3,
    "aedat4": aedat4, "aedat4 of LZ4": lambda events: aedat4(events, lz4_frame, 1),
    "aedat4 of Zstandard": lambda events: aedat4(events, zstandard_frame, 3),
    "dat": dat, "dat of version 1": lambda events: dat(events, 1), "raw of EVT 2.0": evt2, "raw of EVT 2.1": evt21,
    "raw of EVT 2.1 of a GenX320": lambda events: evt21(events, upper_first=False), "raw of EVT 3.0": evt3,
    "es": event_stream, "es of an ATIS": lambda events: event_stream(events, atis=True)}
SENSORS = {"aedat 2": (128, 128), "aedat 2 of a DAVIS": (180, 240), "aedat 3": (128, 128), "aedat4": (260, 346),
           "dat": (240, 304), "raw of EVT 2.0": (480, 640), "raw of EVT 2.1": (720, 1280), "raw of EVT 3.0":
           (720, 1280), "es": (480, 640), "bin": (34, 34)}
FORMS = [*WRITERS, "bin", "npy", "npy columns", "csv", "csv with other columns", "txt", "txt of seconds"]


@pytest.mark.parametrize("name", SENSORS)
def test_the_sensor_is_the_one_that_the_file_names(name, tmp_path):
    path = written(tmp_path, name, some_events())
    with format_of(path).open(path) as recording:
        assert recording.sensor == SENSORS[name]


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("block", [40, 100, 1000])
def test_blocks_do_not_change_what_is_read(name, block, tmp_path, monkeypatch):
    rng = np.random.default_rng(1)
    events = some_events(200, top=40_000_000 if "EVT" in name else 300_000)
    events = [one for t, x, y, p in events for one in  # neighbours too
              ((t, place, y, p) for place in sorted({x, *(x + rng.integers(0, 9, rng.integers(0, 4))).tolist()}))]
    for module in (events_of_a_camera, es, jaer):
        monkeypatch.setattr(module, "BLOCK", block)
    assert read(written(tmp_path, name, events)) == events


@pytest.mark.parametrize(("name", "turn"), [("aedat 2", 1 << 32), ("aedat 3", 1 << 31), ("dat", 1 << 32),
                                            ("raw of EVT 2.0", 1 << 34), ("raw of EVT 2.1", 1 << 34),
                                            ("raw of EVT 3.0", 1 << 24)])
def test_times_go_on_where_a_counter_begins_again(name, turn, tmp_path):
    events = [(turn - 1500 + t // 100, x, y, p) for t, x, y, p in some_events(100)]
    assert events[0][0] < turn < events[-1][0]
    assert read(written(tmp_path, name, events)) == events


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.integers(0, 99) | st.integers(0, 5000), st.integers(0, 255)), max_size=4),
       cut=st.just(0) | st.integers(0, 5000))
def test_damaged_files_are_read_or_refused(name, changes, cut, tmp_path):
    path = written(tmp_path, name, some_events(40))
    content = bytearray(path.read_bytes())
    for place, value in changes:
        content[place % len(content)] = value
    path.write_bytes(content[:max(1, len(content) - cut % len(content))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunWarning)
        try:
            load_samples(path, cut=Cut(10.0))
        except DataError as error:
            assert str(path) in str(error)


@pytest.mark.parametrize("name", [name for name in WRITERS if name != "aedat 3"])
def test_whole_events_of_a_cut_file_are_read(name, tmp_path):
    events = some_events(50)
    path = written(tmp_path, name, events)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.warns(RunWarning, match="ends within an event, at byte"):
        found = read(path)
    assert found == events[:len(found)] and len(found) >= 33  # a packet of AEDAT 4 is read whole or not


def gestures(folder):
    """Two recordings as DVS128 Gesture has them, their labels and the lists of what is learned and tested on."""
    folder.mkdir()
    for user in (1, 2):
        events = some_events(400, seed=user, height=128, width=128, top=3_000_000)
        (folder / f"user{user:02}_led.aedat").write_bytes(aedat3(events))
        (folder / f"user{user:02}_led_labels.csv").write_text(
            "class,startTime_usec,endTime_usec\n1,100000,900000\n11,1000000,1500000\n3,2000000,2000001\n")
    (folder / "gesture_mapping.csv").write_text("action,label\nhand_clapping,1\n")
    (folder / "trials_to_train.txt").write_text("user02_led.aedat\n")
    (folder / "trials_to_test.txt").write_text("user01_led.aedat\n\n")


def test_dvs128_gesture_is_a_set(tmp_path):
    gestures(tmp_path / "g")
    data = load_samples(tmp_path / "g")
    assert data.train_labels.tolist() == data.test_labels.tolist() == [0, 10, 2]
    for user, stream in ((2, data.train_images), (1, data.test_images)):
        events = some_events(400, seed=user, height=128, width=128, top=3_000_000)
        for index, (begin, end) in enumerate(((100_000, 900_000), (1_000_000, 1_500_000))):
            part = [event for event in events if begin <= event[0] < end]
            assert of_stream(stream, index) == [(t - part[0][0], *rest) for t, *rest in part]
        assert stream.sensor == (128, 128) and stream.span is None
    alone = load_recordings(tmp_path / "g" / "user01_led.aedat", lambda line: None, Cut()).train
    assert alone.labels.tolist() == [0, 10, 2]
    (tmp_path / "g" / "user01_led_labels.csv").write_text("class,startTime_usec,endTime_usec\n1,5\n")
    with pytest.raises(DataError, match="user01_led_labels.csv, line 2: must be a class from 1 up"):
        load_samples(tmp_path / "g")
    (tmp_path / "g" / "trials_to_train.txt").write_text("user03_led.aedat\n")
    with pytest.raises(DataError, match="names 'user03_led.aedat', which is not there"):
        load_samples(tmp_path / "g")


@pytest.mark.parametrize("package", ["lz4", "zstandard"])
def test_a_missing_package_is_named_with_its_extra(package, tmp_path, monkeypatch):
    path = written(tmp_path, "aedat4 of LZ4" if package == "lz4" else "aedat4 of Zstandard", some_events())
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setitem(sys.modules, "lz4.frame", None)
    with pytest.raises(DataError, match=f"needs {package}, which is not installed") as caught:
        read(path)
    assert caught.value.hint == "pip install 'ohmspike[events]'"


@pytest.mark.parametrize("name", FORMS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=EVENTS)
def test_what_is_written_is_read(name, events, tmp_path):
    if name == "bin" and events[0][0] == events[-1][0]:
        events = [*events, (events[-1][0] + 1, 0, 0, 1)]  # times that do not rise are no sign of the format
    if name == "npy columns":
        events = [*events, (400_000, 5, 7, 1)]  # x, y and t look alike in a few events
    if name == "txt of seconds":
        events = [(t + 1, x, y, p) for t, x, y, p in events]
    path = written(tmp_path, name, events)
    assert kind_of(path).events, name
    if name != "npy columns" or read(path) == events:
        assert read(path) == events


def test_an_overflow_of_n_mnist_is_no_event_and_later_times_are_later(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(nmnist([(5, 1, 2, 1), (7, 3, 240, 0), (9, 4, 5, 0), (9, 0, 240, 0), (10, 33, 33, 1)]))
    assert read(path) == [(5, 1, 2, 1), (9 + 8192, 4, 5, 0), (10 + 2 * 8192, 33, 33, 1)]


def test_columns_without_names_are_told_by_what_they_hold(tmp_path):
    events = some_events(height=200, width=300)
    for order in ("txyp", "xytp", "xypt"):
        (tmp_path / "a.csv").write_bytes(csv_text(events, order, names=False))
        assert read(tmp_path / "a.csv") == events
    (tmp_path / "a.csv").write_bytes(csv_text(events, "ptxy", names=False))
    with pytest.raises(DataError, match="none of these"):
        read(tmp_path / "a.csv")


def test_a_dat_file_of_version_1_may_have_the_places_of_version_2(tmp_path):
    events = some_events(height=240, width=304)
    (tmp_path / "a.dat").write_bytes(dat(events).replace(b"Version 2", b"Version 1"))
    assert read(tmp_path / "a.dat") == events


def test_a_new_high_part_of_the_time_of_evt_3_begins_at_0(tmp_path):
    words = [8 << 12 | 1, 6 << 12 | 5, 7, 2 << 12 | 9, 8 << 12 | 1, 2 << 12 | 10, 8 << 12 | 2, 2 << 12 | 1 << 11 | 11]
    (tmp_path / "a.raw").write_bytes(b"% evt 3.0\n" + struct.pack(f"<{len(words)}H", *words))
    assert read(tmp_path / "a.raw") == [(4101, 9, 7, 0), (4101, 10, 7, 0), (8192, 11, 7, 1)]


def test_text_may_be_packed_and_in_other_encodings(tmp_path):
    events = some_events()
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(csv_text(events, mark=";")))
    (tmp_path / "b.csv").write_bytes(csv_text(events, mark="\t").decode().encode("utf-16"))
    assert read(tmp_path / "a.csv.gz") == read(tmp_path / "b.csv") == events


@pytest.mark.parametrize(("arrays", "complaint"), [
    ({"a": structured([(1, 2, 3, 1)]), "labels": np.array([1, 2])}, r"labels must be integers 0 to 65535 of shape"),
    ({"a": structured([(1, 2, 3, 1)]), "b": np.zeros(3)}, "b must have the fields x, y, t and p, not float64"),
    ({"x": np.zeros(2), "y": np.zeros(2), "t": np.zeros(3), "p": np.zeros(2)}, r"must be numbers of shape \(3,\)")])
def test_archives_that_are_no_recordings_are_refused(arrays, complaint, tmp_path):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=complaint):
        load_recordings(tmp_path / "a.npz", lambda line: None, Cut())


@pytest.mark.parametrize("folders", ["Train and Test", "Train", "digits"])
def test_a_folder_as_n_mnist_is_published_is_a_set(folders, tmp_path):
    root, made, number = tmp_path / "N-MNIST", {}, 0
    for split in (["Train", "Test"] if folders == "Train and Test" else ["Train"] if folders == "Train" else [""]):
        for index in range(8):
            number += 1
            digit = (index * 7) % 4
            folder = root / split / str(digit)
            folder.mkdir(parents=True, exist_ok=True)
            made[split, index + 1] = digit, some_events(seed=number)
            (folder / f"{index + 1:05}.bin").write_bytes(nmnist(made[split, index + 1][1]))
    (root / "Readme.txt").write_text("as published\n")
    lines = []
    data = load_samples(root, lines.append)
    first = "" if folders == "digits" else "Train"
    if folders == "Train and Test":
        assert data.train_labels.tolist() == [made[first, i][0] for i in range(1, 9)] and not data.held_out
        assert data.test_labels.tolist() == [made["Test", i][0] for i in range(1, 9)]
        for i in range(8):
            assert of_stream(data.train_images, i) == made[first, i + 1][1]  # from the beginning of the file on
    else:
        assert data.held_out and len(data.train_labels) == 7 and len(data.test_labels) == 1
    assert data.train_images.sensor == (34, 34) and data.train_images.span == 315_000
    assert "8 recordings" in lines[0] and "34x34" in lines[0]


def test_a_set_as_n_mnist_is_published_is_coded_as_the_saccades_it_is_made_of(tmp_path):
    images = np.zeros((4, 28, 28), np.uint8)
    for index, image in enumerate(images):
        image[4 + 3 * index:16, 8:20] = 255
    stream = saccades(images)
    for index in range(4):
        events = [(t * 1050, x, y, p) for t, x, y, p in of_stream(stream, index)]  # 105 ms a saccade, not 100
        (tmp_path / "set" / str(index % 2)).mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / str(index % 2) / f"{index:05}.bin").write_bytes(nmnist(events))
    found = load_recordings(tmp_path / "set", lambda line: None, Cut()).train
    for name in ("shared-saccades", "tiles-free", "tiny"):
        chip = Chip.preset(name)
        codes = [stream_events(chip, each, learn=True).codes.tolist() for each in (stream, found)]
        assert codes[0] == codes[1] and len(codes[0]) > 1000


def test_classes_take_turns_where_numbers_do_not_say_more(tmp_path):
    for name in ("cars", "background"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for index in range(3):
            (tmp_path / "set" / name / f"obj_{index}_td.csv").write_bytes(csv_text(some_events(seed=index)))
    lines = []
    found = load_recordings(tmp_path / "set", lines.append, Cut())
    assert found.train.labels.tolist() == [0, 1] * 3
    assert lines[0].endswith("classes are 0 background, 1 cars")


def test_files_that_are_no_recordings_are_left_out_with_a_warning(tmp_path):
    for split, label in (("n-cars_train", "cars"), ("n-cars_train", "background"), ("n-cars_test", "cars")):
        (tmp_path / "set" / split / label).mkdir(parents=True)
        (tmp_path / "set" / split / label / "obj_1_td.dat").write_bytes(dat(some_events()))
    (tmp_path / "set" / "n-cars_train" / "cars" / "obj_2_td.dat").write_bytes(b"")
    with pytest.warns(RunWarning, match="cars: 1 files are no recordings and are left out, the first obj_2_td.dat"):
        data = load_samples(tmp_path / "set")
    assert data.train_labels.tolist() == [0, 1] and data.test_labels.tolist() == [1]
    (tmp_path / "set" / "n-cars_train" / "b.dat").write_bytes(dat(some_events()))
    (tmp_path / "set" / "n-cars_train" / "cars" / "obj_2_td.dat").unlink()
    with pytest.warns(RunWarning, match="1 recordings next to folders of classes are left out, the first b.dat"):
        load_samples(tmp_path / "set")


def test_dvs128_gesture_as_tonic_unpacks_it_has_its_classes_in_names(tmp_path):
    for split, user, classes in (("ibmGestureTrain", "user01_lab", (0, 10)), ("ibmGestureTest", "user02_led", (3,))):
        (tmp_path / split / user).mkdir(parents=True)
        for label in classes:
            np.save(tmp_path / split / user / f"{label}.npy", structured(some_events(seed=label)))
    data = load_samples(tmp_path)
    assert data.train_labels.tolist() == [0, 10] and data.test_labels.tolist() == [3]


def test_some_late_events_are_no_hindrance(tmp_path):
    events = some_events(200)
    events[50], events[51] = events[51], events[50]
    for name, order in (("a.bin", None), ("a.csv", "txyp")):
        (tmp_path / name).write_bytes(csv_text(events, order, names=False) if order else nmnist(events))
        assert read(tmp_path / name) == events
        found = load_recordings(tmp_path / name, lambda line: None, Cut()).train
        begin = events[0][0] if order else 0
        assert found.time[:].tolist() == [t - begin for t, *_ in sorted(events, key=lambda event: event[0])]


def test_bytes_that_only_end_in_bin_are_no_recording(tmp_path):
    rng = np.random.default_rng(0)
    for seed in range(20):
        (tmp_path / "a.bin").write_bytes(rng.integers(0, 256, 5 * (10 + seed), np.uint8).tobytes())
        assert format_of(tmp_path / "a.bin") is None
    (tmp_path / "a.bin").write_bytes(bytes(500))
    assert format_of(tmp_path / "a.bin") is None


def test_a_header_ends_where_its_text_does(tmp_path):
    events = [(37, 1, 2, 1), (37 << 6, 3, 4, 0)]  # 37 is the sign of a percentage
    content = evt2(events).replace(b"% end\n", b"")
    at = content.index(b"640x480\n") + 8
    (tmp_path / "a.raw").write_bytes(content[:at] + b"%\x00\x00\x10\n\x00\x00\x10" + content[at:])
    assert read(tmp_path / "a.raw") == events


@pytest.mark.parametrize("packed", [False, True])
def test_a_folder_of_archives_of_numpy_is_a_set(packed, tmp_path):
    for split, label, number in (("train", "clap", 1), ("train", "wave", 2), ("test", "wave", 3)):
        (tmp_path / "set" / split / label).mkdir(parents=True, exist_ok=True)
        events = structured(some_events(seed=number))
        np.savez(tmp_path / "set" / split / label / f"{number}.npz", **{name: events[name] for name in "txyp"})
    path = tmp_path / "set"
    if packed:
        path = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", path))
    data = load_samples(path)
    assert data.train_labels.tolist() == [0, 1] and data.test_labels.tolist() == [1]
    assert of_stream(data.test_images)[-1][1:] == some_events(seed=3)[-1][1:]


def test_an_archive_of_a_set_is_read_as_its_folder(tmp_path):
    with zipfile.ZipFile(tmp_path / "n.zip", "w") as archive:
        for split, digit, number in (("Train", 3, 1), ("Train", 1, 2), ("Test", 1, 1)):
            archive.writestr(f"N-MNIST/{split}/{digit}/{number:05}.bin", nmnist(some_events(seed=number)))
    assert kind_of(tmp_path / "n.zip").events
    data = load_samples(tmp_path / "n.zip")
    assert data.train_labels.tolist() == [3, 1] and data.test_labels.tolist() == [1]
    assert len(data.train_images.time) == 120
    with zipfile.ZipFile(tmp_path / "n.zip", "a") as archive:
        archive.writestr("N-MNIST/Train/3/00009.bin", nmnist([(1, 200, 200, 0), (2, 100, 20, 1)]))
    with pytest.raises(DataError, match=r"n.zip/N-MNIST/Train/3/00009.bin: event 0 must be of a sensor of 34x34"):
        load_samples(tmp_path / "n.zip", cut=Cut(sensor=(34, 34)))


def test_recordings_in_one_archive_of_numpy_are_samples(tmp_path):
    made = [some_events(seed=seed) for seed in range(4)]
    np.savez(tmp_path / "a.npz", *map(structured, made), labels=np.array([1, 0, 1, 0]))
    found = load_recordings(tmp_path / "a.npz", lambda line: None, Cut()).train
    assert found.labels.tolist() == [1, 0, 1, 0]
    for index, events in enumerate(made):
        assert of_stream(found, index) == [(t - events[0][0], *rest) for t, *rest in events]
    np.savez(tmp_path / "b.npz", **{name: structured(made[0])[name] for name in "txyp"})
    assert of_stream(load_recordings(tmp_path / "b.npz", lambda line: None, Cut()).train)[-1][1:] == made[0][-1][1:]


def test_long_recordings_without_labels_are_cut_and_others_are_not(tmp_path):
    events = some_events(400, top=2_000_000)
    path = tmp_path / "long.csv"
    path.write_bytes(csv_text(events))
    lines = []
    found = load_recordings(path, lines.append, Cut()).train
    begin = events[0][0]
    expected = {}
    for t, *rest in events:
        expected.setdefault((t - begin) // 100_000, []).append(((t - begin) % 100_000, *rest))
    assert [of_stream(found, i) for i in range(len(found))] == [expected[key] for key in sorted(expected)]
    assert found.span == 100_000 and "cut every 100 ms; --window names another length" in lines[0]
    assert len(load_recordings(path, lines.append, Cut(500.0)).train) == 4
    short = tmp_path / "short.csv"
    short.write_bytes(csv_text(some_events(400, top=900_000)))
    found = load_recordings(short, lines.append, Cut()).train
    assert len(found) == 1 and found.span is None
    (tmp_path / "set" / "0").mkdir(parents=True)
    (tmp_path / "set" / "0" / "a.csv").write_bytes(csv_text(events))
    (tmp_path / "set" / "1").mkdir()
    (tmp_path / "set" / "1" / "a.csv").write_bytes(csv_text(events))
    found = load_recordings(tmp_path / "set", lines.append, Cut()).train
    assert found.labels.tolist() == [0, 1] and len(found) == 2
    found = load_recordings(tmp_path / "set", lines.append, Cut(1000.0)).train
    assert found.labels.tolist() == [0, 0, 1, 1]


def test_of_cut_recordings_whole_ones_are_held_out(tmp_path):
    (tmp_path / "set").mkdir()
    sets = [some_events(50, seed=seed, top=2_000_000) for seed in range(8)]
    for index, events in enumerate(sets):
        (tmp_path / "set" / f"{index}.csv").write_bytes(csv_text(events))
    lines = []
    data = load_samples(tmp_path / "set", lines.append)
    groups = load_recordings(tmp_path / "set", lines.append, Cut()).groups
    sizes = np.bincount(groups)
    other = load_samples(tmp_path / "set", cut=Cut(200.0, (34, 40)))
    assert (data.name, other.name) == ("set", "set, window 200 ms, sensor 34x40")  # results are kept by the name
    assert len(data.test_images) in sizes and len(data.train_images) + len(data.test_images) == len(groups)
    assert "those of 1 recordings, drawn at random, are held out" in lines[1]


def test_the_sensor_is_the_smallest_usual_one_or_the_one_asked_for(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(csv_text([(1, 0, 0, 1), (2, 200, 100, 0)]))
    lines = []
    assert load_recordings(path, lines.append, Cut()).train.sensor == (180, 240)
    assert "--sensor names another" in lines[0]
    assert load_recordings(path, lines.append, Cut(sensor=(101, 201))).train.sensor == (101, 201)
    assert of_stream(load_recordings(path, lines.append, Cut()).train) == [(0, 0, 0, 1), (1, 200, 100, 0)]
    path.write_bytes(b"%geometry:304,240\n" + csv_text([(1, 0, 0, 1), (2, 200, 100, 0)]))
    assert load_recordings(path, lines.append, Cut()).train.sensor == (240, 304)
    with pytest.raises(DataError, match="event 1 must be of a sensor of 101x200, not at x = 200, y = 100"):
        load_recordings(path, lines.append, Cut(sensor=(101, 200)))


@pytest.mark.parametrize(("name", "content", "complaint"), [
    ("a.csv", b"x,y,t,p\n1,2,3,0\n4,5,x,1\n", "a.csv, line 3: must be 4 numbers, not '4,5,x,1'"),
    ("a.csv", b"x,y,t,p\n1,2,3,0\n4,5,1\n", "a.csv, line 3: must be 4 numbers, not '4,5,1'"),
    ("a.csv", b"x,y,t,p\n1,2,3,0\n4,5,6,2\n", r"p must be 0 or 1, or -1 or 1, not 2.0 \(event 1\)"),
    ("a.csv", b"x,y,t,p\n1,2,3,0\n4.5,5,6,1\n", "x must be whole numbers"),
    ("a.csv", b"x,y,t,p\n1,2,3,0\n4,-5,6,1\n", "event 1 must be of a sensor of"),
    ("a.csv", b"x,y,t,p\n1,2,3,0\n4,nan,6,1\n", r"y must be finite, not nan \(event 1\)"),
    ("a.csv", b"x,y,t,p\n1,2,3,0\n4,5,1e300,1\n", "t must be at most"),
])
def test_what_is_no_event_is_refused_with_its_place(name, content, complaint, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=complaint):
        load_recordings(tmp_path / name, lambda line: None, Cut())


def test_a_file_that_ends_within_an_event_gives_the_others_with_a_warning(tmp_path):
    events = some_events()
    path = tmp_path / "a.bin"
    path.write_bytes(nmnist(events)[:-2])
    with pytest.warns(RunWarning, match="a.bin: ends within an event, at byte 295: 3 bytes where it takes 5"):
        assert read(path) == events[:-1]





def test_commands_take_recordings(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for split, count in (("Train", 12), ("Test", 4)):
        for index in range(count):
            folder = tmp_path / "n" / split / str(index % 2)
            folder.mkdir(parents=True, exist_ok=True)
            side = 4 + 14 * (index % 2)
            events = [(t, side + x // 4, side + y // 4, p) for t, x, y, p in some_events(300, seed=index)]
            (folder / f"{index:05}.bin").write_bytes(nmnist(events))
    assert run(["learn", "--chip", "tiles-free", "--data", "n", "--out", "runs", "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)
    assert metrics["train_images"] == 12 and metrics["test_images"] == 4 and metrics["encoding"] == "stream"
    (folder,) = (path for path in (tmp_path / "runs").iterdir() if path.is_dir())
    assert run(["classify", str(folder / "learned.npz"), "--data", "n", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["samples"] == 4
    assert run(["classify", str(folder / "learned.npz"), "--data", "n/Test/0/00000.bin", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["samples"] == 1
    assert run(["report", str(folder), "--sample", "1"]) == 0
    assert run(["compare", "--chip", "tiles-free", "--data", "n", "--window", "150", "--a", "model", "--b", "model",
                "--images", "2"]) == 0
    capsys.readouterr()
    assert run(["convert", "n", "n.npz", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["samples"] == 16
    chip = Chip.preset("tiles-free")
    data, again = load_samples("n"), load_samples("n.npz")
    for one, other in ((data.train_images, again.train_images), (data.test_images, again.test_images)):
        assert one.labels.tolist() == other.labels.tolist()
        assert np.array_equal(stream_events(chip, one, learn=True).codes, stream_events(chip, other, learn=True).codes)
    assert run(["learn", "--chip", "tiles-free", "--data", "n/Test/0", "--window", "100", "--sensor", "40x40", "--out",
                "runs2", "--no-labels", "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)
    assert metrics["window"] == 100 and metrics["sensor"] == [40, 40] and metrics["train_images"] == 3


@pytest.mark.parametrize(("words", "complaint"), [
    (["learn", "--data", "saccades", "--window", "10"], "--window has no meaning for saccades"),
    (["learn", "--sensor", "3x3"], "--sensor has no meaning for mnist"),
    (["convert", "i.npy", "o.npz", "--window", "3"], "--window has no meaning from i.npy"),
    (["demo", "--data", "a.csv"], "a.csv: events as text, and images are needed here"),
    (["convert", "a.csv", "o.npz", "--plane", "3x3"], "--plane has no meaning from a.csv"),
    (["learn", "--data", "a.csv"], "samples must be at least 2")])
def test_options_and_recordings_where_they_do_not_belong(words, complaint, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("i.npy", np.zeros((4, 3, 3), np.uint8))
    (tmp_path / "a.csv").write_bytes(csv_text(some_events()))
    assert run(words) == 1
    assert complaint in capsys.readouterr().err
