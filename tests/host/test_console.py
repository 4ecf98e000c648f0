"""What a person sees while waiting, where stderr is a file."""

from ohmspike.host.support import console


def test_progress_without_a_terminal_is_lines_of_text(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    with console.progress("learning") as shown:
        for done in (0, 100, 200, 250, 300):
            now[0] += 20
            shown(done, 300)
            shown(done, 300)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["learning: 100 of 300, 40 s, about 80 s left", "learning: 250 of 300, 80 s, about 16 s left",
                     "learning: 300 of 300, 100 s"]
