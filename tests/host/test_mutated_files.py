"""Files that somebody's editor, disk or script changed: every command reads them or says why not, and nothing else."""

import shutil

import numpy as np
import pytest
import tomli_w

from ohmspike import learn, open_target, save, train_vote
from ohmspike.host.commands.cli import run
from ohmspike.sim.analog.device import Device
from support.bars import CHIP, data

MUTANTS = {"pulses": 15}
"""Of a kind of file, if not 110: more than a thousand in all. A fit takes seconds."""

SPLICES = [b"", b"nan", b"-1", b"1e999", b"999999999999999999999", b"[", b"}", b'"', b"\n", b"\0", b"\xff\xfe", b"inf",
           b"true", b"{}", b"=", b",", b";", b"\xef\xbb\xbf", b"0", b"__import__('os')"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A good file of every kind, and the run folder of a learned chip."""
    folder, own = tmp_path_factory.mktemp("good"), data()
    (folder / "chip.toml").write_text(tomli_w.dumps(CHIP.to_dict()))
    (folder / "device.toml").write_text(tomli_w.dumps(Device.load("target65").to_dict()))
    rows = [f"{n},{1 + 0.2 * n:.3f}" for n in range(30)] + [f"{n},{7 - 0.2 * (n - 30):.3f}" for n in range(30, 60)]
    (folder / "pulses.csv").write_text("pulse,conductance_uS\n" + "\n".join(rows) + "\n")
    np.savez(folder / "images.npz", images=own.train_images[:40], labels=own.train_labels[:40])
    np.savez(folder / "spikes.npz", time=np.arange(90) % 9, line=np.arange(90) % 36, offsets=np.arange(11) * 9,
             labels=np.arange(10) % 2)
    words = np.stack([np.arange(90) * 99, np.arange(90) % 9], axis=1).astype("<u4").tobytes()
    (folder / "camera.dat").write_bytes(b"% Data file containing CD events.\n% Version 2\n% Width 9\n% Height 9\n"
                                        b"\x0c\x08" + words)
    (folder / "camera.csv").write_text("x,y,t,p\n" + "".join(f"{n % 6},{n % 5},{99 * n},{n % 2}\n" for n in range(90)))
    pixels = [",".join(map(str, [label, *image.ravel()]))
              for image, label in zip(own.train_images[:20], own.train_labels, strict=False)]
    (folder / "images.csv").write_text("label," + ",".join(f"p{i}" for i in range(36)) + "\n" + "\n".join(pixels))
    with open_target("model", CHIP) as target:
        learn(target, own.train_images[:100], own.train_labels[:100])
        vote = train_vote(target, own.train_images, own.train_labels, classes=2)
        save(folder / "learned.npz", CHIP, target.state(), vote)
    out = folder / "runs"
    assert run(["mnist", "--chip", str(folder / "chip.toml"), "--data", str(folder / "images.npz"), "--out",
                str(out)]) == 0
    (made,) = (path for path in out.iterdir() if path.is_dir())
    made.rename(folder / "run")
    return folder


# kind: (file that is changed, command line with FILE for it and GOOD for the folder of the others)
READERS = {
    "chip": ("chip.toml", ["info", "FILE"]),
    "chip to learn": ("chip.toml", ["mnist", "--chip", "FILE", "--data", "GOOD/images.npz", "--images", "3",
                                    "--test-images", "2", "--out", "OUT"]),
    "device": ("device.toml", ["device", "show", "FILE"]),
    "device of a chip": ("device.toml", ["device", "chip", "FILE", "--chip", "GOOD/chip.toml", "--out", "OUT/c.toml"]),
    "pulses": ("pulses.csv", ["device", "fit", "FILE", "--out", "OUT/d.toml"]),
    "learned chip": ("learned.npz", ["classify", "FILE", "--data", "GOOD/images.npz"]),
    "learned chip to load": ("learned.npz", ["load", "FILE", "--target", "model"]),
    "images": ("images.npz", ["classify", "GOOD/learned.npz", "--data", "FILE"]),
    "table of images": ("images.csv", ["convert", "FILE", "OUT/i.npz"]),
    "spikes": ("spikes.npz", ["classify", "GOOD/learned.npz", "--data", "FILE", "--read-out", "vote"]),
    "recording": ("camera.dat", ["convert", "FILE", "OUT/e.npz", "--window", "2"]),
    "recording as text": ("camera.csv", ["classify", "GOOD/learned.npz", "--data", "FILE", "--read-out", "vote"]),
    "metrics": ("run/metrics.json", ["energy", "RUN"]),
    "chip of a run": ("run/chip.json", ["energy", "RUN"]),
}


def mutant(content, rng):
    content = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        place = int(rng.integers(0, len(content) + 1))
        kind = rng.integers(0, 4)
        if kind == 0 and place < len(content):
            content[place] = rng.integers(0, 256)
        elif kind == 1:
            del content[place:place + int(rng.integers(1, 30))]
        elif kind == 2:
            content[place:place] = SPLICES[rng.integers(0, len(SPLICES))]
        else:
            first = int(rng.integers(0, len(content) + 1))
            content[place:place] = content[first:first + int(rng.integers(1, 60))]
    return bytes(content)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", READERS)
def test_mutated_files_end_in_an_answer_or_an_error_and_never_in_a_traceback(kind, files, tmp_path, capsys):
    name, command = READERS[kind]
    good = (files / name).read_bytes()
    rng = np.random.default_rng(sum(map(ord, kind)))
    changed = tmp_path / name
    shutil.copytree(files / "run", tmp_path / "run")
    refused = 0
    mutants = MUTANTS.get(kind, 110)
    for number in range(mutants):
        changed.write_bytes(content := mutant(good, rng))
        arguments = [part.replace("GOOD", str(files)).replace("OUT", str(tmp_path / "out")).replace(
            "FILE", str(changed)).replace("RUN", str(tmp_path / "run")) for part in command]
        try:
            code = run(arguments)
        except Exception as error:  # what the test is about: say which mutant it was
            raise AssertionError(f"{kind}, mutant {number}: {type(error).__name__}: {error}; {content[:80]!r}"
                                 ) from error
        said = capsys.readouterr()
        assert code in (0, 1, 2) and "Traceback" not in said.err + said.out
        if code:
            refused += 1
            assert "error: " in said.err or "Error: " in said.err, (kind, number, said.err)
    assert refused > mutants // 20
