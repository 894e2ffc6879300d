"""The settings of one run, assembled from those of its parts. An unknown key is an error that names the legal ones."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from vidboot.data.ledger import Target
from vidboot.fit import StageConfig
from vidboot.nets.factorized import NetConfig
from vidboot.noise import Schedule
from vidboot.settings import Settings

_WITHIN = Path(__file__).parent / "presets"
PRESETS = _WITHIN if _WITHIN.is_dir() else Path(__file__).parent.parent / "configs"
"""Folder of the presets: where a wheel puts it, within the package, or that of the checkout."""


class VideoConfig(Settings):
    """The video we want."""

    frames: int = Field(default=64, gt=1)
    """Length that the residual and the direct net see."""
    height: int = Field(default=32, gt=0)
    width: int = Field(default=32, gt=0)
    """Size, pixels."""
    fps: float = Field(default=8.0, gt=0)
    """Frames per second; other rates are resampled by timestamps."""


class GateConfig(Settings):
    """How a view gate is measured."""

    steps: int = Field(default=4, ge=0)
    """Batches that it is measured on, at every noise level; 0 leaves it out."""
    batch: int = Field(default=8, gt=0)
    """Clips per batch."""
    reach: float = Field(default=0.25, gt=0)
    """Noise level above which the gate lets go, so that the band leads and memory lasts; see ``ViewGate``."""


class LowResConfig(Settings):
    """The low-res view: long memory, at several time steps."""

    factor: int = Field(default=4, gt=1)
    """The view is the mean over factor x factor pixels."""
    window: int = Field(default=64, gt=1)
    """Frames the net sees at once."""
    overlap: int = Field(default=32, ge=0)
    """Frames shared by neighbouring windows."""
    group: int = Field(default=4, gt=1)
    """A coarser level is the mean over this many frames of the level below."""
    levels: int = Field(default=1, ge=0)
    """Coarser levels, each with a net of its own; a level without long enough videos is left out."""
    net: NetConfig = NetConfig()
    """The net of every level."""
    train: StageConfig = StageConfig()
    """Training of the finest level."""
    coarse: StageConfig = StageConfig()
    """Training of each coarser level, which starts from the weights of the level below."""
    gate: GateConfig = GateConfig()
    """The gate between two levels."""

    def stage(self, level: int) -> StageConfig:
        """Return how the net of a level is trained; 0 is the finest."""
        return self.coarse if level else self.train

    def whole(self, frames: int) -> int:
        """Return what the length of a clip of up to so many frames must be a multiple of, for the coarser levels."""
        return self.group ** self.coarser(frames, self.levels)

    def coarser(self, frames: int, levels: int) -> int:
        """Return how many of ``levels`` coarser levels a video of so many frames uses: one that is no longer than a
        group has only a frame at the next."""
        used = 0
        while used < levels and frames > self.group:
            used, frames = used + 1, -(-frames // self.group)
        return used


class ClipConfig(Settings):
    """The short-clip view: detail and short motion."""

    window: int = Field(default=8, gt=1)
    """Frames the net sees at once."""
    overlap: int = Field(default=4, ge=0)
    """Frames shared by neighbouring windows; half a window or more."""
    long_window: int = Field(default=0, ge=0)
    """Frames the net sees at once where the folder has such long videos: it learns them from full ones and, at high
    noise, from small ones, enlarged. Below ``window``: it learns from short clips alone."""
    least_sigma: float = Field(default=1.0, gt=0)
    """Noise level from which a small video, enlarged, passes for a sharp one."""
    sigma_max: float = Field(default=30.0, gt=0)
    """Noise level above which the low-res view stands alone: no detail shows there, and the clip net is not trained."""
    net: NetConfig = NetConfig()
    train: StageConfig = StageConfig()


class ResidualConfig(Settings):
    """The temporal-consistency net, trained on the full videos."""

    penalty: float = Field(default=1.0, ge=0)
    """Weight of its squared output in the loss: without it, it is worse than nothing until there are many videos."""
    train: StageConfig = StageConfig()


class DataConfig(Settings):
    """How clips are drawn."""

    flip: bool = False
    """Mirror half of the clips left to right: only where the world has no handedness (no text)."""
    reverse: bool = False
    """Play half of the clips backward: only where time has no direction."""
    hide: float = Field(default=0.1, ge=0, le=1)
    """Share of the batches in which extra boxes are hidden from the net and still counted in the loss."""
    held_out: float = Field(default=0.05, ge=0, lt=1)
    """Share of the partial videos kept from training to measure on; of 20 or more full ones if nearly all are."""


class Config(Settings):
    """One complete run."""

    seed: int = Field(default=0, ge=0)
    """Of the weights, of what is drawn in training, and of the noise."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the nets' arithmetic; auto = the one whose matrix products are faster here, measured when a run begins;
    brought to a machine that is very slow at bfloat16, such a run computes in float32."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto = a GPU if there is one."""
    video: VideoConfig = VideoConfig()
    data: DataConfig = DataConfig()
    low_res: LowResConfig = LowResConfig()
    clip: ClipConfig = ClipConfig()
    gate: GateConfig = GateConfig()
    """The gate between sharp video and the low-res view."""
    residual: ResidualConfig = ResidualConfig()
    direct: StageConfig = StageConfig(steps=0)
    """The baseline: the clip net's kind, trained on the full videos alone. Off unless it is given steps."""
    sampler: Schedule = Schedule()

    @property
    def target(self) -> Target:
        """The video we want, as the ledger of a folder knows it."""
        video = self.video
        return Target(video.frames, video.height, video.width, video.fps, self.low_res.factor)

    def gate_of(self, level: int) -> GateConfig:
        """Return how the gate is measured that joins what is below a low-res level with it."""
        return self.low_res.gate if level else self.gate

    @model_validator(mode="after")
    def _sizes_fit(self) -> Config:
        for side in (self.video.height, self.video.width):
            if side % self.clip.net.patch:
                raise ValueError(f"video size {side} is not divisible by clip.net.patch = {self.clip.net.patch}")
            if side % self.low_res.factor or side // self.low_res.factor % self.low_res.net.patch:
                raise ValueError(
                    f"video size {side} over low_res.factor = {self.low_res.factor} "
                    f"is not divisible by low_res.net.patch = {self.low_res.net.patch}"
                )
        groups = self.low_res.group**self.low_res.levels
        if self.video.frames % groups:
            raise ValueError(
                f"video.frames = {self.video.frames} is not divisible by low_res.group ** low_res.levels = {groups}"
            )
        for part in (self.low_res, self.clip):
            if not 2 * part.overlap >= part.window > part.overlap:
                raise ValueError(f"overlap {part.overlap} is not within [window / 2, window) of {part.window} frames")
        return self


def read(*, preset: str | None = None, path: Path | None = None, settings: Sequence[str] = ()) -> Config:
    """Read a run's settings from a preset or a file, then apply ``a.b=value`` settings.

    Raises:
        ValueError: no such preset or file, both or neither, invalid TOML, an unknown key or an illegal value.
    """
    if path is not None and preset is not None:
        raise ValueError(f"settings come from the preset {preset!r} or from the file {path}, not from both")
    if path is None:
        if preset is None:
            raise ValueError("settings come from a preset or from a file, and neither is named")
        path = PRESETS / f"{preset}.toml"
        if not path.is_file():
            legal = ", ".join(sorted(p.stem for p in PRESETS.glob("*.toml")))
            raise ValueError(f"there is no preset {preset!r}; the presets are {legal}")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"cannot read the settings {path}: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{path} is not valid TOML: {error}") from None
    for setting in settings:
        _apply(values, setting)
    return check(values)


def check(values: dict[str, Any]) -> Config:
    """Turn plain values into settings.

    Raises:
        ValueError: one sentence that names the key, the rule and, for an unknown key, the legal ones.
    """
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise ValueError(_sentence(error)) from None


def _apply(values: dict[str, Any], setting: str) -> None:
    key, equals, text = setting.partition("=")
    if not equals or not key:
        raise ValueError(f"setting {setting!r} is not of the form part.name=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *parts, last = key.split(".")
    for part in parts:
        values = values.setdefault(part, {})
        if not isinstance(values, dict):
            raise ValueError(f"setting {setting!r}: {part} is a value and has no parts")
    values[last] = value


def _sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        return f"unknown setting {where}; legal here: {', '.join(_legal(first['loc'][:-1]))}"
    message = first["msg"].removeprefix("Value error, ")
    return f"setting {where} = {first['input']!r}: {message}" if where else message


def _legal(loc: tuple[int | str, ...]) -> list[str]:
    model: Any = Config
    for part in loc:
        model = model.model_fields[part].annotation
    return list(model.model_fields)
