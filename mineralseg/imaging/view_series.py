"""All views of a field on one of them, each directly or by way of a view that resembles both."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from mineralseg.core.registration import Registration
from mineralseg.imaging.features import Features
from mineralseg.imaging.view_registration import Prior, refine, register_view

_MOST_BRIDGES = 3


def register_series(
    views: Mapping[str, Features], *, reference: str, priors: Mapping[str, Prior]
) -> dict[str, Registration]:
    """Return how each view lies on the reference, in the pixels of the described images.

    A view that does not fit the reference directly is tried on the views that did, the nearest in turn
    first (extinction makes neighbours alike), at most three of them, so that the cost stays linear.

    Args:
        views: features by name, the reference among them.
        reference: the view that keeps its place.
        priors: what is known of each other view on the reference.
    """
    found = {
        name: register_view(views[reference], view, prior=priors[name], frames=(name, reference))
        for name, view in views.items()
        if name != reference
    }
    bridges = [name for name, each in found.items() if each.verdict == "accepted"]
    for name in [name for name in found if name not in bridges]:
        for bridge in _nearest(name, bridges, priors)[:_MOST_BRIDGES]:
            chained = _by_way_of(bridge, name, views=views, reference=reference, priors=priors, found=found)
            if chained is not None:
                found[name] = chained
                break
    return found


def _nearest(name: str, bridges: list[str], priors: Mapping[str, Prior]) -> list[str]:
    """Return the bridges by how little they are turned against a view."""

    def turned_deg(bridge: str) -> float:
        beyond = (priors[bridge].rotation_deg or 0.0) - (priors[name].rotation_deg or 0.0)
        return abs((beyond + 180) % 360 - 180)

    return sorted(bridges, key=turned_deg)


def _by_way_of(
    bridge: str,
    name: str,
    *,
    views: Mapping[str, Features],
    reference: str,
    priors: Mapping[str, Prior],
    found: Mapping[str, Registration],
) -> Registration | None:
    """Return a view on the reference through a view that lies there already, None when that fails too."""
    first = register_view(
        views[bridge], views[name], prior=_between(priors[name], priors[bridge]), frames=(name, bridge)
    )
    second = found[bridge]
    if first.moving_to_fixed is None or second.moving_to_fixed is None or first.verdict == "refused":
        return None
    chain = second.moving_to_fixed @ first.moving_to_fixed
    method = f"by way of {bridge}"
    direct = refine(
        views[reference],
        views[name],
        chain.matrix,
        prior=priors[name],
        method=method,
        frames=(name, reference),
    )
    if direct.verdict == "accepted":
        return direct
    objection = priors[name].objection(chain.matrix)
    if objection or first.residual_px is None or second.residual_px is None:
        return None
    return replace(
        first,
        method=f"{method}, {first.method}",
        moving_to_fixed=chain,
        residual_px=float(np.hypot(first.residual_px, second.residual_px)),
        inliers=min(first.inliers, second.inliers),
        score=min(first.score, second.score),
    )


def _between(moving: Prior, bridge: Prior) -> Prior:
    """Return what is known of one view on another from what is known of both on the reference."""
    turn = None
    if moving.rotation_deg is not None and bridge.rotation_deg is not None:
        turn = moving.rotation_deg - bridge.rotation_deg
    return Prior(
        rotation_deg=turn,
        max_rotation_deg=moving.max_rotation_deg + bridge.max_rotation_deg,
        scale=moving.scale / bridge.scale,
        max_scale_change=moving.max_scale_change + bridge.max_scale_change,
    )
