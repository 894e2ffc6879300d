"""Every number the detectors decide by, in one frozen object: tuned on a development split, then left alone."""

from pydantic import BaseModel, ConfigDict


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BarThresholds(_Frozen):
    """Bars: uniform, still rows or columns along an edge of the frame, with a straight edge to the picture."""

    least_contrast: float = 24.0
    """A frame counts if 96 % of its brightness spans at least this, levels of 255."""
    least_lit_frames: int = 2
    """With fewer frames that count nothing is said."""
    tolerance: int = 6
    """Levels by which a pixel of a bar may differ from the bar's own level."""
    pure_share: float = 0.9
    """Share of a row at the bar's level in a row without text; a codec's noise takes some."""
    pure_rows: float = 0.2
    """Share of a bar's rows that have no text."""
    text_share: float = 0.25
    """Share of a row at the bar's level in a row with text in it."""
    barred_share: float = 0.9
    """Share of the frames that begin with the bar: a flash or a fade may hide it."""
    step: float = 10.0
    """The picture begins in a column where it is this much brighter or darker than the bar, levels."""
    step_ratio: float = 2.5
    """And so many times farther from the bar's level than the rows before, which a codec smears."""
    least_edge: float = 0.1
    """A row where this share of the columns begins may be a bar's end."""
    pair_edges: float = 0.8
    """Two bars are sure if the shares of both add up to this, less their difference in width."""
    single_edge: float = 0.6
    """One bar may be there if this share of the columns begins at its end."""
    least_pixels: int = 4
    """Thinner bars are ignored, pixels of the source."""
    widest: float = 0.4
    """A bar takes at most this share of the frame: between two there is a picture, not a line of text."""


class StillThresholds(_Frozen):
    """Frozen spans: a moving picture that stops and goes on."""

    cell_change: float = 0.9
    """A frame repeats the last one if no 8x8 cell at 160x90 changes by more, levels."""
    least_frames: int = 6
    """Shorter repeats are how some films are made."""
    motion_change: float = 6.0
    """Before and after, the most changed cell changes by at least this much, levels: else the camera just stands."""
    moving_share: float = 0.3
    """Before and after, this share of the picture moves, and does not fade, where no person needs to be asked."""


class StaticThresholds(_Frozen):
    """Marks that stand still in one video, found by the median over time of signed Sobel gradients."""

    samples: int = 24
    """Frames looked at in one video."""
    side: int = 480
    """Longer side at which gradients are taken, pixels; smaller videos are left as they are."""
    coherence: float = 0.7
    """Share of frames whose gradient agrees with the median, for a single video."""
    surroundings_std: float = 6.0
    """A single video's picture around a mark changes by at least this much over time, levels."""
    moving_share: float = 0.9
    """Share of the frame that changes so much, for a mark of a single video to need no review."""
    held_share: float = 0.75
    """And its sure marks hold this share of all edges that stand still in it: nothing else does."""
    steady: float = 0.8
    """A sure mark of the first third of a video correlates with that of the last by this much."""
    two_ways: float = 0.1
    """The energy of its gradients across their main direction is at least this share of that along it: no line."""
    most_single: int = 4
    """Marks of a single video, the strongest first: more is a camera that stands still."""
    single_gradient: float = 60.0
    """A single video's median gradient at the edge of a mark."""
    least_edge_pixels: int = 24
    """A mark has at least so many edge pixels at a side of 480."""


class FolderThresholds(_Frozen):
    """Marks that stand still in many videos: no file is decoded again when one of these changes."""

    same_scene_levels: float = 8.0
    """Clips whose small pictures differ by less on average are one scene and have one vote, levels."""
    same_scene_colours: float = 0.85
    """So are clips whose small pictures correlate by more: one may be brighter."""
    same_film_colours: float = 0.97
    """And clips whose small pictures correlate by more, rank by rank, are one scene whatever their edges say."""
    sure_sigma: float = 5.0
    """Scenes show one mark where every two of three, and each with the others, agree by so many sigma of chance."""
    usual_sigma: float = 4.0
    """One more clip shows a mark from so many sigma on, if most scenes do."""
    strong_chance: float = 3e-4
    """A mark's edge begins where scenes agree as they do in this share of the pixels when moved against each other."""
    weak_chance: float = 1e-2
    """It goes on where they agree as in this share."""
    halo: float = 0.3
    """And by at least this share of what they agree by where the mark is plain: less is what the codec leaves."""
    near: float = 1 / 24
    """What begins nowhere surely is a part of a mark so near, in longer sides of the picture; and as wide are the gaps
    in a mark's rim."""
    least_edge: float = 0.05
    """A mark has at least so many edge pixels for each pixel of the picture's longer side."""
    most_area: float = 0.35
    """What takes more of the picture waits for review: a room filmed by day and by night is no mark."""
    most_spread: float = 0.5
    """So does what has a part in more of 8x8 blocks of the picture,"""
    enough_scenes: int = 5
    """where fewer scenes than this show it."""


class MovingThresholds(_Frozen):
    """Captions that travel over the picture."""

    back_seconds: float = 0.15
    """How long before its detection a line is looked for beside its place."""
    reach_px: int = 32
    """How far beside, pixels of the frames text is looked for in."""
    match: float = 0.65
    """Correlation with its template all along the way."""
    least_seconds: float = 0.4
    """Shorter ways prove nothing."""
    least_travel_px: float = 6.0
    """Nor do shorter distances, pixels."""
    most_uneven_px: float = 2.5
    """Worst distance from an even motion, pixels."""
    least_length: float = 1.5
    """A line of text is so many times longer than it is high; a ball or a box that rolls by is not."""
    chunk_seconds: float = 0.1
    """A box covers the line for so long."""


class TextThresholds(_Frozen):
    """Overlaid text: lines that appear, stay where they are while the picture moves, and go."""

    looks_per_second: float = 2.0
    """How often the detector looks: it costs as much as all else together, and few lines last less than a second."""
    samples_per_second: float = 3.0
    """How often lines are compared with what is around them."""
    ticks_per_second: float = 8.0
    """How often it is seen whether a line counts: a clip may last a second."""
    sides: tuple[int, ...] = (192, 352)
    """Short sides at which it looks, pixels."""
    largest: float = 0.35
    """The shorter side of a line is at most this share of the frame's."""
    large: float = 0.2
    """A line of which it is more than this share is large, and must be long:"""
    longer: float = 1.5
    """at least so many times as wide as it is high,"""
    taller: float = 2.5
    """or so many times as high as it is wide, as are letters one under the other."""
    match: float = 0.6
    """A line is still there while its gradient correlates with its template by this much."""
    back_seconds: float = 1.6
    """How far back before its detection a line's first frame is looked for."""
    margin: float = 0.03
    """Boxes grow by one pixel and this share of their height on each side."""
    gap: float = 1.5
    """Letters so many heights of the line farther along belong to it, too."""
    shortest_seconds: float = 0.3
    """Shorter lines are scene text that moves, unless they come and go at once:"""
    least_frames: int = 3
    """those that do may be as short; in one frame, or two, part of what slides is seen."""
    moved_seconds: float = 1.0
    """A line that moves a little before or after, and stands so long over a picture that goes on, is asked about."""
    moving_levels: float = 4.0
    """The picture around a line moves if it changes by this much from one look at it to the next, levels."""
    abrupt_drop: float = 0.45
    """A line comes or goes at once if its correlation one frame outside is below this,"""
    abrupt_left: float = 0.5
    """or its strokes are weaker than this share of theirs there, in each quarter of the line."""
    cut_levels: float = 18.0
    """The picture changes by this much in one frame, in the mean,"""
    cut_most: float = 7.0
    """and most of it by this much: a cut, and no plate that comes or goes."""
    moving: MovingThresholds = MovingThresholds()
    """Of captions that travel."""


class Thresholds(_Frozen):
    """All of them."""

    bars: BarThresholds = BarThresholds()
    still: StillThresholds = StillThresholds()
    static: StaticThresholds = StaticThresholds()
    folder: FolderThresholds = FolderThresholds()
    text: TextThresholds = TextThresholds()
