"""What is broken or missing of a file costs what it reaches, and no more."""

from pathlib import Path

from films import break_packet, moving_square, write_film

from vidboot.data.records import FileRecord
from vidboot.scan import Target, audit, scan


def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    folder.mkdir(exist_ok=True)
    return folder


def only(tmp_path: Path) -> FileRecord:
    ((file,), _) = audit(tmp_path / "videos", tmp_path / "work")
    return file


def test_missing_time_is_no_video(tmp_path: Path) -> None:
    times = [125 * t for t in range(16)]
    write_film(
        videos(tmp_path) / "a.mp4", moving_square(16, 32, 32), milliseconds=times[:8] + [t + 9000 for t in times[8:]]
    )
    (file,), shots = audit(tmp_path / "videos", tmp_path / "work")
    assert [shot.seconds for shot in shots] == [1.0, 1.0]
    assert file.seconds == 2.0


def test_what_is_lost_on_the_way_damages_the_frames_built_on_it(tmp_path: Path) -> None:
    path = write_film(videos(tmp_path) / "a.ts", moving_square(40, 96, 128))
    content = path.read_bytes()
    sent = [content[at : at + 188] for at in range(0, len(content), 188)]
    # By the second and third byte: of the stream of pictures, and not the first of a frame.
    inner = [i for i, packet in enumerate(sent) if packet[1:3] == b"\x01\x00"]
    del sent[inner[len(inner) // 2]]
    path.write_bytes(b"".join(sent))
    file = only(tmp_path)
    assert file.status == "usable"
    ((first, last),) = file.damaged
    assert 8 <= first <= last < 32
    assert (last + 1) % 8 == 0  # up to the next key frame


def test_damage_is_recorded_and_its_edges_are_no_cuts(tmp_path: Path) -> None:
    break_packet(write_film(videos(tmp_path) / "a.mp4", moving_square(32, 48, 64), options={"bf": "0"}), 11)
    file = only(tmp_path)
    assert (file.frames, file.damaged, file.cuts) == (31, ((11, 14),), ())
    assert scan(tmp_path / "videos", tmp_path / "work", Target(16, 32, 32, 8.0))["seconds"]["masked"] > 0
