"""How much arithmetic a training takes, so that two can be given the same: FLOPs of all matrix products.

Counted are the nets' products and attention, forward and backward, the frozen nets by which a gate is measured and over
which a residual is trained, the cross-fit, guesses of what masks hide, one for each clip of a shot that has a mask, and
Muon's orthogonalisation. Not counted is what costs next to nothing beside them or is no training: elementwise work,
held-out measurements, samples on the way.
"""

from __future__ import annotations

from collections import Counter

from vidboot.build import Parts, gate_stage, low_res_stage
from vidboot.composition import Plan, tapered
from vidboot.config import Config
from vidboot.data.clips import Pool
from vidboot.data.mixture import Mixture
from vidboot.data.progress import silent
from vidboot.fit import LEARNED, StageConfig
from vidboot.innovation import BANDS
from vidboot.muon import POLYNOMIALS
from vidboot.nets.factorized import PLACE_OCTAVES, SIGMA_FEATURES, NetConfig
from vidboot.nets.gate import KNOTS
from vidboot.run import Run
from vidboot.train import CROSS_FIT_DRAWS
from vidboot.training_data import Folder, TrainingData


def forward(net: NetConfig, *, frames: int, height: int, width: int, channels_in: int = 3) -> int:
    """FLOPs of one clip through a net; two per multiplication with its addition."""
    D, pixels, N = net.width, net.patch**2, height * width // net.patch**2
    seen = {"space": N, "time": frames, "joint": frames * N}
    per_token = (channels_in + 1 + 3 + net.pixels) * pixels * D  # in and out
    per_token += pixels * net.pixels * (27 * (net.pixels + channels_in + 1) + 9 * 3)
    for kind in net.blocks:
        per_token += (4 + 2 * net.expand) * D**2 + 2 * seen[kind] * D
    per_clip = 2 * SIGMA_FEATURES * D + D**2 + 6 * D**2 + 2 * D**2  # the noise level's embedding and modulations
    return 2 * (frames * N * per_token + per_clip + 4 * PLACE_OCTAVES * D * N)


def denoised(net: NetConfig, *, frames: int, height: int, width: int) -> int:
    """FLOPs of one clip through a net and the filter of its innovation, which training does without."""
    filtered = 2 * frames**2 * 3 + frames * BANDS
    return forward(net, frames=frames, height=height, width=width) + 2 * filtered * height * width


def forward_and_backward(net: NetConfig, *, frames: int, height: int, width: int, channels_in: int = 3) -> int:
    """FLOPs of one clip in training: each product comes twice more, for its weights and for what went in.

    The embeddings of pixels, noise level and places once only: nobody asks for the gradient of what goes into the net.
    """
    D, pixels, N = net.width, net.patch**2, height * width // net.patch**2
    first = frames * N * (channels_in + 1) * pixels * D + 2 * SIGMA_FEATURES * D + 4 * PLACE_OCTAVES * D * N
    every = forward(net, frames=frames, height=height, width=width, channels_in=channels_in)
    return 3 * every - 2 * first


def update(net: NetConfig) -> int:
    """FLOPs of one step of Muon: the orthogonalisation of each block's matrices [m, n], m = width.

    Two polynomials take the Gram matrix of X, five products of matrices [m, m], and one with X.
    """
    columns = (3 + 1 + 2 * net.expand) * net.width  # n of the four matrices of a block
    pair = 2 * (2 * net.width**2 * columns + 4 * 5 * net.width**3)
    return len(net.blocks) * len(POLYNOMIALS) // 2 * pair


def full_step(config: Config, frames: int) -> int:
    """FLOPs of one step of the net that is trained on full videos alone."""
    video, net, stage = config.video, config.clip.net, config.direct
    clip = forward_and_backward(net, frames=frames, height=video.height, width=video.width)
    return stage.batch * clip + update(net)


def of_run(run: Run, folder: Folder) -> int:
    """FLOPs of all stages that a run has done on a folder."""
    return sum(_stages(run, TrainingData.of(folder, Parts.of(run).config, silent)).values())


def _stages(run: Run, data: TrainingData) -> dict[str, int]:
    config, counted = data.config, {}
    video, low = config.video, config.low_res
    sharp, small = (video.height, video.width), (video.height // low.factor, video.width // low.factor)
    levels = [level for level in range(low.levels + 1) if run.done(low_res_stage(level))]
    for level in levels:
        pool = data.low_res_pools(level)[0]
        counted[low_res_stage(level)] = _view(low_res_stage(level), low.stage(level), low.net, pool, small, config.seed)
        if run.done(gate_stage(level)) and level:
            frames = data.gate_pool(level).longest
            counted[gate_stage(level)] = _gate(config, level) * _low_res(config, frames, 1)
    if run.done("clip"):
        counted["clip"] = _view("clip", config.clip.train, config.clip.net, data.mixture(), sharp, config.seed)
    if run.done("direct"):
        counted["direct"] = config.direct.steps * full_step(config, data.full_pool(data.full).longest)
    plan = Parts.of(run).sharp_plan()
    if run.done(gate_stage(0)):
        composed = _composition(config, plan, data.gate_pool(0).longest, levels[-1])
        counted[gate_stage(0)] = _gate(config, 0) * composed
    if run.done("residual"):
        frames = data.full_pool(data.full).longest
        composed = _composition(config, plan, frames, levels[-1])
        stage, net = config.residual.train, config.clip.net
        shape = {"frames": frames, "height": sharp[0], "width": sharp[1], "channels_in": 6}
        training = stage.steps * (stage.batch * (composed + forward_and_backward(net, **shape)) + update(net))
        folds = 2 if len({entry.sha256 for entry in data.full}) > 1 else 0
        seen = CROSS_FIT_DRAWS * KNOTS * len(data.full) if folds else 0
        counted["residual"] = (1 + folds) * training + seen * (composed + forward(net, **shape))
    return counted


def _gate(config: Config, level: int) -> int:
    """How many videos pass the frozen nets while a gate is measured."""
    gate = config.gate_of(level)
    return KNOTS * gate.steps * gate.batch


def _view(name: str, stage: StageConfig, net: NetConfig, pool: Pool | Mixture, size: tuple[int, int], seed: int) -> int:
    """FLOPs of a view's net: each of its batches has a length of its own."""
    shapes = Counter(pool.shape(stage.batch, seed=seed, stage=name, step=step) for step in range(stage.steps))
    guesses = (1 - LEARNED) * pool.masked

    def clip(T: int) -> float:
        shape = {"frames": T, "height": size[0], "width": size[1]}
        return forward_and_backward(net, **shape) + guesses * denoised(net, **shape)

    return round(sum(n * B * clip(T) for (B, T), n in shapes.items())) + stage.steps * update(net)


def _composition(config: Config, plan: Plan, frames: int, top: int) -> int:
    """FLOPs of one video through the composition of clips with the low-res levels up to ``top``."""
    clips = _windows(config.clip.net, plan, frames, config.video.height, config.video.width)
    return clips + _low_res(config, frames, top)


def _low_res(config: Config, frames: int, levels: int) -> int:
    """FLOPs of one video through the net of a low-res level, and those of the next coarser ``levels``."""
    video, low = config.video, config.low_res
    plan, flops = tapered(low.window, low.overlap), 0
    for _ in range(1 + low.coarser(frames, levels)):
        flops += _windows(low.net, plan, frames, video.height // low.factor, video.width // low.factor)
        frames = -(-frames // low.group)
    return flops


def _windows(net: NetConfig, plan: Plan, frames: int, height: int, width: int) -> int:
    return sum(denoised(net, frames=len(piece.weight), height=height, width=width) for piece in plan(frames))
