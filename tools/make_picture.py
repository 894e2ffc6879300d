"""Draw what a run generates as one picture: a video a row, time from left to right, composed above, clips alone below.

python tools/make_picture.py vidboot-demo/run --out docs/demo.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import torch

from vidboot.build import Model
from vidboot.data.encode import to_uint8
from vidboot.generate import sample
from vidboot.policy import Policy
from vidboot.run import Run

GAP = 2


def rows(model: Model, policy: Policy, *, videos: int, frames: int, columns: int, seed: int) -> list[np.ndarray]:
    """Return a strip of ``columns`` evenly spaced frames for each video, uint8 [H, W, 3]."""
    made = torch.cat(list(sample(model, policy, videos=videos, frames=frames, seed=seed)))  # type: ignore[arg-type]
    return [_strip(to_uint8(video)[:: frames // columns][:columns]) for video in made]


def _strip(frames: np.ndarray) -> np.ndarray:
    T, H, W, C = frames.shape
    spaced = np.full((H, T, W + GAP, C), 255, np.uint8)
    spaced[:, :, :W] = frames.transpose(1, 0, 2, 3)
    return spaced.reshape(H, -1, C)[:, :-GAP]


def main() -> None:
    """Sample and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--videos", type=int, default=5, help="rows of each policy")
    parser.add_argument("--frames", type=int, default=256)
    parser.add_argument("--columns", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    model = Model(Run(arguments.run))
    strips = []
    for policy in (Policy.full, Policy.clips_only):
        made = rows(
            model,
            policy,
            videos=arguments.videos,
            frames=arguments.frames,
            columns=arguments.columns,
            seed=arguments.seed,
        )
        for strip in made:
            strips += [strip, np.full((GAP, *strip.shape[1:]), 255, np.uint8)]
        strips.append(np.full((4 * GAP, *strips[0].shape[1:]), 255, np.uint8))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    iio.imwrite(arguments.out, np.concatenate(strips[:-2]))


if __name__ == "__main__":
    main()
