"""Boxes of the text detector's map are exact; the network itself is tried only where the extra [ocr] is installed."""

import numpy as np
import pytest
from scenes import texture

from vidboot.corruption.ocr import OcrDetector, boxes_of, find_model

MODEL = find_model()


def test_a_box_of_the_map_grows_by_the_share_its_kernel_was_shrunk_by() -> None:
    probability = np.zeros((64, 128), np.float32)
    probability[20:29, 30:69] = 0.9
    boxes = boxes_of(probability)
    # Two pixels of dilation make it 40 x 10; 1.6 times its area over its girth is 6.4.
    np.testing.assert_allclose(boxes, [[30 - 6.4, 20 - 6.4, 70 + 6.4, 30 + 6.4]], atol=1e-4)


def test_a_faint_or_tiny_spot_of_the_map_is_no_text() -> None:
    probability = np.zeros((64, 128), np.float32)
    probability[20:29, 30:69] = 0.4
    probability[50, 100] = 1
    assert len(boxes_of(probability)) == 0


@pytest.mark.skipif(MODEL is None, reason="the extra [ocr] is not installed")
def test_the_network_finds_a_word_where_it_is_and_nothing_on_a_smooth_picture() -> None:
    assert MODEL is not None
    from PIL import Image, ImageDraw

    detector = OcrDetector(MODEL)
    picture = texture(192, 320, 3)
    assert len(detector(picture, 192)) == 0
    drawn = Image.fromarray(picture)
    ImageDraw.Draw(drawn).text((90, 120), "a line of text", fill=(255, 255, 255), font_size=22, stroke_width=1)
    ((x0, y0, x1, y1),) = detector(np.asarray(drawn), 192)
    assert x0 <= 92
    assert x1 >= 210
    assert 105 <= y0 <= 128
    assert 138 <= y1 <= 156
