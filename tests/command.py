"""The command line called from tests, and a folder of seconds that it is called on."""

from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from vidboot.__main__ import app
from vidboot.synthetic import FolderSizes

SIZES = FolderSizes(
    clips=4,
    low_res=4,
    full=2,
    subtitled=1,
    truncated=1,
    held_out=0,
    side=16,
    low_res_side=8,
    short_frames=8,
    long_frames=40,
)


def vidboot(*arguments: object) -> Any:
    """Return what the command line gives: exit_code, stdout, stderr, exception."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def check_refused(result: Any, code: int, *words: str) -> None:
    """One sentence on stderr, nothing on stdout, no traceback."""
    assert result.exit_code == code, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    *progress, sentence = result.stderr.strip().split("\n")
    assert sentence.startswith("vidboot: ")
    assert not any(line.startswith("vidboot: ") for line in progress)
    for word in words:
        assert word in sentence, sentence


def train(root: Path, *more: object, out: str = "run", videos: Path | None = None) -> Any:
    where = (videos or root / "videos", "--out", root / out, "--work", root / "work")
    return vidboot("train", *where, "--preset", "smoke", *more)
