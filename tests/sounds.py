"""Files with a sound, and what is heard when."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

RATE = 48_000


def with_tone(path: Path, *, codec: str = "aac", container: str = "mp4", seconds: float = 4.0) -> None:
    """Give a video file a tone, in place; its pictures stay as they are."""
    whole = path.with_suffix(".tone")
    with av.open(str(path)) as pictures, av.open(str(whole), "w", format=container) as out:
        shown = out.add_stream_from_template(pictures.streams.video[0])
        heard: Any = out.add_stream(codec, rate=RATE, layout="mono")
        for packet in pictures.demux(video=0):
            if packet.dts is not None:
                packet.stream = shown
                out.mux(packet)
        tone = (8000 * np.sin(np.arange(round(seconds * RATE)) / 20)).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(tone, format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
        context = heard.codec_context
        fifo: Any = av.AudioFifo()
        for part in av.AudioResampler(format=context.format, layout="mono", rate=RATE).resample(frame):
            fifo.write(part)
        while part := fifo.read(context.frame_size or 1024):
            out.mux(heard.encode(part))
        out.mux(heard.encode(None))
    whole.replace(path)


def packets(path: Path) -> list[tuple[float, bytes]]:
    """Every packet of the sound and when it is heard, but what is heard before 0."""
    with av.open(str(path)) as container:
        heard = container.streams.audio[0]
        base = float(heard.time_base or 1)  # not to be asked for once the file is closed
        found = [(packet.pts, bytes(packet)) for packet in container.demux(heard) if packet.pts is not None]
    return [(round(pts * base, 3), content) for pts, content in found if pts >= 0]
