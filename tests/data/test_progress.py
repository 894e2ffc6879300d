"""Names of files cannot steer the terminal they are shown on."""

from vidboot.data.progress import printable


def test_only_what_steers_a_terminal_is_left_out_of_a_name() -> None:
    assert printable("naïve 字幕 \N{FAMILY} a\u200db (1).mp4") == "naïve 字幕 \N{FAMILY} a\u200db (1).mp4"
    assert printable("a\x1b[2Jb\nc\u202ed\udcff") == "a?[2Jb?c?d?"
