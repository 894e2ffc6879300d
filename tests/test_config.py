"""Settings: every file of configs/ is one complete run, and what is wrong is said in one sentence."""

import tomllib
from pathlib import Path

import list_settings
import pytest
import torch
from pydantic import BaseModel

from vidboot.__main__ import PRESET, TARGET
from vidboot.config import PRESETS, Config, LowResConfig, check, read
from vidboot.nets.factorized import FactorizedNet

FILES = sorted(PRESETS.glob("*.toml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_preset_is_a_complete_run(path: Path) -> None:
    config = read(preset=path.stem)
    assert config == read(path=path)
    named = tomllib.loads(path.read_text())
    assert {"seed", "video", "low_res", "clip", "sampler"} <= named.keys()
    assert named["video"].keys() == {"frames", "height", "width", "fps"}
    assert config.sampler.sigma_max > config.sampler.sigma_min
    assert config.sampler.sigma_max >= 20, "at least ten standard deviations of a video in [-1, 1]"
    for net in (config.clip.net, config.low_res.net):
        assert net.width % net.heads == 0
        assert net.width // net.heads % 4 == 0
    group = config.low_res.group**config.low_res.levels
    assert config.video.frames <= config.low_res.window or config.video.frames % group == 0


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_nets_of_every_preset_can_be_built(path: Path) -> None:
    config = read(path=path)
    with torch.device("meta"):
        for net in (config.clip.net, config.low_res.net):
            assert len(FactorizedNet(net).blocks) == len(net.blocks)


def test_the_clip_net_of_base_has_the_size_that_is_timed() -> None:
    config = read(preset="base")
    net, blocks = config.clip.net, config.clip.net.blocks
    assert (blocks.count("space"), blocks.count("time"), len(blocks)) == (12, 12, 24)
    assert (net.width, net.heads, net.patch) == (1024, 16, 8)
    assert (config.clip.window, config.video.height, config.video.width, config.clip.train.batch) == (16, 256, 256, 2)


def test_a_scan_asks_of_a_folder_what_a_training_makes_of_it_by_default() -> None:
    assert str(read(preset=PRESET).target) == TARGET


@pytest.mark.parametrize(("frames", "used"), [(1, 0), (4, 0), (5, 1), (16, 1), (17, 2), (1000, 2)])
def test_a_video_uses_a_coarser_level_if_it_is_longer_than_a_group_of_the_level_below(frames: int, used: int) -> None:
    low_res = LowResConfig(group=4, levels=2)
    assert low_res.coarser(frames, 2) == used
    assert low_res.coarser(frames, 1) == min(used, 1)
    assert low_res.whole(frames) == 4**used


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_settings_survive_the_run_directory(path: Path) -> None:
    config = read(path=path)
    assert check(config.model_dump(mode="json")) == config


def every_part(model: type[BaseModel]) -> list[type[BaseModel]]:
    parts = [model]
    for field in model.model_fields.values():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            parts += every_part(field.annotation)
    return parts


@pytest.mark.parametrize("part", dict.fromkeys(every_part(Config)))
def test_every_part_is_frozen_and_refuses_what_it_does_not_know(part: type[BaseModel]) -> None:
    assert part.model_config.get("frozen")
    assert part.model_config.get("extra") == "forbid"


def test_a_setting_is_changed_by_its_path() -> None:
    config = read(
        preset="smoke",
        settings=[
            "seed=7",
            "clip.train.optim.lr_muon=1e-3",
            'low_res.net.blocks=["time"]',
            "device=cpu",
            "data.flip=true",
        ],
    )
    assert config.seed == 7
    assert config.clip.train.optim.lr_muon == 1e-3
    assert config.low_res.net.blocks == ("time",)
    assert config.device == "cpu"
    assert config.data.flip
    assert config.clip.train.steps == read(preset="smoke").clip.train.steps


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        (
            "clip.wndow=4",
            r"unknown setting clip.wndow; legal here: window, overlap, long_window, least_sigma, sigma_max, net, train",
        ),
        (
            "clip.net.depth=4",
            r"unknown setting clip.net.depth; legal here: blocks, width, heads, patch, expand, pixels",
        ),
        ("steps=4", r"unknown setting steps; legal here: seed, precision, device, video"),
        ("clip.window=0", r"setting clip.window = 0: .*greater than 1"),
        ("precision=half", r"setting precision = 'half': .*'float32' or 'bfloat16'"),
        ("clip.window=long", r"setting clip.window = 'long': .*integer"),
        ("clip", r"setting 'clip' is not of the form part.name=value"),
        ("=3", r"is not of the form"),
        ("seed.value=3", r"setting 'seed.value=3': seed is a value and has no parts"),
        ("clip.overlap=1", r"overlap 1 is not within \[window / 2, window\) of 4 frames"),
        ("video.height=18", r"video size 18 is not divisible by clip.net.patch = 4"),
        ("video.width=20", r"video size 20 over low_res.factor = 4 is not divisible by low_res.net.patch = 4"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_sentence(setting: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as refused:
        read(preset="smoke", settings=[setting])
    assert "\n" not in str(refused.value)


def test_a_wheel_holds_every_package_and_the_presets_within_vidboot() -> None:
    root = Path(__file__).parent.parent
    setuptools = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]
    tops = {"vidboot": root, "vidboot_kernels": root / "kernels"}
    files = [(file, top) for name, top in tops.items() for file in (top / name).rglob("*.py")]
    found = {".".join(file.parent.relative_to(top).parts) for file, top in files}
    assert set(setuptools["packages"]) == found | {"vidboot.presets"}
    assert setuptools["package-dir"]["vidboot.presets"] == "configs"


def test_an_unknown_preset_names_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"there is no preset 'huge'; the presets are .*smoke, tiny"):
        read(preset="huge")


def test_a_file_that_is_no_settings_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot read the settings"):
        read(path=tmp_path / "none.toml")
    with pytest.raises(ValueError, match="cannot read the settings"):
        read(path=tmp_path)
    (tmp_path / "a.toml").write_text("seed = ")
    with pytest.raises(ValueError, match="is not valid TOML"):
        read(path=tmp_path / "a.toml")


def test_the_page_of_settings_is_that_of_the_code_and_explains_each() -> None:
    page = Path(__file__).parent.parent / "docs" / "settings.md"
    assert page.read_text() == list_settings.table()  # else: python tools/list_settings.py > docs/settings.md
    meanings = dict(list_settings.settings(Config))
    assert len(meanings) > 60
    assert all(meanings.values())


def test_no_preset_and_no_file_are_too_few() -> None:
    with pytest.raises(ValueError, match="neither is named"):
        read()


def test_a_preset_and_a_file_are_too_many(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("")
    with pytest.raises(ValueError, match="not from both"):
        read(preset="tiny", path=tmp_path / "mine.toml")


def test_a_file_of_settings_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cannot read the settings .*none\.toml: No such file"):
        read(path=tmp_path / "none.toml")
