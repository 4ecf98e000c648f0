"""The table of coverage at the end of the tests."""

from support.coverage import by_room, lines_of


def test_a_file_under_two_names_is_one(tmp_path):
    (tmp_path / "chip").mkdir()
    (tmp_path / "src").mkdir()
    (tmp_path / "chip" / "a.py").touch()
    (tmp_path / "src" / "chip").symlink_to(tmp_path / "chip")
    lines = lines_of({"chip/a.py": {"executed_lines": [], "missing_lines": [1, 2, 3, 4]},
                      "src/chip/a.py": {"executed_lines": [1, 2], "missing_lines": [3, 4]},
                      "chip/b.py": {"executed_lines": [1], "missing_lines": []}}, tmp_path)
    assert lines == {"chip/a.py": ({1, 2}, {3, 4}), "chip/b.py": ({1}, set())}
    assert by_room(lines).splitlines()[2:] == ["| chip | 5 | 60% |", "| all | 5 | 60% |"]


def test_kernels_are_not_counted():
    """A counted line in what numba compiles is an error of numba's, so all of them are left out."""
    import tomllib
    from fnmatch import fnmatch
    from pathlib import Path

    root = Path(__file__).resolve().parent.parent
    with open(root / "pyproject.toml", "rb") as file:
        omitted = tomllib.load(file)["tool"]["slipcover"]["omit"].split(",")
    compiled = [path for room in ("chip", "host", "boards", "sim") for path in (root / room).rglob("*.py")
                if any(line.lstrip().startswith(("@kernel", "@njit", "@numba.njit"))
                       for line in path.read_text().splitlines())]
    assert compiled
    assert not [path for path in compiled if not any(fnmatch(str(path), pattern) for pattern in omitted)]
