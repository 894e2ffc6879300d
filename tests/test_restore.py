"""What a mask does not hide stays as it is, in the file too; what it hides is filled as it is in memory."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Literal

import av
import numpy as np
import pytest
import torch
from command import vidboot
from orientations import MIRRORED, display_by, displayed
from restoring import FPS, RED, call, clip, decoded, filler

from vidboot import inpaint, masks, restore, visibility
from vidboot.data.survey import survey
from vidboot.masks import Event


@pytest.mark.parametrize(
    ("size", "fps"), [((40, 24), 8), ((16, 16), 8), ((40, 24), 25), ((12, 36), 8)], ids=["wide", "own", "fast", "tall"]
)
def test_a_lossless_file_holds_every_pixel_outside_the_mask_and_the_mark_is_gone(
    untrained_run: Path, tmp_path: Path, size: tuple[int, int], fps: float
) -> None:
    path, mask = clip(tmp_path, width=size[0], height=size[1], fps=fps)
    result = call(untrained_run, tmp_path, "--lossless")
    assert result.exit_code == 0, result.output
    numbers = json.loads(result.stdout)
    assert (numbers["frames"], numbers["filled_frames"]) == (30, 10)
    before, times = decoded(path)
    after, times_after = decoded(tmp_path / "out.mp4")
    np.testing.assert_allclose(times_after, times, atol=1e-3)
    source = list(restore.pictures(survey(path)))
    visible = visibility.visible(mask, times, (0, 0, *size), size[1], size[0]).astype(bool)
    np.testing.assert_array_equal(after[visible], np.stack(source)[visible])
    x0, y0, x1, y1 = (int(side) for side in mask.events[0].box or ())
    marked = np.abs(after[10:20, y0 + 1 : y1 - 1, x0 + 1 : x1 - 1].astype(int) - RED).max(-1)
    assert np.abs(before[10:20, y0 + 1 : y1 - 1, x0 + 1 : x1 - 1].astype(int) - RED).max() < 20
    assert (marked > 20).mean() > 0.95
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.mp4", "masks", "out.mp4"]


def test_a_mirrored_clip_keeps_the_pixels_it_displays(untrained_run: Path, tmp_path: Path) -> None:
    path, mask = clip(tmp_path, width=16, height=16)
    expected = np.stack([displayed(picture, MIRRORED) for picture in restore.pictures(survey(path))])
    display_by(path, MIRRORED)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    masks.save(tmp_path / "masks" / f"{sha256}.json", replace(mask, sha256=sha256))
    assert call(untrained_run, tmp_path, "--lossless").exit_code == 0
    after, times = decoded(tmp_path / "out.mp4")
    visible = visibility.visible(mask, times, (0, 0, 16, 16), 16, 16).astype(bool)
    np.testing.assert_array_equal(after[visible], expected[visible])


def test_what_memory_fills_is_what_the_file_gets(untrained_run: Path, tmp_path: Path) -> None:
    path, mask = clip(tmp_path, width=16, height=16)
    assert call(untrained_run, tmp_path, "--lossless", "--seed", 3).exit_code == 0
    source = torch.from_numpy(np.stack(list(restore.pictures(survey(path)))))
    video = (source.permute(0, 3, 1, 2).float() / 127.5 - 1)[None]
    visible = torch.from_numpy(visibility.visible(mask, np.arange(30) / FPS, (0, 0, 16, 16), 16, 16))[None, :, None]
    expected = inpaint.inpaint(filler(untrained_run, seed=3), video, visible)[0]
    after, _ = decoded(tmp_path / "out.mp4")
    # The stretch that is sampled is the whole clip: all of it is near what is hidden.
    levels = (expected.permute(0, 2, 3, 1).numpy() + 1) * 127.5
    np.testing.assert_allclose(after, levels, atol=0.51)


def test_a_restoration_broken_off_goes_on_where_it_was_to_the_same_pixels(untrained_run: Path, tmp_path: Path) -> None:
    path, mask = clip(tmp_path, fps=16)  # two tiles, each in two interleaved parts of three sweeps
    out, told = tmp_path / "out.mp4", list[tuple[int, int]]()

    def restored(out: Path, seed: int, stop: int | None = None) -> None:
        def progress(done: int, total: int, what: str) -> None:
            told.append((done, total))
            if done == stop:
                raise KeyboardInterrupt

        told.clear()
        how = {"lossless": True, "steps": 3, "seed": seed, "progress": progress}
        restore.restore(untrained_run, path, out, masks_folder=tmp_path / "masks", **how)

    restored(tmp_path / "whole.mp4", seed=1)
    assert told == [(done, 12) for done in range(1, 13)]
    with pytest.raises(KeyboardInterrupt):
        restored(out, seed=1, stop=8)
    with pytest.raises(ValueError, match="of another video"):  # what is left of one seed is no beginning of another
        restored(out, seed=2)
    assert (tmp_path / ".out.mp4.sampling").is_dir()
    restored(out, seed=1)
    assert told == [(done, 12) for done in range(7, 13)]
    np.testing.assert_array_equal(decoded(out)[0], decoded(tmp_path / "whole.mp4")[0])
    assert not (tmp_path / ".out.mp4.sampling").exists()
    with pytest.raises(KeyboardInterrupt):
        restored(out, seed=1, stop=8)
    rejected = replace(mask, events=(mask.events[0].model_copy(update={"last_seconds": 1.0}),))
    masks.save(tmp_path / "masks" / f"{mask.sha256}.json", rejected)
    with pytest.raises(ValueError, match="of another video"):  # nor of one mask
        restored(out, seed=1)
    shutil.rmtree(tmp_path / ".out.mp4.sampling")
    restored(out, seed=1)
    assert told[0][0] == 1


@pytest.mark.parametrize("kind", ["blank", "bar"])
def test_black_frames_and_bars_stay_unless_a_person_says_that_they_hide_something(
    untrained_run: Path, tmp_path: Path, kind: Literal["blank", "bar"]
) -> None:
    _, mask = clip(tmp_path)
    box = (0, 0, mask.width, mask.height if kind == "blank" else 2)
    found = Event(id="b", kind=kind, first_seconds=0, last_seconds=2 / FPS, box=box)
    for blank, filled in ((found, 10), (found.model_copy(update={"status": "accepted"}), 13)):
        masks.save(tmp_path / "masks" / f"{mask.sha256}.json", replace(mask, events=(*mask.events, blank)))
        assert json.loads(call(untrained_run, tmp_path).stdout)["filled_frames"] == filled


def test_masks_of_a_folder_are_found_for_a_clip_of_it(
    untrained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    films = tmp_path / "films"
    films.mkdir()
    clip(films)
    (films / "masks").rename(tmp_path / "masks")
    (tmp_path / "films.vidboot").mkdir()
    (tmp_path / "masks").rename(tmp_path / "films.vidboot" / "masks")
    monkeypatch.chdir(tmp_path)
    result = vidboot("restore", untrained_run, "--video", "films/clip.mp4", "--out", "out.mp4", "--steps", 3)
    assert result.exit_code == 0, result.output
    assert "filled 10 of 30 frames" in result.stdout


def test_what_waits_for_review_is_not_filled_and_is_told(untrained_run: Path, tmp_path: Path) -> None:
    _, mask = clip(tmp_path)
    doubtful = mask.events[0].model_copy(update={"score": 0.3})
    masks.save(tmp_path / "masks" / f"{mask.sha256}.json", replace(mask, events=(doubtful,)))
    where = ("--video", tmp_path / "clip.mp4", "--out", tmp_path / "out.mp4", "--masks", tmp_path / "masks")
    result = vidboot("restore", untrained_run, *where, "--steps", 3)
    assert result.exit_code == 0, result.output
    told = " ".join(result.stdout.split())
    assert "nothing is hidden in any of 30 frames" in told
    assert told.endswith("found, but waiting for review and not filled: 1")


def test_wrong_calls_are_one_sentence_and_write_nothing(untrained_run: Path, tmp_path: Path) -> None:
    path, mask = clip(tmp_path)
    (tmp_path / "none").mkdir()
    masks_path = tmp_path / "masks" / f"{mask.sha256}.json"
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / masks_path.name).write_bytes(masks_path.read_bytes()[:-40])
    (tmp_path / "text.mp4").write_text("no video")
    hdr = tmp_path / "hdr.mp4"
    with av.open(str(hdr), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.codec_context.color_trc = 40, 24, 16
        container.mux(stream.encode(av.VideoFrame(40, 24, "yuv420p")))
        container.mux(stream.encode())
    fine = tmp_path / "fine.mp4"
    with av.open(str(fine), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 40, 24, "yuv420p10le"
        container.mux(stream.encode(av.VideoFrame(40, 24, "yuv420p10le")))
        container.mux(stream.encode())
    cases: list[tuple[tuple[object, ...], str]] = [
        (("--masks", tmp_path / "none"), "has no mask of"),
        (("--masks", tmp_path / "broken"), "is not a mask file"),
        (("--video", tmp_path / "text.mp4"), "cannot be read as a video"),
        (("--video", tmp_path / "gone.mp4"), "cannot be read as a video"),
        (("--video", hdr), "is in high dynamic range"),
        (("--video", fine, "--lossless"), "has 10 bits a component"),
        (("--video", fine), "has no mask of"),  # but it may be filled
        (("--steps", 1), "steps = 1 must be from 2 to 1008"),
        (("--steps", 1009), "steps = 1009 must be from 2 to 1008"),
        (("--samples", 0), "at least 1"),
        (("--policy", "direct"), "holds no trained 'direct'"),
        (("--out", tmp_path / "no" / "out.mp4"), "does not exist"),
        (("--out", path), "the clip itself"),
    ]
    content = path.read_bytes()
    for more, words in cases:
        result = call(untrained_run, tmp_path, *more)
        assert result.exit_code == 2, (more, result.output)
        assert result.stdout == ""
        assert result.stderr.startswith("vidboot: ")
        assert words in result.stderr
    assert not (tmp_path / "out.mp4").exists()
    assert path.read_bytes() == content
