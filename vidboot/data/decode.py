"""Frames of a video file, decoded packet by packet, and resized by the one filter of this project: area.

Boxes and sizes are in display pixels: the picture turned upright, with square pixels. One bad packet costs its own
frames; everything from there to the next sound key frame counts as damaged.
"""

import os
from collections.abc import Iterator
from fractions import Fraction
from os import PathLike
from typing import NamedTuple, Self

import av
import av.error
import av.filter
import numpy as np
from av.sidedata.sidedata import SideDataContainer
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream

from vidboot.data.geometry import Geometry, Orientation, center_crop_box

__all__ = ["FILTER", "Decoded", "Resizer", "Thumbnailer", "Video", "center_crop_box", "choose_stream", "orientation"]

FILTER = "area-3"
"""Name and version of what happens to pixels between decoder and cache."""

# With "area" alone, swscale darkens video by 1.8 levels and halves the resolution of colour, on both ends.
SCALE_FLAGS = "area+accurate_rnd+full_chroma_int+full_chroma_inp"

# Containers and picture files by content. Left out on purpose: playlists and scripts, which name other files or hosts.
FORMATS = (
    "mov,matroska,avi,flv,live_flv,mpegts,mpeg,mpegvideo,m4v,h264,hevc,vvc,obu,av1,ivf,ogg,asf,rm,mxf,nut,dv,gxf,"
    "yuv4mpegpipe,mjpeg,mjpeg_2000,gif,apng,h261,h263,vc1,cavsvideo,dirac,wtv,nsv,swf,fli,smk,bink,roq,film_cpk,"
    "3gp,mp4,webm,mp3,wav,aac,flac,jpeg_pipe,png_pipe,webp_pipe,bmp_pipe,tiff_pipe,jpegxl_pipe"
)
HDR_TO_STANDARD = {16: "relative_colorimetric", 18: "perceptual"}
"""How the curves of high dynamic range, perceptual quantizer and hybrid log-gamma, become standard range: with the
first, what ffmpeg calls perceptual turns bright skies pink."""
UNTAGGED, HIGH_DEFINITION = 2, 720
"""Matrix of a picture that names none, and the lines from which it then is BT.709, as players guess, not BT.601."""
OPTIONS = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}


class Decoded(NamedTuple):
    """A frame as decoded: ``picture`` still lies as stored; see ``Resizer`` for upright pixels."""

    index: int
    picture: VideoFrame
    pts_seconds: float | None
    damaged: bool


class Video:
    """An open video file; use it in a ``with`` block.

    Raises:
        OSError, UnicodeDecodeError, av.error.FFmpegError: the file cannot be opened.
        LookupError: it has no video stream.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        # Whole, as FFmpeg takes what stands before a colon in 10:30.mp4 for a protocol.
        self.container = av.open(os.path.abspath(path), options=OPTIONS, metadata_errors="ignore")
        try:
            self.stream = choose_stream(list(self.container.streams.video))
        except LookupError:
            self.container.close()
            raise
        # One thread: damage is then reported with the packet that has it, and counts do not depend on the machine.
        self.stream.codec_context.thread_count = 1
        self.stream.codec_context.copy_opaque = True
        self.broken_packets = 0
        self.end_seconds = 0.0
        """When what the packet read last shows ends, so far as the file says."""
        self._geometries: dict[tuple[int, int, Orientation], Geometry] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.container.close()

    @property
    def hdr(self) -> bool:
        """Whether brightness is stored by one of the curves of high dynamic range."""
        return self.stream.codec_context.color_trc in HDR_TO_STANDARD

    @property
    def bits(self) -> int:
        """Bits of the finest component of a pixel, as decoded; 0 before anything is known of it."""
        pixel = self.stream.codec_context.format
        return max(component.bits for component in pixel.components) if pixel else 0

    @property
    def average_fps(self) -> float | None:
        """The stream's own claim, else the container's."""
        rate = self.stream.guessed_rate or self.stream.average_rate
        return float(rate) if rate else None

    @property
    def pixel_aspect(self) -> Fraction:
        """Width of a pixel over its height; 1 where the container's claim is absurd or a rounding of 1."""
        aspect = self.stream.sample_aspect_ratio or Fraction(1)
        return aspect if abs(aspect - 1) > 0.01 and Fraction(1, 4) <= aspect <= 4 else Fraction(1)

    def geometry(self, picture: VideoFrame) -> Geometry:
        """Return how this picture is to be displayed."""
        key = picture.width, picture.height, orientation(picture)
        if key not in self._geometries:
            self._geometries[key] = Geometry(*key, self.pixel_aspect)
        return self._geometries[key]

    def frames(self) -> Iterator[Decoded]:
        """Yield every frame that can be decoded, in the order of display.

        Raises:
            MemoryError: the decoder ran out of memory.
        """
        index = 0
        tick_seconds = float(self.stream.time_base or 0)
        damage = _Damage()
        for number, packet in enumerate(self._packets()):
            if packet.pts is not None:
                self.end_seconds = (packet.pts + (packet.duration or 0)) * tick_seconds
            packet.opaque = (number,)  # an object of its own: PyAV knows it by its identity
            if packet.is_corrupt:  # the container says that bytes are missing; the decoder may paint over it
                damage.begin(number)
            try:
                pictures = packet.decode()
            except MemoryError:
                raise
            except av.error.FFmpegError:
                self.broken_packets += 1
                damage.begin(number)
                continue
            for picture in pictures:
                damaged = damage.reaches(picture, number)
                seconds = None if picture.pts is None else picture.pts * tick_seconds
                yield Decoded(index, picture, seconds, damaged)
                index += 1

    def _packets(self) -> Iterator[av.Packet]:
        packets = self.container.demux(self.stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except MemoryError:
                raise
            except av.error.FFmpegError:
                self.broken_packets += 1
                return
            yield packet


class _Damage:
    """Whether frames are damaged: from a broken packet's to the first sound key frame of a later one.

    Frames wait in the decoder for reordering, so each is asked for the packet it came in.
    """

    def __init__(self) -> None:
        self.running = False
        self.first = self.last = 0  # broken packets

    def begin(self, packet: int) -> None:
        self.first = min(self.first, packet) if self.running else packet
        self.last = max(self.last, packet) if self.running else packet
        self.running = True

    def reaches(self, picture: VideoFrame, sent: int) -> bool:
        """Say whether a picture is damaged, given the number of the packet that was sent last."""
        packet = picture.opaque[0] if isinstance(picture.opaque, tuple) else sent
        if picture.is_corrupt:
            self.begin(packet)
        elif self.running and picture.key_frame and packet > self.last:
            self.running = False
        return self.running and packet >= self.first


def choose_stream(streams: list[VideoStream]) -> VideoStream:
    """Return the stream with the largest picture, the first of equals; attached pictures (covers) do not count.

    A stream of a single frame, such as a phone stores beside a moving photo, is taken if there is no other.

    Raises:
        LookupError: none is left.
    """
    moving = [s for s in streams if not s.disposition & s.disposition.attached_pic and s.codec_context is not None]
    if not moving:
        raise LookupError("no video stream")
    return max(moving, key=lambda s: (s.frames != 1, s.codec_context.width * s.codec_context.height))


def orientation(picture: VideoFrame) -> Orientation:
    """Return what a picture's display matrix asks for, to the nearest quarter turn."""
    # Not picture.side_data, which refers back to the picture: both would stay until a garbage collection.
    matrix = SideDataContainer(picture).get("DISPLAYMATRIX")  # type: ignore[call-arg]  # its stub lacks it
    if matrix is None:
        return Orientation()
    # A pixel at (x, y), y downwards, is displayed at (a x + c y, b x + d y).
    a, b, _, c, d, *_ = np.frombuffer(matrix, np.int32).tolist()
    mirrored = a * d < b * c
    clockwise = np.arctan2(-b, -a) if mirrored else np.arctan2(b, a)
    return Orientation(-round(clockwise / (np.pi / 2)) % 4, mirrored)


class Resizer:
    """Crops decoded pictures to a target's aspect, turns them upright and shrinks them by area.

    Smaller pictures are refused, or, with ``enlarge``, interpolated linearly, which is what area does upward. High
    dynamic range becomes standard.
    """

    def __init__(self, height: int, width: int, *, enlarge: bool = False) -> None:
        self.height = height
        self.width = width
        self.enlarge = enlarge
        self._graph = av.filter.Graph()
        self._graph_is_for: tuple[Geometry, str, int, int] | None = None

    def __call__(self, picture: VideoFrame, geometry: Geometry) -> np.ndarray:
        """Return the picture as uint8 RGB, [H, W, 3].

        Raises:
            ValueError: the picture is smaller than the target, and is not to be enlarged.
        """
        key = (geometry, picture.format.name, picture.color_trc, picture.colorspace)
        if key != self._graph_is_for:
            self._graph, self._graph_is_for = self._make_graph(picture, geometry), key
        self._graph.push(picture)
        shrunk = self._graph.pull()
        assert isinstance(shrunk, VideoFrame)
        upright = geometry.orientation.upright(shrunk.to_ndarray())
        assert upright.shape == (self.height, self.width, 3)
        return upright

    def _make_graph(self, picture: VideoFrame, geometry: Geometry) -> av.filter.Graph:
        x0, y0, x1, y1 = geometry.stored_box(center_crop_box(*geometry.size, self.height, self.width))
        width, height = geometry.orientation.sides(self.width, self.height)
        if not self.enlarge and (x1 - x0 < width or y1 - y0 < height):
            shown = "x".join(map(str, geometry.size))
            raise ValueError(f"a picture of {shown} (width x height) is too small for {self.width}x{self.height}")
        graph = av.filter.Graph()
        graph.threads = 1  # for pictures this small, threads only wait for each other
        source = graph.add_buffer(
            width=picture.width,
            height=picture.height,
            format=picture.format,
            time_base=picture.time_base or Fraction(1, 1000),
        )
        crop = graph.add("crop", f"{x1 - x0}:{y1 - y0}:{x0}:{y0}:exact=1")
        high = picture.colorspace == UNTAGGED and min(picture.width, picture.height) >= HIGH_DEFINITION
        guess = ":in_color_matrix=bt709" if high and not picture.format.is_rgb else ""
        nodes = [source, crop, graph.add("scale", f"{width}:{height}:flags={SCALE_FLAGS}{guess}")]
        if (intent := HDR_TO_STANDARD.get(picture.color_trc)) is not None:
            # By way of RGB: of other formats this scaler forgets what matrix they came by.
            nodes.append(graph.add("format", "gbrp16le"))
            nodes.append(graph.add("scale", f"out_transfer=bt709:out_primaries=bt709:intent={intent}"))
        graph.link_nodes(*nodes, graph.add("format", "rgb24"), graph.add("buffersink")).configure()
        return graph


class Thumbnailer:
    """Shrinks decoded pictures, as stored, to squares of grey by area."""

    def __init__(self, side: int) -> None:
        self.side = side
        self._reformatter = VideoReformatter()

    def __call__(self, picture: VideoFrame) -> np.ndarray:
        """Return uint8 [side, side]."""
        n = self.side
        grey = self._reformatter.reformat(picture, n, n, "gray", interpolation=Interpolation.AREA, threads=1)
        plane = grey.planes[0]
        return np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[:n, :n]
