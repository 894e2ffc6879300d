"""The sound of one file beside the pictures of another, packet by packet, without decoding either."""

from __future__ import annotations

import os
from collections.abc import Iterator
from heapq import merge
from pathlib import Path

import av
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream

from vidboot.files import part_path


def add_sound(path: Path, source: Path, *, start_seconds: float) -> bool:
    """Give a video file without sound that of ``source``, unless mp4 cannot hold it.

    Args:
        path: an mp4 file with pictures alone; replaced once the new one is whole.
        source: any video file; of several sounds the first is taken.
        start_seconds: time in ``source`` at which the pictures of ``path`` begin. Sound before it is dropped.

    Returns:
        Whether the file has a sound now; not where ``source`` has none, or none that can be read or kept in mp4.

    Raises:
        OSError: the disk is full or gone.
    """
    part = part_path(path)
    try:
        with (
            av.open(os.path.abspath(path)) as pictures,
            av.open(os.path.abspath(source), metadata_errors="ignore") as heard,
        ):
            if not heard.streams.audio:
                return False
            with av.open(os.path.abspath(part), "w", format="mp4", options={"movflags": "+faststart"}) as out:
                if not _mux(out, pictures, heard, start_seconds):
                    return False
        part.replace(path)
    except ValueError:  # of FFmpeg's errors those of the data: a codec that mp4 does not hold, a broken packet
        return False
    finally:
        part.unlink(missing_ok=True)
    return True


def _mux(out: OutputContainer, pictures: InputContainer, heard: InputContainer, start_seconds: float) -> bool:
    """Write both side by side; return whether any sound begins before the pictures end: else its clock is another."""
    shown, sound = pictures.streams.video[0], heard.streams.audio[0]
    streams = out.add_stream_from_template(shown), out.add_stream_from_template(sound)
    both = merge(_timed(pictures, shown, 0.0), _timed(heard, sound, start_seconds), key=lambda timed: timed[0])
    assert pictures.duration is not None
    end_seconds, in_time = pictures.duration / av.time_base, False
    for seconds, packet in both:
        is_sound = packet.stream.type == "audio"
        in_time |= is_sound and seconds < end_seconds
        packet.stream = streams[is_sound]
        out.mux(packet)
    return in_time


def _timed(container: InputContainer, stream: Stream, start_seconds: float) -> Iterator[tuple[float, Packet]]:
    """The packets of a stream and when each is due, counted from ``start_seconds``."""
    assert stream.time_base is not None
    start = round(start_seconds / stream.time_base)
    for packet in container.demux(stream):
        if packet.pts is None or packet.dts is None:
            continue  # the empty packet at the end
        packet.pts, packet.dts = packet.pts - start, packet.dts - start
        if stream.type == "video" or packet.pts >= 0:
            yield float(packet.dts * stream.time_base), packet
