import numpy as np

from mineralseg.imaging.color_words import color_words


def test_colors_that_differ_get_different_words_and_equal_ones_the_same():
    colors = np.random.default_rng(0).uniform(0, 255, (5, 6)).astype(np.float32)
    number = np.random.default_rng(1).integers(0, 5, (40, 50))
    words = color_words(colors[number], np.ones((40, 50), np.float32))
    assert len({(int(a), int(b)) for a, b in zip(number.ravel(), words.ravel(), strict=True)}) == 5
    assert len(np.unique(words)) == 5


def test_words_are_the_same_every_time_and_void_pixels_do_not_count():
    image = np.random.default_rng(2).uniform(0, 255, (60, 70, 3)).astype(np.float32)
    valid = np.ones((60, 70), np.float32)
    valid[:, 50:] = 0
    changed = image.copy()
    changed[:, 50:] = 1e4
    words, again, other = (color_words(each, valid) for each in (image, image, changed))
    assert np.array_equal(words, again)
    assert np.array_equal(words[:, :50], other[:, :50])
