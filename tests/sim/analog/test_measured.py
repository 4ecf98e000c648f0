"""What laboratories have: every shape of file read to the same branches, or refused for the true reason."""

import gzip
import io

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ohmspike.sim.analog.device import DeviceError
from ohmspike.sim.analog.fit import Options, preview, read_measurement
from ohmspike.sim.analog.measured.words import branch_of, column_of, unit_of

UP = np.array([1.0, 2.5, 3.7, 4.6, 5.3, 5.8])
"""µS after 0 to 5 pulses of potentiation; depression is ``DOWN``."""
DOWN = np.array([5.8, 4.1, 2.9, 2.0, 1.4, 1.0])
CYCLES = [(UP, DOWN), (UP * 1.02, DOWN * 0.98), (UP * 0.97, DOWN * 1.01)]


def long(unit="uS", factor=1.0, head="conductance ({})", pulse="pulse", branch="branch", names=("LTP", "LTD"), sep=",",
         form="{:.6g}", cycles=CYCLES):
    """A table of a row for each reading."""
    lines = [sep.join(("cycle", branch, pulse, head.format(unit)))]
    for cycle, pair in enumerate(cycles, 1):
        for name, course in zip(names, pair, strict=True):
            lines += [sep.join((str(cycle), name, str(k), form.format(g * factor))) for k, g in enumerate(course)]
    return "\n".join(lines) + "\n"


def wide(head="pulse,LTP (uS),LTD (uS)", rows=None):
    """A column for each branch."""
    rows = [f"{k},{a:g},{b:g}" for k, (a, b) in enumerate(zip(UP, DOWN, strict=True))] if rows is None else rows
    return "\n".join([head, *rows]) + "\n"


def read(tmp_path, text, name="lab.csv", encoding="utf-8", **options):
    data = text if isinstance(text, bytes) else text.encode(encoding)
    (tmp_path / name).write_bytes(data)
    return read_measurement(tmp_path / name, options=Options(**options))


def is_as_measured(measured, cycles=CYCLES, first=0, rel=2e-3):
    assert len(measured.of("set")) == len(measured.of("reset")) == len(cycles)
    for k, pair in enumerate(cycles):
        for kind, course in zip(("set", "reset"), pair, strict=True):
            branch = measured.of(kind)[k]
            assert branch.conductance == pytest.approx(course[first:] * 1e-6, rel=rel)
            assert branch.pulses.tolist() == list(range(first, 6))


@pytest.mark.parametrize("head", ["conductance ({})", "G ({})", "G_{}", "G[{}]", "Conductance_{}", "conductance {}",
                                  "G / {}", '"G, {}"', "Mean conductance ({})", "G in {}"])
def test_every_spelling_of_conductance_is_read(tmp_path, head):
    is_as_measured(read(tmp_path, long(head=head)))


@pytest.mark.parametrize("unit, factor", [
    ("uS", 1), ("µS", 1), ("μS", 1), ("US", 1), ("nS", 1e3), ("mS", 1e-3), ("S", 1e-6), ("Siemens", 1e-6),
    ("$\\mu$S", 1), ("10^-6 S", 1), ("1e-6 S", 1), ("×10⁻⁶ S", 1), ("umho", 1), ("G0", 1e-6 / 7.748091729e-5)])
def test_every_unit_of_conductance_is_read(tmp_path, unit, factor):
    is_as_measured(read(tmp_path, long(unit, factor)))


@pytest.mark.parametrize("unit, ohm", [("Ohm", 1), ("ohms", 1), ("kOhm", 1e3), ("kohm", 1e3), ("KOhm", 1e3),
                                       ("kOhms", 1e3), ("kΩ", 1e3), ("k\u2126", 1e3), ("MOhm", 1e6), ("MΩ", 1e6)])
def test_every_unit_of_resistance_is_read(tmp_path, unit, ohm):
    cycles = [(1 / up, 1 / down) for up, down in CYCLES]
    is_as_measured(read(tmp_path, long(unit, 1e6 / ohm, "resistance ({})", cycles=cycles)))


@pytest.mark.parametrize("pulse", ["pulse", "Pulse Number", "N", "Pulses (#)", "Pulse #", "# pulses", "#Pulse",
                                   "PulseNum", "Number of pulses", "Pulse index", "pulse no."])
def test_every_spelling_of_pulse_is_read(tmp_path, pulse):
    is_as_measured(read(tmp_path, long(pulse=pulse)))


@pytest.mark.parametrize("names", [("LTP", "LTD"), ("Potentiate", "Depress"), ("+", "-"), ("positive", "negative"),
                                   ("SET", "RESET"), ("1", "-1"), ("p", "d"), ("up", "down")])
def test_every_name_of_a_branch_is_read(tmp_path, names):
    is_as_measured(read(tmp_path, long(names=names, branch="polarity")))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_every_encoding_and_decimal_comma_are_read(tmp_path, encoding, ends):
    text = long("µS", sep=";").replace(".", ",").replace("\n", ends)
    is_as_measured(read(tmp_path, text, encoding=encoding))


@pytest.mark.parametrize("text", [
    long(sep="\t"), long(sep=" ").replace("conductance (uS)", "G(uS)"), "# lab 3\n" + long(), "% lab 3\n" + long(),
    "Fig. 3b potentiation and depression\n" + long(), long().replace("\n2,LTP,0", "\n\n2,LTP,0"),
    long().replace("\n", ",,\n"), long("nS", 1e3, form="{:,.0f}", sep=";").replace(",", " "),
    long("nS", 1e3, form="{:,.1f}", sep=";"), long(form="{:.6e}", sep=";").replace(".", ","),
    long().replace("cycle,branch,pulse,conductance (uS)", "Long,Name,,\ncycle,branch,pulse,conductance\n,,,uS\n"),
])
def test_titles_comments_units_and_separators_vary(tmp_path, text):
    is_as_measured(read(tmp_path, text))


def test_no_header_is_guessed_and_said(tmp_path):
    measured = read(tmp_path, long().split("\n", 1)[1], unit="uS")
    is_as_measured(measured)
    assert any("no header; taken as" in note for note in measured.notes)
    with pytest.raises(DeviceError, match=r"column 4 .*has no unit, and values reach 5.916; say --unit uS"):
        read(tmp_path, long().split("\n", 1)[1])


def test_own_headers_stand_for_the_files(tmp_path):
    is_as_measured(read(tmp_path, long().split("\n", 1)[1], columns=("cycle", "branch", "pulse", "G (uS)")))
    with pytest.raises(DeviceError, match="columns must be 4 headers, as many as there are columns, not 2"):
        read(tmp_path, long(), columns=("pulse", "G"))


def test_blank_and_missing_readings_are_skipped_and_counted(tmp_path):
    text = long().replace("1,LTP,3,4.6", "1,LTP,3,NaN").replace("2,LTD,5,0.98", "2,LTD,5,") + ",,,\n"
    measured = read(tmp_path, text)
    assert sum(len(branch.pulses) for branch in measured.branches) == 34
    assert measured.of("set")[0].pulses.tolist() == [0, 1, 2, 4, 5]
    assert any("2 readings that are blank or NaN skipped, the first in line 5" in note for note in measured.notes)


def test_padded_columns_are_read(tmp_path):
    measured = read(tmp_path, wide(rows=["0,1,8", "1,2,7", "2,3,6", "3,4,5", "4,5,NaN", "5,6,"]))
    assert [len(branch.pulses) for branch in measured.branches] == [6, 4]


def test_cycles_and_devices_in_columns_are_read(tmp_path):
    heads = [f"{name} cycle {k} (uS)" for name in ("LTP", "LTD") for k in (1, 2, 3)]
    columns = [pair[kind] for kind in (0, 1) for pair in CYCLES]
    rows = [f"{k}," + ",".join(f"{column[k]:g}" for column in columns) for k in range(6)]
    measured = read(tmp_path, wide("pulse," + ",".join(heads), rows))
    is_as_measured(measured)
    assert [branch.cycle for branch in measured.branches] == ["1", "1", "2", "2", "3", "3"]
    devices = read(tmp_path, wide("pulse," + ",".join(heads).replace("cycle", "device"), rows))
    assert devices.devices == ["1", "2", "3"] and len(devices.part("2").branches) == 2


def test_device_and_cycle_columns_are_told_apart(tmp_path):
    text = long().replace("cycle,branch", "device,cycle,branch")
    lines = text.splitlines()
    body = [f"D{d},{line}" for d in (1, 2) for line in lines[1:]]
    measured = read(tmp_path, "\n".join([lines[0], *body]))
    assert measured.devices == ["D1", "D2"] and len(measured.part("D2").branches) == 6


def test_ramps_in_two_files_are_one_device(tmp_path):
    for name, kind in (("set", 0), ("reset", 1)):
        rows = [",".join(f"{pair[kind][k] * 1e-6:g}" for pair in CYCLES) for k in range(6)]
        (tmp_path / f"{name}.csv").write_text("rmp1,rmp2,rmp3\n" + "\n".join(rows))
    measured = read_measurement(tmp_path / "set.csv", tmp_path / "reset.csv")
    is_as_measured(measured)
    assert measured.devices == [""] and any("no unit; taken as S" in note for note in measured.notes)


def test_files_of_both_branches_are_devices(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text(wide())
    assert read_measurement(tmp_path / "a.csv", tmp_path / "b.csv").devices == ["a", "b"]
    cycles = read_measurement(tmp_path / "a.csv", tmp_path / "b.csv", options=Options(traces="cycle"))
    assert cycles.devices == [""] and [branch.cycle for branch in cycles.branches] == ["a", "a", "b", "b"]


def train(column):
    """Readings behind each pulse of three cycles, with something that tells the branch."""
    rows, count = [], 0
    for up, down in CYCLES:
        for kind, course in ((0, up), (1, down)):
            for g in course[1:]:
                count += 1
                rows.append(column(count, kind, g))
    return "\n".join(rows) + "\n"


@pytest.mark.parametrize("text", [
    "pulse,branch,conductance (uS)\n" + train(lambda n, k, g: f"{n},{('LTP', 'LTD')[k]},{g:g}"),
    "pulse,pulse voltage (V),conductance (uS)\n" + train(lambda n, k, g: f"{n},{(1.2, -1.2)[k]},{g:g}"),
    "pulse voltage (V),conductance (uS)\n" + train(lambda n, k, g: f"{(1.2, -1.2)[k]},{g:g}"),
    "V,G (uS)\n" + train(lambda n, k, g: f"{(-1.2, 1.2)[k]},{g:g}"),
])
def test_train_is_cut_into_its_branches(tmp_path, text):
    is_as_measured(read(tmp_path, text), first=1)


def test_train_that_nothing_is_told_of_is_cut_where_it_turns(tmp_path):
    measured = read(tmp_path, "time (s),G (uS)\n" + train(lambda n, k, g: f"{n * 1e-3:g},{g:g}"))
    assert [branch.kind for branch in measured.branches] == ["set", "reset"] * 3
    assert any("cut where conductance turns" in note for note in measured.notes)


def test_noise_does_not_turn_a_branch(tmp_path):
    random = np.random.default_rng(1)
    up = 1 + 4 * np.linspace(0, 1, 800) + 0.35 * random.standard_normal(800)
    down = 5 - 4 * np.linspace(0, 1, 800) + 0.35 * random.standard_normal(800)
    measured = read(tmp_path, "\n".join(f"{a:.4f},{b:.4f}" for a, b in zip(up, down, strict=True)), unit="uS")
    assert [(branch.kind, len(branch.pulses)) for branch in measured.branches] == [("set", 800), ("reset", 800)]


@pytest.mark.parametrize("preamble", ["", '"Test","pulse train"\n"Vread = 0.1 V",""\n'])
def test_dump_of_voltage_and_current_is_segmented(tmp_path, preamble):
    rows = ["Time (s),Voltage (V),Current (A)"]
    for up, down in CYCLES:
        for sign, course in ((1, up), (-1, down)):
            rows += [f"0,0.1,{course[0] * 1e-7:g}"]
            for g in course[1:]:
                rows += [f"0,{1.2 * sign},{1.2 * sign * g * 1e-6:g}", f"0,0.1,{g * 1e-7:g}"]
    measured = read(tmp_path, preamble + "\n".join(rows))
    assert [branch.kind for branch in measured.branches] == ["set", "reset"] * 3
    assert measured.of("set")[0].conductance[1:6] == pytest.approx(UP[1:] * 1e-6, rel=1e-3)
    assert measured.of("reset")[2].conductance[:5] == pytest.approx(CYCLES[2][1][1:] * 1e-6, rel=1e-3)


def test_currents_want_the_voltage_they_were_read_at(tmp_path):
    text = long("uA", 0.1, "current ({})")
    is_as_measured(read(tmp_path, text, read_v=0.1))
    is_as_measured(read(tmp_path, "# read voltage 100 mV\n" + text))
    with pytest.raises(DeviceError, match="currents and no voltage that they were read at; give it with --read-v"):
        read(tmp_path, text)


def test_mirrored_depression_is_recognised(tmp_path):
    measured = read(tmp_path, long(cycles=[(up, down[::-1]) for up, down in CYCLES]))
    is_as_measured(measured)
    assert any("NeuroSim's nonlinear_fit.m" in note for note in measured.notes)


def test_falling_pulse_numbers_are_read(tmp_path):
    lines = ["pulse,branch,G (uS)", *(f"{k},LTP,{g}" for k, g in enumerate(UP)),
             *(f"{5 - k},LTD,{g}" for k, g in enumerate(DOWN))]
    measured = read(tmp_path, "\n".join(lines))
    is_as_measured(measured, [(UP, DOWN)])
    assert any("pulse numbers of 1 branches fall" in note for note in measured.notes)


def test_normalised_values_want_a_range(tmp_path):
    text = wide("pulse,LTP,LTD", [f"{k},{(a - 1) / 4.8:g},{(b - 1) / 4.8:g}" for k, (a, b)
                                  in enumerate(zip(UP, DOWN, strict=True))])
    is_as_measured(read(tmp_path, text, scale=(1e-6, 5.8e-6)), [(UP, DOWN)])
    with pytest.raises(DeviceError, match=r"has no unit, and values reach 1; .* --range G_MIN G_MAX"):
        read(tmp_path, text)
    symmetric = wide("LTP,LTD", [f"{(a - 3.4) / 2.4:g},{(b - 3.4) / 2.4:g}" for a, b in zip(UP, DOWN, strict=True)])
    is_as_measured(read(tmp_path, symmetric, scale=(1e-6, 5.8e-6)), [(UP, DOWN)])


def test_workbook_matlab_and_numpy_files_are_read(tmp_path):
    import openpyxl
    from scipy.io import savemat

    book = openpyxl.Workbook()
    for row in [["Pulse", "LTP (uS)", "LTD (uS)"], *([k, float(UP[k]), float(DOWN[k])] for k in range(6))]:
        book.active.append(row)
    book.save(tmp_path / "lab.xlsx")
    savemat(tmp_path / "lab.mat", {"pulse": np.arange(6), "LTP_uS": UP, "LTD_uS": DOWN})
    np.savez(tmp_path / "lab.npz", pulse=np.arange(6), LTP_uS=UP, LTD_uS=DOWN)
    for name in ("lab.xlsx", "lab.mat", "lab.npz"):
        is_as_measured(read_measurement(tmp_path / name), [(UP, DOWN)])
    (tmp_path / "lab.csv.gz").write_bytes(gzip.compress(wide().encode()))
    is_as_measured(read_measurement(tmp_path / "lab.csv.gz"), [(UP, DOWN)])


def test_one_branch_alone_is_read(tmp_path):
    measured = read(tmp_path, "pulse,LTP (uS)\n" + "".join(f"{k},{g}\n" for k, g in enumerate(UP)))
    assert len(measured.of("set")) == 1 and not measured.of("reset")


def test_steps_in_place_of_curves_are_read(tmp_path):
    text = "G (uS),dG (uS)\n" + "".join(f"{g},{0.1 * (6 - g):g}\n" for g in (1, 2, 3, 4, 5))
    steps = read(tmp_path, text).steps[0]
    assert steps.kind == "set" and steps.step == pytest.approx(0.1e-6 * np.array([5, 4, 3, 2, 1]))
    table = "1st row = Gbins, 2nd row = CDF points, then dG\n1e-6,2e-6,3e-6,4e-6\n0,0.25,0.5,0.75,1\n"
    table += "".join(",".join(f"{(k - 2) * 1e-8:g}" for k in range(5)) + "\n" for _ in range(4))
    steps = read(tmp_path, table, "dG_increasing.txt").steps[0]
    assert steps.kind == "set" and len(set(steps.conductance)) == 4


def test_steps_up_and_down_beside_their_conductance_are_two_tables(tmp_path):
    text = "G (uS),dG up (uS),dG down (uS)\n" + "".join(f"{g},{0.1 * (6 - g):g},{0.1 * g:g}\n" for g in (1, 2, 3, 4, 5))
    up, down = read(tmp_path, text).steps
    assert (up.kind, down.kind) == ("set", "reset")
    assert up.step == pytest.approx(0.1e-6 * np.array([5, 4, 3, 2, 1])) and down.step == pytest.approx(-up.step[::-1])


SEGMENTS = "\n".join(["0.001,0.004"] * 2 + ["0.005,0.006"] * 2 + ["0.001,0.002"] * 3) + "\n"


def test_steps_by_segments_without_a_header_are_no_curve(tmp_path):
    with pytest.raises(DeviceError, match=r"must hold conductance after pulses, not steps: .* in 4 of 6 rows and then "
                                          r"turn.*under the headers G \(µS\), dG up"):
        read(tmp_path, SEGMENTS, unit="uS")
    curve = "".join(f"{up},{down}\n" for up, down in zip(UP, DOWN, strict=True))
    assert not read(tmp_path, curve, unit="uS").steps


def test_preview_tells_what_was_understood(tmp_path):
    text = "\n".join(preview(read(tmp_path, wide())))
    assert "'LTP (uS)': reading in uS (potentiation, conductance)" in text
    assert "2 branches, 12 readings, 1 device" in text


GOOD = long()


@pytest.mark.parametrize("text, message", [
    (GOOD.replace("1,LTP,2,3.7", "1,LTP,2,three"),
     r"lab.csv: line 4, column 4 \(conductance \(uS\)\): must be a number, not 'three'"),
    (GOOD.replace("1,LTP,2", "1,LTX,2"), r"line 4, column 2 \(branch\): must be potentiation or depression, not 'LTX'"),
    (GOOD.replace("1,LTP,2,3.7", "1,LTP,2"), "line 4: must have 4 columns, not 3"),
    (GOOD.replace("(uS)", "(volts)"), "column 4 .*: unit must be one of S, mS, .* not 'volts'"),
    (GOOD.replace("conductance (uS)", "colour"), "missing column conductance, resistance or current; found 'cycle'"),
    (GOOD.replace("cycle", "branch", 1), "second column for branch: 'branch'"),
    ("\n".join(GOOD.splitlines()[:4]), "potentiation of cycle 1 must have at least 4 points, not 3"),
    ("", "must hold a header and rows, and is empty"),
    (long("S"), r"values reach 5.9\d* S in the unit 'S', which no memristor conducts; if they are µS, say --unit uS"),
    (long("a.u."), r"values are normalised \(a.u.\); give what they stand for with --range"),
    (long(names=("LTD", "LTP")), "depression rises, by .* the branches are named the wrong way round"),
    (wide("pulse,LTP (uS)", [f"{k},{g}" for k, g in enumerate(DOWN)]), "potentiation falls, by"),
    (long(factor=-1.0, cycles=[(up[::-1], down[::-1]) for up, down in CYCLES]),
     "36 of 36 conductances are negative; the sign of current or read voltage is turned"),
    (b"\xd0\xcf\x11\xe0 old", "is a workbook of the old form .xls; save it as .xlsx or as CSV"),
    (b"PK\x03\x04 broken", "cannot be read as a workbook"),
    (b"\x93NUMPY broken", "cannot be read as a NumPy file"),
    (b"abc\x00\x01\x02\xff\xfe\xfd" * 40, "must be text, .xlsx, .mat or .npz, and is none of them"),
])
def test_what_cannot_be_meant_is_refused_with_its_place(tmp_path, text, message):
    with pytest.raises(DeviceError, match=message):
        read(tmp_path, text)


def test_matlab_file_of_another_form_is_refused_with_the_cure(tmp_path):
    head = b"MATLAB 7.3 MAT-file, Platform: GLNXA64"
    (tmp_path / "lab.mat").write_bytes(head + b" " * (124 - len(head)) + b"\x00\x02IM" + b"\x89HDF")
    with pytest.raises(DeviceError, match="MATLAB file"):
        read_measurement(tmp_path / "lab.mat")


def numpy_file(write):
    file = io.BytesIO()
    write(file)
    return file.getvalue()


WHOLE = [numpy_file(lambda file: np.save(file, np.stack([UP, DOWN]))),
         numpy_file(lambda file: np.savez(file, LTP_uS=UP, LTD_uS=DOWN)),
         numpy_file(lambda file: np.savez_compressed(file, LTP_uS=np.tile(UP, 30), LTD_uS=np.tile(DOWN, 30))),
         gzip.compress(wide().encode())]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_files_with_changed_or_missing_bytes_are_read_or_refused(tmp_path, data):
    content = bytearray(data.draw(st.sampled_from(WHOLE)))
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / data.draw(st.sampled_from(["a", "a.npz", "a.csv"]))
    path.write_bytes(content[:data.draw(st.integers(0, len(content)))])
    try:
        assert read_measurement(path).branches
    except DeviceError as error:
        assert str(path) in str(error)


def test_missing_file_is_told(tmp_path):
    with pytest.raises(DeviceError, match="none.csv: cannot be read: "):
        read_measurement(tmp_path / "none.csv")


def test_words_of_headers_are_understood():
    assert column_of("I_read (nA)").quantity == "current" and column_of("read voltage (V)").role == "read_v"
    assert column_of("std (uS)").role == "none" and column_of("pulse width (s)").role == "none"
    assert (column_of("LTP cycle 3 (uS)").kind, column_of("LTP cycle 3 (uS)").cycle) == ("set", "3")
    assert column_of("Device 3 (uS)").device == "3" and column_of("cycle number").role == "cycle"
    assert branch_of("D1") == "" and unit_of("parsec") is None


def test_numbers_of_many_rows_are_read_fast(tmp_path):
    import time

    rows = io.StringIO()
    rows.write("cycle,branch,pulse,G (uS)\n")
    for cycle in range(500):
        for name, course in (("LTP", UP), ("LTD", DOWN)):
            rows.writelines(f"{cycle},{name},{k},{g:.5f}\n" for k, g in enumerate(np.repeat(course, 5)))
    begin = time.process_time()
    assert len(read(tmp_path, rows.getvalue()).branches) > 999
    assert time.process_time() - begin < 5
