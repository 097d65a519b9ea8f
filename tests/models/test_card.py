from mineralseg.models.card import render_card
from tests.models.specs import SCORES, make_spec


def test_the_card_says_what_the_model_takes_and_knows() -> None:
    card = render_card(make_spec(), name="sandstones")
    assert card.startswith("# sandstones: unet / mobilenet_v2\n")
    for says in (
        "PPL (3 bands), XPL0 (1 bands); all of them together are one input",
        "0.5 to 1.25 um/px",
        "averaged 2 x 2 px",
        "| 3 | quartz | `#ffffff` | – |",
        "Not evaluated yet.",
        f"- fingerprint: `{'f' * 64}`",
    ):
        assert says in card


def test_the_card_says_how_well() -> None:
    card = render_card(make_spec(scores=SCORES, pixel_size_um=(0.5, 0.5)), name="m")
    for says in (
        "Mean IoU 0.750, pixel accuracy 0.900",
        "samples s1, s2",
        "| 3 | quartz | `#ffffff` | 0.750 |",
    ):
        assert says in card
    assert "| 9 | mica | `#00ff00` | – |" in card
    assert "0.5 um/px" in card
    assert " to " not in card.split("Pixel size")[1].split("um/px")[0]


def test_an_unknown_scale_is_not_guessed() -> None:
    assert "Pixel size of the training samples: not recorded" in render_card(
        make_spec(pixel_size_um=None), name="m"
    )
