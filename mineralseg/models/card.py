"""The model card: what a person must know before trusting a map."""

from mineralseg.models.bundle import BundleSpec


def render_card(spec: BundleSpec, *, name: str) -> str:
    """Return the card of a bundle as Markdown, for the README of its folder and the registry."""
    views = ", ".join(f"{view.illumination} ({view.bands} bands)" for view in spec.views)
    scale = "not recorded"
    if spec.pixel_size_um is not None:
        low, high = spec.pixel_size_um
        scale = f"{low:g} um/px" if low == high else f"{low:g} to {high:g} um/px"
    return "\n".join(
        [
            f"# {name}: {spec.arch} / {spec.encoder}",
            "",
            "## What it takes",
            "",
            f"- Views, in this order: {views}; {_MODES[spec.mode]}.",
            f"- {_alignment(spec)}",
            f"- Pixel size of the training samples: {scale}. Images are averaged {spec.downsample} x "
            f"{spec.downsample} px before the network sees them.",
            "",
            "## What it knows",
            "",
            *_class_table(spec),
            "",
            "It gives every pixel one of these classes. A mineral that is not listed is unknown to it "
            "and will be called the listed one that looks most alike.",
            "",
            "## How well",
            "",
            *_score_lines(spec),
            "",
            "## Where it comes from",
            "",
            *(f"- {key}: `{value}`" for key, value in spec.training.items()),
            f"- weights sha256: `{spec.weights_sha256}`",
            "",
            "## Intended use",
            "",
            "Mineral maps of slides prepared and photographed like the training samples: same views, lamp, "
            "filters and a pixel size in the range above. Other conditions need an evaluation of their own "
            "(`mineralseg evaluate --model-version N --data DIR`).",
            "",
        ]
    )


_MODES = {
    "stack": "all of them together are one input",
    "separate": "each is classified by itself and the probabilities are averaged",
}


def _alignment(spec: BundleSpec) -> str:
    if spec.align is None:
        return "The views of a field must lie on one pixel grid."
    return (
        f"The views of a field are registered on {spec.align.reference} first; a residual above "
        f"{spec.align.max_residual_px:g} px or a score below {spec.align.min_score:g} is refused."
    )


def _class_table(spec: BundleSpec) -> list[str]:
    iou = {} if spec.scores is None else spec.scores.iou
    rows = ["| code | class | colour | test IoU |", "|---:|---|---|---:|"]
    for each in spec.classes:
        rows.append(f"| {each.code} | {each.name} | `{each.color}` | {_score(iou.get(each.name))} |")
    return rows


def _score_lines(spec: BundleSpec) -> list[str]:
    if spec.scores is None:
        return ["Not evaluated yet."]
    return [
        f"- Mean IoU {_score(spec.scores.mean_iou)}, pixel accuracy {_score(spec.scores.pixel_accuracy)}, "
        f"pixel counts pooled over the test samples {', '.join(spec.scores.samples)}.",
        "- These samples share no specimen with training or validation.",
    ]


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
