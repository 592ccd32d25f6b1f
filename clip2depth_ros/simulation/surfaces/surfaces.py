# SPDX-License-Identifier: Apache-2.0
"""The textures of places' surfaces by name: detail at every scale, wear, joints, stains, print."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from clip2depth_ros.simulation.surfaces import hard_surfaces, outdoor_surfaces, prints, soft_surfaces

MAKERS: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "grain": hard_surfaces.grain,
    "boards": hard_surfaces.boards,
    "laminate": hard_surfaces.laminate,
    "weathered": hard_surfaces.weathered,
    "pile": soft_surfaces.pile,
    "striped": soft_surfaces.striped,
    "tiling": hard_surfaces.tiling,
    "glazed": hard_surfaces.glazed,
    "chequer": hard_surfaces.chequer,
    "masonry": hard_surfaces.masonry,
    "painted": hard_surfaces.painted,
    "woodchip": hard_surfaces.woodchip,
    "panels": hard_surfaces.panels,
    "cast": hard_surfaces.cast,
    "granite": hard_surfaces.granite,
    "sheeting": soft_surfaces.sheeting,
    "cloth": soft_surfaces.cloth,
    "leather": soft_surfaces.leather,
    "steel": hard_surfaces.steel,
    "asphalt": outdoor_surfaces.asphalt,
    "paving": outdoor_surfaces.paving,
    "lawn": outdoor_surfaces.lawn,
    "facade": outdoor_surfaces.facade,
    "page": prints.page,
    "brochure": prints.brochure,
    "desktop": prints.desktop,
    "outside": outdoor_surfaces.outside,
    "carton": prints.carton,
    "leaves": outdoor_surfaces.leaves,
}
"""Every new kind of texture; the older ones are in textures.py."""
