# SPDX-License-Identifier: Apache-2.0
"""Surfaces of places: one image for each number, seamless, with the spectrum of natural surfaces."""

from __future__ import annotations

import numpy as np
import pytest

from clip2depth_ros.simulation.scene.place_palette import PlacePalette
from clip2depth_ros.simulation.scene.scene import Paint
from clip2depth_ros.simulation.surfaces.surfaces import MAKERS
from clip2depth_ros.simulation.surfaces.textures import (
    CUBE_SIZE,
    KINDS,
    SIZE,
    VARIANTS,
    cube_texture,
    flat_texture,
)

KNOWN_MEANS = {
    "wood": 87.5,
    "planks": 125.7,
    "tile": 144.2,
    "brick": 118.5,
    "plaster": 234.1,
    "concrete": 121.5,
    "carpet": 101.0,
    "fabric": 216.2,
    "wallpaper": 219.2,
    "print": 148.1,
    "screen": 60.2,
    "outdoors": 134.6,
    "cardboard": 142.8,
    "foliage": 86.6,
}

STRETCHED = {"page", "brochure", "desktop", "outside", "facade", "carton"}
"""Used once over their part: these need not be seamless."""


@pytest.mark.parametrize("kind", MAKERS)
def test_images_are_complete_and_differ_by_number(kind):
    first, second = flat_texture(kind, 0), flat_texture(kind, 1)
    assert first.shape == (SIZE, SIZE, 3) and first.dtype == np.uint8
    assert cube_texture(kind, 0).shape == (6 * CUBE_SIZE, CUBE_SIZE, 3)
    assert np.abs(first.astype(int) - second).mean() > 0.5
    assert first.std() > 0.5
    made = MAKERS[kind](np.random.default_rng(3))
    assert np.isfinite(made).all() and made.min() > -0.6 and made.max() < 2.5
    np.testing.assert_array_equal(made, MAKERS[kind](np.random.default_rng(3)))


@pytest.mark.parametrize("kind", sorted(set(MAKERS) - STRETCHED))
def test_repeated_surfaces_have_no_seam(kind):
    """Across the border an image changes no more than at its strongest line inside."""
    for number in range(4):
        picture = flat_texture(kind, number).astype(float).mean(2)
        for axis in (0, 1):
            steps = np.abs(np.diff(picture, axis=axis)).mean(1 - axis)
            border = np.abs(np.take(picture, 0, axis) - np.take(picture, -1, axis)).mean()
            assert border < 1.5 * steps.max() + 2.0


@pytest.mark.parametrize("kind", ["cast", "painted", "masonry", "grain", "asphalt", "lawn"])
def test_natural_surfaces_have_detail_at_every_scale(kind):
    """Contrast remains after downscaling by four, so it is not white noise."""
    for number in range(4):
        picture = flat_texture(kind, number).astype(float).mean(2)
        coarse = picture.reshape(SIZE // 4, 4, SIZE // 4, 4).mean((1, 3))
        assert coarse.std() > 0.35 * picture.std()


def test_older_images_are_unchanged():
    """Rooms, drives and measurements depend on these (means over the first three images)."""
    means = {kind: np.mean([flat_texture(kind, n).mean() for n in range(3)]) for kind in KINDS}
    assert {kind: round(mean, 1) for kind, mean in means.items()} == pytest.approx(KNOWN_MEANS, abs=0.3)


def draws(palette: PlacePalette) -> list[Paint]:
    """One paint of every sort."""
    floors = [palette.floor(kind) for kind in ("planks", "laminate", "tile", "carpet", "concrete")]
    kinds = ("plaster", "wallpaper", "brick", "concrete", "tile", "planks")
    return [
        *floors,
        *(palette.wall(kind) for kind in kinds),
        *(palette.wood(), palette.plain(), palette.plain("red"), palette.metal(), palette.body()),
        *(palette.fabric(), palette.print(), palette.cover(), palette.paper(), palette.cardboard()),
        *(palette.screen(True), palette.screen(False), palette.leaf(), palette.ceiling(), palette.front()),
        *(palette.worktop(), palette.facade(), palette.ground(), palette.plastic_sheet()),
        palette.outside(0.8),
    ]


@pytest.mark.parametrize("kind", ["kitchen", "basement", "hall", "street"])
def test_paints_refer_to_existing_textures(kind):
    for seed in range(12):
        for paint in draws(PlacePalette(np.random.default_rng(seed), kind)):
            assert paint.scale > 0
            assert all(0.0 <= c < 1.6 for c in paint.rgb)
            if paint.texture is not None:
                name, number = paint.texture
                assert name in MAKERS or name in KINDS
                assert 0 <= number < VARIANTS


def test_a_palette_is_reproducible_by_seed():
    first, again, other = (draws(PlacePalette(np.random.default_rng(s), "kitchen")) for s in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_kitchen_has_one_front_and_one_worktop():
    palette = PlacePalette(np.random.default_rng(4), "kitchen")
    assert palette.front() is palette.front()
    assert palette.worktop() is palette.worktop()


def test_furniture_of_one_place_shares_its_textures():
    """However full a place is, its small things need few images: the renderer has limited slots."""
    palette = PlacePalette(np.random.default_rng(6), "office")
    drawn = [
        make()
        for _ in range(200)
        for make in (
            palette.wood,
            palette.metal,
            palette.plain,
            palette.fabric,
            palette.print,
            palette.cover,
            palette.paper,
            palette.cardboard,
            palette.leaf,
            lambda: palette.screen(True),
        )
    ]
    flat = {p.texture for p in drawn if p.texture and not p.cube}
    cube = {p.texture for p in drawn if p.texture and p.cube}
    assert len(flat) <= 20
    assert len(cube) <= 12
