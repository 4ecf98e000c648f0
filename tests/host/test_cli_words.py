"""The words of the command line: summaries, defaults, usage errors, and suggestions of what was meant."""

import re
from pathlib import Path

import click
import pytest

from ohmspike.host.commands import cli
from ohmspike.host.commands.cli import SECTIONS

SUMMARIES = {name: summary for commands in SECTIONS.values() for name, summary in commands.items()}


@pytest.fixture
def ohmspike(capsys):
    """Run a command line in this process: exit code, stdout, stderr."""

    def run(*arguments):
        code = cli.run(arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def commands_of(name):
    command = cli.cli.get_command(click.Context(cli.cli), name)
    return [command, *command.commands.values()] if isinstance(command, click.Group) else [command]


def test_every_file_with_a_command_is_listed():
    folder = Path(cli.__file__).parent
    files = {path.stem for path in folder.glob("*.py") if "@click.command" in path.read_text()
             or "@click.group(cls=Group)" in path.read_text()}
    assert files - {"device_study"} == set(SUMMARIES)  # that one holds commands of device


def test_no_summary_is_cut(ohmspike):
    assert max(map(len, SUMMARIES.values())) <= 45
    code, out, _ = ohmspike("--help")
    assert code == 0 and all(f"{name} " in out and summary in out for name, summary in SUMMARIES.items())
    assert "..." not in out.partition("Options:")[2]


@pytest.mark.parametrize("name", SUMMARIES)
def test_no_default_is_told_twice(name):
    for command in commands_of(name):
        for option in command.params:
            with click.Context(command) as context:
                record = option.get_help_record(context)
            assert record is None or record[1].count("[default") <= 1, record


def test_targets_are_typed_as_the_help_says(ohmspike):
    _, out, _ = ohmspike("scrub", "--help")
    assert "--target model|rtl|rtl-small|rtl-uart|rtl-spi|serial:PORT|spi:DEVICE" in out


def test_columns_of_info_are_in_line(ohmspike):
    _, out, _ = ohmspike("info")
    table = out.partition("\n\n")[0].splitlines()
    assert len({re.search(r"  (fires|race|threshold)$", line).start() for line in table}) == 1


@pytest.mark.parametrize(("words", "error", "hint"), [
    (["mnits"], "command must be one of learn, classify, .*, not 'mnits'", "did you mean mnist?"),
    (["device", "shw"], "command must be one of .*, not 'shw'", "did you mean show?"),
    (["info", "--jsno"], "there is no option --jsno", "did you mean --json?"),
    (["info", "--lanes", "0"], "invalid value for '--lanes': 0 is not in the range x>=1", "ohmspike info --help .*"),
    (["build"], "missing option '--board'. Choose from: .*", "ohmspike build --help .*"),
    (["build", "--board", "icebraker"], "--board must be one of .*, not 'icebraker'", "did you mean icebreaker?"),
    (["compare", "--a", "modle"], "--a must be one of model, .*, not 'modle'", "did you mean model?"),
    (["robustness", "--nonideality", "stick"], "--nonideality must be one of .*, not 'stick'", "did you mean stuck?"),
])
def test_a_usage_error_is_told_as_any_other_and_suggests(ohmspike, words, error, hint):
    code, out, err = ohmspike(*words)
    assert code == 2 and out == ""
    assert re.fullmatch(f"error: {error}\n\nhint: {hint.replace('?', '[?]')}\n", err), err


@pytest.mark.parametrize(("words", "what", "hint"), [
    (["info", "tile"], "chip must be one of .* or a TOML file, not 'tile'", "did you mean tiles?"),
    (["device", "show", "pmco"], "device must be one of .* or a TOML file, not 'pmco'", "did you mean pcmo?"),
    (["compare", "--chip", "tiny", "--data", "fashon", "--b", "model"], "data must be .*, not 'fashon'",
     "did you mean fashion?"),
])
def test_a_name_that_is_nearly_right_has_a_suggestion(ohmspike, words, what, hint):
    code, _, err = ohmspike(*words)
    assert code == 1 and re.fullmatch(f"error: {what}\n\nhint: {hint.replace('?', '[?]')}\n", err), err


def test_a_field_that_is_nearly_right_has_a_suggestion(ohmspike, tmp_path):
    (tmp_path / "mine.toml").write_text("name = 'mine'\n[fire]\nmembrane_bit = 12\n")
    _, _, err = ohmspike("info", str(tmp_path / "mine.toml"))
    assert "unknown field [fire] membrane_bit" in err and err.endswith("hint: did you mean membrane_bits?\n")


@pytest.mark.parametrize("words", [["info", "no.toml"], ["device", "fit", "no.csv"]])
def test_a_file_that_is_missing_is_named_once(ohmspike, words):
    code, _, err = ohmspike(*words)
    assert code == 1 and err.count("no.") == 1 and "Errno" not in err and "No such file" in err
