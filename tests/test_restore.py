"""What is known stays exactly as it is, what it determines is filled with just that, and the file keeps both."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
import pytest
import torch
from orientations import MIRRORED, display_by, displayed
from sounds import packets, with_tone
from torch import Tensor
from typer.testing import CliRunner

from vidboot import config as settings
from vidboot import inpaint, masks, restore, visibility
from vidboot.__main__ import app
from vidboot.build import Model, Parts, low_res_stage
from vidboot.composition import in_memory, known
from vidboot.data.encode import VideoWriter, save_video
from vidboot.data.survey import survey
from vidboot.inpaint import Filler, schedule
from vidboot.masks import Event, Mask
from vidboot.noise import Schedule, expand, normal_like_frames
from vidboot.run import Run, save_tensors
from vidboot.sampler import Memory, renoised_stream

RED, FPS = (200, 30, 30), 8


def twins(y: Tensor, sigma: Tensor) -> Tensor:
    """Exact denoiser of videos whose left and right half are the same, unit normal each."""
    left, right = y.chunk(2, -1)
    mean = (left + right) / 2 / (1 + expand(sigma, y) ** 2 / 2)
    return torch.cat([mean, mean], -1)


def conditioned(x: Tensor, visible: Tensor, *, levels: int, seen: list[Tensor] | None = None) -> Tensor:
    def stream(y: Any, sigma: Tensor) -> Any:
        video = y.read(0, y.frames)
        if seen is not None:
            seen.append((video - x) / expand(sigma, video))
        yield twins(video, sigma)

    def noise(level: int, first: int, last: int) -> Tensor:
        return normal_like_frames((1, *x.shape[2:]), seed=level, first=first, last=last).to(x)

    sigmas = Schedule(levels=levels, sigma_max=20, sigma_min=0.002).sigmas()
    stores = Memory(torch.where(visible.bool(), x, 0) + sigmas[0] * noise(0, 0, x.shape[1])), Memory(x.clone())
    denoise = known(stream, in_memory(x), in_memory(visible))
    return torch.cat(list(renoised_stream(denoise, stores, sigmas, noise)), 1)


def test_what_the_visible_determines_is_filled_with_just_that() -> None:
    x = torch.randn(1, 3, 1, 2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    x[..., 2:] = x[..., :2]
    visible = torch.ones_like(x)
    visible[..., 2:] = 0
    filled = conditioned(x, visible, levels=40)
    assert torch.equal(filled[..., :2], x[..., :2])
    assert (filled - x).abs().max() < 0.02


def test_the_net_sees_known_pixels_at_its_own_noise_level_and_through_other_noise_each_time() -> None:
    x = torch.randn(1, 2, 1, 2, 4, dtype=torch.float64)
    visible = (torch.rand(1, 2, 1, 2, 4) < 0.5).double()
    seen: list[Tensor] = []
    conditioned(x, visible, levels=12, seen=seen)
    assert len(seen) == 12
    for level, noise in enumerate(seen):
        expected = normal_like_frames((1, 1, 2, 4), seed=level, first=0, last=2).to(x)
        torch.testing.assert_close(noise[visible.bool()], expected[visible.bool()])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose nets were never trained, but answer with more than nothing."""
    path = tmp_path_factory.mktemp("run") / "run"
    config = settings.read(preset="smoke")
    record = {
        "config": config.model_dump(mode="json"),
        "precision": "float32",
        "mean": [0.1, 0.0, -0.1],
        "spread": 0.15,
        "clip_frames": config.clip.window,
    }
    run = Run.create(path, {**record, "data": "", "cache": "", "sharp": []})
    parts = Parts.of(run)
    for stage, module in {low_res_stage(0): parts.low_res(0), "clip": parts.clip()}.items():
        generator = torch.Generator().manual_seed(0)
        for parameter in module.parameters():
            parameter.data += 0.02 * torch.randn(parameter.shape, generator=generator)
        save_tensors(run.weights(stage), module.state_dict())
    return path


def filler(run: Path, **how: Any) -> Filler:
    return Filler(Model(Run(run)), "full", schedule(3).sigmas(), **how)


def test_visible_pixels_come_back_bit_for_bit_and_what_lies_under_the_mask_is_not_looked_at(run: Path) -> None:
    video = torch.rand(1, 10, 3, 16, 16) * 2 - 1
    visible = torch.ones(1, 10, 1, 16, 16)
    visible[:, 2:7, :, 4:12, 4:12] = 0
    filled = inpaint.inpaint(filler(run), video, visible)
    assert torch.equal(filled * visible, video * visible)
    spoilt = torch.where(visible.bool(), video, torch.nan)
    assert torch.equal(inpaint.inpaint(filler(run), spoilt, visible), filled)
    assert not torch.equal(inpaint.inpaint(filler(run, seed=1), video, visible), filled)


def test_several_samples_are_averaged(run: Path) -> None:
    video, visible = torch.zeros(1, 4, 3, 16, 16), torch.zeros(1, 4, 1, 16, 16)
    both = filler(run, samples=2)
    single = [inpaint.inpaint(both.numbered(number), video, visible) for number in (0, 1)]
    within = torch.maximum(*(one.abs() for one in single)) < 1  # what is clipped is clipped after the mean
    assert within.float().mean() > 0.2
    mean = (single[0] + single[1]) / 2
    torch.testing.assert_close(inpaint.inpaint(both, video, visible)[within], mean[within])


def decoded(path: Path) -> tuple[np.ndarray, list[float]]:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    pixels = np.stack([frame.to_ndarray(format="rgb24") for frame in frames])
    return pixels, [float(frame.time or 0) for frame in frames]


def clip(folder: Path, *, frames: int = 30, width: int = 40, height: int = 24, fps: float = FPS) -> tuple[Path, Mask]:
    """Write noise with a red box over frames 10 to 19, and its mask, and return both."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(60, 190, (1, height // 4, width // 4, 3), np.uint8).repeat(4, 1).repeat(4, 2)
    shown = np.repeat(pixels, frames, 0)
    box = (width // 4, height // 3, 3 * width // 4, 5 * height // 6)
    shown[10:20, box[1] : box[3], box[0] : box[2]] = RED
    path = folder / "clip.mp4"
    save_video(path, shown, fps, crf=1, pix_fmt="yuv444p")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    event = Event(id="m", kind="mark", first_seconds=10 / fps, last_seconds=19 / fps, box=box)
    mask = Mask(sha256, width, height, (event,))
    masks.save(folder / "masks" / f"{sha256}.json", mask)
    return path, mask


def vidboot(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["restore", *(str(argument) for argument in arguments)])


def call(run: Path, folder: Path, *more: object) -> Any:
    where = ("--video", folder / "clip.mp4", "--out", folder / "out.mp4", "--masks", folder / "masks")
    return vidboot(run, *where, "--steps", 3, "--json", *more)


@pytest.mark.parametrize(
    ("size", "fps"), [((40, 24), 8), ((16, 16), 8), ((40, 24), 25), ((12, 36), 8)], ids=["wide", "own", "fast", "tall"]
)
def test_a_lossless_file_holds_every_pixel_outside_the_mask_and_the_mark_is_gone(
    run: Path, tmp_path: Path, size: tuple[int, int], fps: float
) -> None:
    path, mask = clip(tmp_path, width=size[0], height=size[1], fps=fps)
    result = call(run, tmp_path, "--lossless")
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


def test_a_mirrored_clip_keeps_the_pixels_it_displays(run: Path, tmp_path: Path) -> None:
    path, mask = clip(tmp_path, width=16, height=16)
    expected = np.stack([displayed(picture, MIRRORED) for picture in restore.pictures(survey(path))])
    display_by(path, MIRRORED)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    masks.save(tmp_path / "masks" / f"{sha256}.json", replace(mask, sha256=sha256))
    assert call(run, tmp_path, "--lossless").exit_code == 0
    after, times = decoded(tmp_path / "out.mp4")
    visible = visibility.visible(mask, times, (0, 0, 16, 16), 16, 16).astype(bool)
    np.testing.assert_array_equal(after[visible], expected[visible])


def test_what_memory_fills_is_what_the_file_gets(run: Path, tmp_path: Path) -> None:
    path, mask = clip(tmp_path, width=16, height=16)
    assert call(run, tmp_path, "--lossless", "--seed", 3).exit_code == 0
    source = torch.from_numpy(np.stack(list(restore.pictures(survey(path)))))
    video = (source.permute(0, 3, 1, 2).float() / 127.5 - 1)[None]
    visible = torch.from_numpy(visibility.visible(mask, np.arange(30) / FPS, (0, 0, 16, 16), 16, 16))[None, :, None]
    expected = inpaint.inpaint(filler(run, seed=3), video, visible)[0]
    after, _ = decoded(tmp_path / "out.mp4")
    # The stretch that is sampled is the whole clip: all of it is near what is hidden.
    levels = (expected.permute(0, 2, 3, 1).numpy() + 1) * 127.5
    np.testing.assert_allclose(after, levels, atol=0.51)


def test_a_restoration_broken_off_goes_on_where_it_was_to_the_same_pixels(run: Path, tmp_path: Path) -> None:
    path, mask = clip(tmp_path, fps=16)  # two tiles, each in two interleaved parts of three sweeps
    out, told = tmp_path / "out.mp4", list[tuple[int, int]]()

    def restored(out: Path, seed: int, stop: int | None = None) -> None:
        def progress(done: int, total: int, what: str) -> None:
            told.append((done, total))
            if done == stop:
                raise KeyboardInterrupt

        told.clear()
        how = {"lossless": True, "steps": 3, "seed": seed, "progress": progress}
        restore.restore(run, path, out, masks_folder=tmp_path / "masks", **how)

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
    run: Path, tmp_path: Path, kind: Literal["blank", "bar"]
) -> None:
    _, mask = clip(tmp_path)
    box = (0, 0, mask.width, mask.height if kind == "blank" else 2)
    found = Event(id="b", kind=kind, first_seconds=0, last_seconds=2 / FPS, box=box)
    for blank, filled in ((found, 10), (found.model_copy(update={"status": "accepted"}), 13)):
        masks.save(tmp_path / "masks" / f"{mask.sha256}.json", replace(mask, events=(*mask.events, blank)))
        assert json.loads(call(run, tmp_path).stdout)["filled_frames"] == filled


def test_masks_of_a_folder_are_found_for_a_clip_of_it(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    films = tmp_path / "films"
    films.mkdir()
    clip(films)
    (films / "masks").rename(tmp_path / "masks")
    (tmp_path / "films.vidboot").mkdir()
    (tmp_path / "masks").rename(tmp_path / "films.vidboot" / "masks")
    monkeypatch.chdir(tmp_path)
    result = vidboot(run, "--video", "films/clip.mp4", "--out", "out.mp4", "--steps", 3)
    assert result.exit_code == 0, result.output
    assert "filled 10 of 30 frames" in result.stdout


def test_what_waits_for_review_is_not_filled_and_is_told(run: Path, tmp_path: Path) -> None:
    _, mask = clip(tmp_path)
    doubtful = mask.events[0].model_copy(update={"score": 0.3})
    masks.save(tmp_path / "masks" / f"{mask.sha256}.json", replace(mask, events=(doubtful,)))
    where = ("--video", tmp_path / "clip.mp4", "--out", tmp_path / "out.mp4", "--masks", tmp_path / "masks")
    result = vidboot(run, *where, "--steps", 3)
    assert result.exit_code == 0, result.output
    told = " ".join(result.stdout.split())
    assert "nothing is hidden in any of 30 frames" in told
    assert told.endswith("found, but waiting for review and not filled: 1")


def retime(path: Path, pts_seconds: np.ndarray, **how: Any) -> None:
    frames, _ = decoded(path)
    _, height, width, _ = frames.shape
    with VideoWriter(path, width, height, FPS, ticks=90_000, **how) as writer:
        writer.write(frames, pts_seconds)


def move(mask: Mask, path: Path) -> None:
    """Make it the mask of a clip that was changed."""
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    masks.save(path.parent / "masks" / f"{sha256}.json", replace(mask, sha256=sha256))


def lasting(path: Path) -> float:
    with av.open(str(path)) as container:
        return (container.duration or 0) / av.time_base


@pytest.mark.parametrize("steps", [[0.125], [0.1, 0.3, 0.2], [5, 20]], ids=["even", "uneven", "slides"])
def test_the_last_frame_stands_as_long_as_it_did(run: Path, tmp_path: Path, steps: list[float]) -> None:
    path, mask = clip(tmp_path)
    at = np.insert(np.cumsum(np.resize(steps, 29)), 0, 0.0)
    retime(path, at, last_seconds=10)
    move(mask, path)
    assert lasting(path) == pytest.approx(at[-1] + 10, abs=1e-3)
    assert call(run, tmp_path).exit_code == 0
    assert lasting(tmp_path / "out.mp4") == pytest.approx(lasting(path), abs=min(steps))
    np.testing.assert_allclose(decoded(tmp_path / "out.mp4")[1], at, atol=1e-3)


def test_the_clips_sound_comes_along_in_time(run: Path, tmp_path: Path) -> None:
    path, mask = clip(tmp_path)
    assert json.loads(call(run, tmp_path).stdout)["sound"] is False
    with_tone(path)
    move(mask, path)
    assert json.loads(call(run, tmp_path).stdout)["sound"] is True
    assert packets(tmp_path / "out.mp4") == packets(path)
    assert len(decoded(tmp_path / "out.mp4")[0]) == 30


def test_a_sound_that_would_be_out_of_time_is_left_out_and_that_is_told(run: Path, tmp_path: Path) -> None:
    path, mask = clip(tmp_path)
    retime(path, np.arange(30) / FPS + 300 * (np.arange(30) >= 15))
    with_tone(path)
    move(mask, path)
    result = json.loads(call(run, tmp_path).stdout)
    assert result["sound"] is False
    assert "without sound, which would be out of time" in restore.sentence(result)
    with av.open(str(tmp_path / "out.mp4")) as written:
        assert not written.streams.audio


def test_wrong_calls_are_one_sentence_and_write_nothing(run: Path, tmp_path: Path) -> None:
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
        (("--steps", 1), "at least 2"),
        (("--samples", 0), "at least 1"),
        (("--policy", "direct"), "holds no trained 'direct'"),
        (("--out", tmp_path / "no" / "out.mp4"), "does not exist"),
        (("--out", path), "the clip itself"),
    ]
    content = path.read_bytes()
    for more, words in cases:
        result = call(run, tmp_path, *more)
        assert result.exit_code == 2, (more, result.output)
        assert result.stdout == ""
        assert result.stderr.startswith("vidboot: ")
        assert words in result.stderr
    assert not (tmp_path / "out.mp4").exists()
    assert path.read_bytes() == content
