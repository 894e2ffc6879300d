"""Make films of many kinds without any overlay, to see what the detectors invent in them.

    python tools/make_films.py FILMS --seed 1 --each 4
    python tools/bench_masks.py FILMS --work WORK --each

Mosaics, noise, zooms, shapes that cross a ground, stars, stripes, scrolling text, and what libavfilter draws: things
that no camera shows, and that people who try a tool make first.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.filter
import cv2
import numpy as np
from av.video.stream import VideoStream

SIZES = ((480, 270), (640, 360), (320, 240), (160, 90), (854, 480), (128, 128), (256, 144), (1280, 720))
RATES = (12, 24, 25, 30)
SECONDS = (3.0, 16.0)
MOST_LARGE_FRAMES = 100  # of 720p
SOURCES = {
    "testsrc": "testsrc=size={size}:rate=25",
    "testsrc2": "testsrc2=size={size}:rate=25",
    "mandelbrot": "mandelbrot=size={size}:rate=25",
    "life": "life=s={size}:mold=10:r=25:ratio=0.1:seed={seed}",
    "cellauto": "cellauto=s={size}:rate=25:rule=110:seed={seed}",
    "smptebars": "smptebars=size={size}:rate=25",
    "gradients": "gradients=s={size}:rate=25:seed={seed}",
    "sierpinski": "sierpinski=s={size}:rate=25",
    "rgbtestsrc": "rgbtestsrc=size={size}:rate=25",
}
"""What libavfilter draws."""


@dataclass(frozen=True)
class Scene:
    """What a film is drawn with: size, frames, frames per second, and chance."""

    width: int
    height: int
    frames: int
    fps: int
    rng: np.random.Generator

    def velocity(self, most: float) -> np.ndarray:
        """Pixels per frame across and down, at most ``most`` per second."""
        return self.rng.uniform(-most, most, 2) / self.fps

    def colours(self, count: int) -> np.ndarray:
        """Colours, uint8 [count, 3]."""
        return self.rng.integers(0, 256, (count, 3)).astype(np.uint8)

    def squares(self, side: int, rows: int, columns: int) -> np.ndarray:
        """Squares of random colours, uint8 [rows * side, columns * side, 3]."""
        return self.colours(rows * columns).reshape(rows, columns, 3).repeat(side, 0).repeat(side, 1)

    def smooth(self, sigma: float, height: int, width: int) -> np.ndarray:
        """Blurred noise, uint8 [height, width, 3]."""
        noise = cv2.GaussianBlur(self.rng.normal(size=(height, width, 3)).astype(np.float32), (0, 0), sigma)
        return np.clip(128 + 50 * (noise - noise.mean()) / noise.std(), 0, 255).astype(np.uint8)

    def grid(self) -> tuple[np.ndarray, np.ndarray]:
        """Row and column of each pixel, [height, width]."""
        y, x = np.mgrid[: self.height, : self.width]
        return y, x


Film = Iterator[np.ndarray]


def _panned(scene: Scene, wide: np.ndarray, velocity: np.ndarray) -> Film:
    for t in range(scene.frames):
        right, down = (velocity * t).round().astype(int)
        yield np.roll(wide, (-down, -right), (0, 1))[: scene.height, : scene.width]


def mosaic(scene: Scene) -> Film:
    side = int(scene.rng.choice([6, 8, 10, 16, 24]))
    wide = scene.squares(side, 2 * scene.height // side + 64, 2 * scene.width // side + 64)
    return _panned(scene, wide, scene.velocity(40) * (1, int(scene.rng.integers(2))))


def mosaic_with_cuts(scene: Scene) -> Film:
    shots = int(scene.rng.integers(2, 5))
    for _ in range(shots):
        yield from mosaic(Scene(scene.width, scene.height, scene.frames // shots, scene.fps, scene.rng))


def zoom(scene: Scene) -> Film:
    side, rate = int(scene.rng.choice([6, 10, 16])), scene.rng.uniform(0.02, 0.1) / scene.fps
    turn, wide = scene.rng.uniform(-5, 5) / scene.fps, scene.squares(side, 80, 120)
    centre = wide.shape[1] / 2, wide.shape[0] / 2
    for t in range(scene.frames):
        way = cv2.getRotationMatrix2D(centre, turn * t, 1 + rate * t)
        way[:, 2] -= centre[0] - scene.width / 2, centre[1] - scene.height / 2
        yield cv2.warpAffine(wide, way, (scene.width, scene.height), borderMode=cv2.BORDER_WRAP)


def _shapes(scene: Scene, ground: Callable[[int], np.ndarray]) -> Film:
    """Discs and squares that bounce off the rim, over ``ground``."""
    count, size = int(scene.rng.integers(2, 7)), np.array([scene.width, scene.height])
    places, speeds = scene.rng.uniform(0, 1, (count, 2)) * size, scene.rng.uniform(-80, 80, (count, 2)) / scene.fps
    radii, colours = (scene.rng.uniform(0.05, 0.15, count) * scene.height).astype(int), scene.colours(count).tolist()
    for t in range(scene.frames):
        frame = ground(t).copy()
        places += speeds
        speeds *= np.where((places < 0) | (places > size), -1, 1)
        places = places.clip(0, size)
        for k, ((x, y), r, colour) in enumerate(zip(places.astype(int).tolist(), radii.tolist(), colours, strict=True)):
            if k % 2:
                cv2.circle(frame, (x, y), r, colour, -1)
            else:
                cv2.rectangle(frame, (x - r, y - r), (x + r, y + r), colour, -1)
        yield frame


def shapes(scene: Scene) -> Film:
    plain = np.full((scene.height, scene.width, 3), scene.colours(1)[0])
    return _shapes(scene, lambda t: plain)


def shapes_on_texture(scene: Scene) -> Film:
    still = scene.smooth(3, scene.height, scene.width)
    return _shapes(scene, lambda t: still)


def shapes_on_pan(scene: Scene) -> Film:
    wide, speed = scene.smooth(4, scene.height, 2 * scene.width), scene.rng.uniform(10, 60) / scene.fps
    return _shapes(scene, lambda t: np.roll(wide, -int(speed * t), 1)[:, : scene.width])


def clouds(scene: Scene) -> Film:
    wide = scene.smooth(float(scene.rng.choice([2, 4, 10])), 2 * scene.height, 3 * scene.width)
    return _panned(scene, wide, scene.velocity(60))


def checkers(scene: Scene) -> Film:
    side, velocity, (y, x) = int(scene.rng.choice([8, 12, 20, 40])), scene.velocity(60), scene.grid()
    two = scene.colours(2)
    for t in range(scene.frames):
        right, down = (velocity * t).astype(int)
        yield two[((y + down) // side + (x + right) // side) % 2]


def stripes(scene: Scene) -> Film:
    period, angle, (y, x) = scene.rng.uniform(6, 40), scene.rng.uniform(0, np.pi), scene.grid()
    speed, (a, b) = scene.velocity(60)[0], scene.colours(2).astype(float)
    for t in range(scene.frames):
        share = 0.5 + 0.5 * np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle) + speed * t) / period)[..., None]
        yield (share * a + (1 - share) * b).astype(np.uint8)


def noise(scene: Scene) -> Film:
    for _ in range(scene.frames):
        cells = scene.colours(scene.height // 4 * (scene.width // 4)).reshape(scene.height // 4, scene.width // 4, 3)
        yield cv2.resize(cells, (scene.width, scene.height), interpolation=cv2.INTER_NEAREST)


def plasma(scene: Scene) -> Film:
    (y, x), p = (axis / 40 for axis in scene.grid()), scene.rng.uniform(0, 6, 4)
    for t in range(scene.frames):
        s = 2 * t / scene.fps
        red, green = np.sin(x + s + p[0]) + np.sin(y - 1.3 * s + p[1]), np.sin(0.7 * x + y + s + p[2])
        light = np.stack([red, green, np.sin(np.hypot(x - 5, y - 4) - s + p[3])], -1)
        yield np.clip(128 + 60 * light, 0, 255).astype(np.uint8)


def slides(scene: Scene) -> Film:
    for t in range(scene.frames):
        if t % scene.fps == 0:
            slide = scene.smooth(8, scene.height, scene.width)
        yield slide


def stars(scene: Scene) -> Film:
    places, depth = scene.rng.uniform(-1, 1, (300, 2)), scene.rng.uniform(0.1, 1, 300)
    half = np.array([scene.width, scene.height]) / 2
    for _ in range(scene.frames):
        frame = np.zeros((scene.height, scene.width, 3), np.uint8)
        depth -= 0.3 / scene.fps
        depth[depth < 0.05] = 1
        at = (half + places / depth[:, None] * half).astype(int)
        for (x, y), z in zip(at.tolist(), depth.tolist(), strict=True):
            cv2.circle(frame, (x, y), 1 + int(0.2 / z), (255, 255, 255), -1)
        yield frame


def tunnel(scene: Scene) -> Film:
    y, x = scene.grid()
    y, x = y - scene.height / 2, x - scene.width / 2
    far, angle = np.hypot(y, x) + 1, np.arctan2(y, x) / (2 * np.pi)
    for t in range(scene.frames):
        s = t / scene.fps
        cell = (np.floor(1600 / far + 3 * s) + np.floor(16 * angle + s)) % 2
        light = np.stack([200 * cell, 120 * cell, 180 * (1 - cell)], -1)
        yield (light * np.clip(far / 80, 0, 1)[..., None]).astype(np.uint8)


def scrolling_text(scene: Scene) -> Film:
    page = np.full((4 * scene.height, scene.width, 3), 20, np.uint8)
    for y in range(15, len(page), 18):
        line = "".join(scene.rng.choice(list("abcdefgh   klmnop"), 60))
        cv2.putText(page, line, (8, y), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (230, 230, 230), 1)
    return _panned(scene, page, np.array([0, scene.rng.uniform(15, 60) / scene.fps]))


def pulse(scene: Scene) -> Film:
    y, x = scene.grid()
    for t in range(scene.frames):
        red = np.full(x.shape, 128 + 100 * np.sin(2 * t / scene.fps))
        yield np.stack([red, 255 * x / scene.width, 255 * y / scene.height], -1).astype(np.uint8)


def bar_over_ramp(scene: Scene) -> Film:
    ramp = (255 * scene.grid()[1] / scene.width).astype(np.uint8)
    ground = np.stack([ramp, ramp[:, ::-1], ramp], -1)
    for t in range(scene.frames):
        frame, x = ground.copy(), t * scene.width // scene.frames
        frame[:, x : x + 20] = 255 - frame[:, x : x + 20]
        yield frame


FILMS: tuple[Callable[[Scene], Film], ...] = (
    mosaic, mosaic_with_cuts, zoom, shapes, shapes_on_texture, shapes_on_pan, clouds, checkers, stripes, noise, plasma,
    slides, stars, tunnel, scrolling_text, pulse, bar_over_ramp,
)  # fmt: skip


def drawn(source: str, scene: Scene) -> Film:
    """What a source of libavfilter draws."""
    size, seed = f"{scene.width}x{scene.height}", int(scene.rng.integers(1 << 30))
    name, _, arguments = SOURCES[source].format(size=size, seed=seed).partition("=")
    graph = av.filter.Graph()
    start, way, sink = graph.add(name, arguments), graph.add("format", "rgb24"), graph.add("buffersink")
    start.link_to(way)
    way.link_to(sink)
    graph.configure()
    for _ in range(scene.frames):
        frame = graph.pull()
        assert isinstance(frame, av.VideoFrame)
        yield frame.to_ndarray(format="rgb24")


def save(path: Path, film: Film, scene: Scene) -> None:
    """Write a film as H.264, of a quality drawn by chance."""
    with av.open(str(path), "w") as container:
        options = {"crf": str(scene.rng.choice([18, 23, 30]))}
        stream = container.add_stream("libx264", rate=Fraction(scene.fps), options=options)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = scene.width, scene.height, "yuv420p"
        stream.codec_context.thread_count = 1
        for frame in film:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())


def main() -> None:
    """Write the films."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("out", type=Path, help="where the films go")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--each", type=int, default=2, help="films of each kind of our own; half as many of libavfilter's"
    )
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    kinds = [(make.__name__, make, options.each) for make in FILMS]
    kinds += [(s, lambda scene, s=s: drawn(s, scene), max(1, options.each // 2)) for s in SOURCES]
    for number, (name, make, count) in enumerate(kinds):
        for k in range(count):
            rng = np.random.default_rng([options.seed, number, k])
            width, height = SIZES[int(rng.integers(len(SIZES)))]
            fps = int(rng.choice(RATES)) if name not in SOURCES else 25
            frames = int(rng.uniform(*SECONDS) * fps)
            scene = Scene(width, height, min(frames, MOST_LARGE_FRAMES) if height >= 720 else frames, fps, rng)
            save(options.out / f"{name}_{k}.mp4", make(scene), scene)
            print(f"{name}_{k}.mp4", flush=True)


if __name__ == "__main__":
    main()
