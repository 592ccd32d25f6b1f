# SPDX-License-Identifier: Apache-2.0
"""Simulates a real camera on rendered light: lens, exposure, noise, tone curve, sharpening, compression.

The rendered image is interpreted as display values of gamma 2; blur, exposure and noise are applied to linear
light, as in a camera. Lens distortion and rolling shutter are applied to image and depth alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

_CURVE = 1023
"""Steps of the tone curve's table."""
_SHOULDER = 1.25
"""Root of the light at which the tone curve saturates completely."""


@dataclass(frozen=True)
class SensorLook:
    """Parameters of one camera at one moment; the defaults change nothing.

    Lengths are in pixels of an image 256 wide and scale with the image.
    """

    target: float | None = None
    """Target mean brightness of the exposure, 0..1 of full scale; None leaves the light unchanged."""
    max_gain: float = 16.0
    """Largest exposure gain on linear light."""
    metering: float = 0.0
    """Weight of the image center against the whole image in the exposure, 0..1."""
    white_balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    saturation: float = 1.0
    contrast: float = 0.0
    """Strength of the tone curve's S shape, 0..1."""
    levels: float = 0.0
    """Contrast stretch: 0 none, 1 until the brightest 3 % are white, above 1 more."""
    shoulder: float = 0.0
    """Softness of the highlight rolloff, 0 (hard clipping) to 1."""
    haze: float = 0.0
    """Fraction of the mean light that the lens scatters over the whole image."""
    bloom: float = 0.0
    """Fraction of the light that spreads around bright areas."""
    vignette: float = 0.0
    """Loss of light in the corners (vignetting), 0..1."""
    distortion: float = 0.0
    """Radial distortion that remains after rectification, of the half diagonal; positive is barrel."""
    shear: float = 0.0
    """Rolling shutter: shift of the last row against the first."""
    flicker: float = 0.0
    """Amplitude of the rolling-shutter brightness bands under mains lamps, 0..1."""
    motion: tuple[float, float] = (0.0, 0.0)
    """Motion of the image (right, down) during the exposure."""
    blur: float = 0.0
    """Standard deviation of the defocus."""
    shot_noise: float = 0.0
    """Noise of full white at gain 1, of full scale; proportional to the roots of light and gain."""
    read_noise: float = 0.0
    """Noise of black at gain 1, of full scale; proportional to the root of the gain."""
    chroma: float = 0.5
    """Fraction of the noise that differs between the color channels, 0..1."""
    sharpening: float = 0.0
    """Strength of the overshoot at edges (sharpening)."""
    jpeg: int = 0
    """JPEG quality, 0 = none."""

    @classmethod
    def random(cls, rng: np.random.Generator, dark: bool = False) -> SensorLook:
        """A random camera and moment; in `dark` places the exposure is lower and the noise higher."""
        target = rng.normal(0.26, 0.09) if dark else rng.normal(0.455, 0.09)
        # Colder or warmer along the daylight locus, and slightly green or pink.
        warm, green = rng.normal(-0.01, 0.08), rng.normal(0.0, 0.035)
        angle = rng.uniform(0, 2 * math.pi)
        path = rng.exponential(1.8) if rng.random() < 0.16 else 0.0
        path = min(path, 7.0)
        noisy = min(math.exp(rng.normal(0.3 if dark else 0.0, 0.55)), 3.0)
        return cls(
            target=float(np.clip(target, 0.12, 0.68)),
            max_gain=float(rng.uniform(3.0, 8.0)),
            metering=float(rng.uniform(0.0, 0.9)),
            white_balance=(math.exp(warm), math.exp(-green), math.exp(-warm)),
            saturation=float(np.clip(rng.normal(0.95, 0.18), 0.3, 1.35)),
            contrast=float(rng.uniform(0.05, 0.6)),
            levels=float(rng.uniform(0.35, 1.3)),
            shoulder=float(rng.uniform(0.0, 1.0)),
            haze=float(max(0.0, rng.uniform(-0.015, 0.09))),
            bloom=float(max(0.0, rng.uniform(-0.06, 0.12))),
            vignette=float(max(0.0, rng.uniform(-0.15, 0.45))),
            distortion=float(rng.normal(0.0, 0.006)) if rng.random() < 0.6 else 0.0,
            shear=float(rng.normal(0.0, 1.5)) if rng.random() < 0.35 else 0.0,
            flicker=float(rng.uniform(0.0, 0.06)) if rng.random() < 0.15 else 0.0,
            motion=(float(path * math.cos(angle)), float(path * math.sin(angle))),
            blur=float(rng.uniform(0.6, 1.2) if rng.random() < 0.05 else max(0.0, rng.uniform(-0.4, 0.35))),
            shot_noise=0.005 * noisy,
            read_noise=0.0004 * noisy,
            chroma=float(rng.uniform(0.1, 0.8)),
            sharpening=float(max(0.0, rng.uniform(-0.3, 0.6))),
            jpeg=int(rng.integers(45, 96)) if rng.random() < 0.6 else 0,
        )


def expose(
    light: np.ndarray, depth: np.ndarray, look: SensorLook, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The camera image of rendered light, and the depth of its pixels.

    Args:
        light: (H, W, 3) float32 RGB 0..255 display values.
        depth: (H, W) float32 meters, NaN = unknown.
        look: the camera.
        rng: draws the noise; the same state gives the same image.

    Returns:
        image (H, W, 3) uint8 RGB, and depth (H, W) float32, distorted by lens and shutter like the image.
    """
    height, width = depth.shape
    unit = width / 256.0
    if look.distortion or look.shear:
        light, depth = _bend(light, depth, look.distortion, look.shear * unit)
    root = light * np.float32(1.0 / 255.0)
    linear = root * root
    if look.motion != (0.0, 0.0):
        linear = _drag(linear, look.motion[0] * unit, look.motion[1] * unit)
    if look.blur > 0.15:
        linear = cv2.GaussianBlur(linear, (0, 0), look.blur * unit)
    linear = cv2.transform(linear, _color_matrix(look))
    if look.haze:
        linear = linear * np.float32(1.0 - look.haze) + np.float32(look.haze) * linear.mean((0, 1))
    falloff = _falloff(height, width, look, rng)
    if falloff is not None:
        linear *= falloff[..., None]
    curve = _tone_curve(look)
    gain = 1.0 if look.target is None else _gain(linear, look, curve)
    linear *= np.float32(gain)
    if look.levels:
        curve = _spread(curve, linear, look.levels)
    if look.bloom:
        linear = _spill(linear, look.bloom)
    if look.shot_noise or look.read_noise:
        linear += _noise(linear, gain, look, rng)
    np.clip(linear, 0.0, _SHOULDER**2, out=linear)
    cv2.sqrt(linear, linear)
    image = curve[(linear * np.float32(_CURVE / _SHOULDER) + np.float32(0.5)).astype(np.uint16)]
    if look.sharpening:
        soft = cv2.GaussianBlur(image, (0, 0), 0.7 * unit)
        image = cv2.addWeighted(image, 1.0 + look.sharpening, soft, -look.sharpening, 0.0)
    picture = np.clip(image + np.float32(0.5), 0, 255).astype(np.uint8)
    if look.jpeg:
        coded = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, look.jpeg])[1]
        picture = np.ascontiguousarray(cv2.imdecode(coded, cv2.IMREAD_COLOR)[..., ::-1])
    return picture, depth


def bent_grid(height: int, width: int, distortion: float, shear: float) -> tuple[np.ndarray, np.ndarray]:
    """Source coordinates of each pixel of a distorted image: x and y (H, W) float32 pixels, always inside.

    distortion: SensorLook.distortion. shear: shift of the last row against the first, pixels.
    """
    x = (np.arange(width, dtype=np.float32) - (width - 1) / 2)[None, :]
    y = (np.arange(height, dtype=np.float32) - (height - 1) / 2)[:, None]
    corner = (width * width + height * height) / 4.0
    factor = 1.0 + distortion * ((x * x + y * y) / corner - 1.0)
    along, down = x * factor, y * factor * np.ones_like(x)
    along = along + shear * y / height
    # Zoom in so that no source is outside.
    over = max(np.abs(along).max() / ((width - 1) / 2), np.abs(down).max() / ((height - 1) / 2), 1.0)
    return (
        (along / over + (width - 1) / 2).astype(np.float32),
        (down / over + (height - 1) / 2).astype(np.float32),
    )


def _bend(
    light: np.ndarray, depth: np.ndarray, distortion: float, shear: float
) -> tuple[np.ndarray, np.ndarray]:
    height, width = depth.shape
    x, y = bent_grid(height, width, distortion, shear)
    bent = cv2.remap(light, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    # Nearest: a mean of near and far would be a distance where nothing is.
    return bent, cv2.remap(depth, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)


def _drag(linear: np.ndarray, right: float, down: float) -> np.ndarray:
    """Mean of the image along a straight path centered at its position."""
    reach = max(abs(right), abs(down))
    if reach < 0.5:
        return linear
    half = math.ceil(reach / 2)
    size = 2 * half + 1
    kernel = np.zeros((size, size), np.float32)
    steps = 4 * size
    for t in np.linspace(-0.5, 0.5, steps):
        u, v = half + t * right, half + t * down
        i, j = min(int(v), size - 2), min(int(u), size - 2)
        a, b = v - i, u - j
        kernel[i : i + 2, j : j + 2] += np.outer((1 - a, a), (1 - b, b))
    return cv2.filter2D(linear, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)


def _color_matrix(look: SensorLook) -> np.ndarray:
    gray = np.array([0.30, 0.59, 0.11])
    mix = look.saturation * np.eye(3) + (1.0 - look.saturation) * gray[None, :]
    balance = np.asarray(look.white_balance) / float(gray @ look.white_balance)
    return (balance[:, None] * mix).astype(np.float32)


def _falloff(height: int, width: int, look: SensorLook, rng: np.random.Generator) -> np.ndarray | None:
    """Fraction of the light at each pixel (H, W) float32: vignetting and mains bands; None without both."""
    if not (look.vignette or look.flicker):
        return None
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    share = 1.0 - np.float32(look.vignette * 0.5) * (y * y + x * x)
    if look.flicker:
        bands, phase = rng.uniform(0.6, 3.0), rng.uniform(0, 2 * math.pi)
        share = share * (1.0 + np.float32(look.flicker) * np.sin(math.pi * bands * y + phase))
    return share.astype(np.float32)


def _tone_curve(look: SensorLook) -> np.ndarray:
    """Display value 0..255 (1024,) float32 for the root of linear light from 0 to _SHOULDER."""
    root = np.linspace(0.0, _SHOULDER, _CURVE + 1)
    knee = 1.0 - 0.35 * look.shoulder
    # Above the knee, a parabola that reaches white with zero slope, beyond the point where hard clipping
    # starts.
    end = min(_SHOULDER, knee + 2.0 * (1.0 - knee))
    soft = root.copy()
    if end > knee:
        t = np.clip((root - knee) / (end - knee), 0.0, 1.0)
        soft = np.where(root > knee, knee + (1.0 - knee) * (2.0 * t - t * t), root)
    value = np.minimum(soft, 1.0)
    s_shaped = value * value * (3.0 - 2.0 * value)
    return (255.0 * ((1.0 - look.contrast) * value + look.contrast * s_shaped)).astype(np.float32)


def _gain(linear: np.ndarray, look: SensorLook, curve: np.ndarray) -> float:
    """The gain at which the image's mean meets the target, within the camera's limits."""
    small = linear[4::8, 4::8]
    h, w = small.shape[:2]
    y, x = np.linspace(-1, 1, h)[:, None], np.linspace(-1, 1, w)[None, :]
    weight = (1.0 - look.metering) + look.metering * np.exp(-2.0 * (x * x + y * y))
    weight = (weight / weight.sum()).ravel()
    luminance = np.sqrt(np.maximum(small @ np.array([0.30, 0.59, 0.11], np.float32), 0.0)).ravel()
    low, high = 0.15, look.max_gain
    for _ in range(12):
        gain = math.sqrt(low * high)
        index = np.minimum(luminance * (math.sqrt(gain) * _CURVE / _SHOULDER), _CURVE).astype(np.int32)
        if float(weight @ curve[index]) < 255.0 * look.target:  # pyright: ignore[reportOperatorIssue]
            low = gain
        else:
            high = gain
    return math.sqrt(low * high)


def _spread(curve: np.ndarray, linear: np.ndarray, share: float) -> np.ndarray:
    """The curve with more contrast around the image's mean, as far as the image's range allows."""
    luminance = np.sqrt(np.maximum(linear[4::8, 4::8] @ np.array([0.30, 0.59, 0.11], np.float32), 0.0))
    values = curve[np.minimum(luminance * (_CURVE / _SHOULDER), _CURVE).astype(np.int32)]
    mean, bright = float(values.mean()), float(np.percentile(values, 97.0 - 40.0 * max(share - 1.0, 0.0)))
    room = float(np.clip((254.0 - mean) / max(bright - mean, 1.0), 1.0, 2.0))
    stretch = min(share, 1.0) * (room - 1.0)
    # Shadows change less than highlights, because they would turn black.
    slope = np.where(curve > mean, 1.0 + stretch, 1.0 + 0.2 * stretch)
    return np.clip(mean + slope * (curve - mean), 0.0, 255.0).astype(np.float32)


def _spill(linear: np.ndarray, share: float) -> np.ndarray:
    """Let bright areas spread over their edges."""
    height, width = linear.shape[:2]
    small = cv2.resize(np.minimum(linear, 4.0), (width // 8, height // 8), interpolation=cv2.INTER_AREA)
    glow = cv2.resize(cv2.GaussianBlur(small, (0, 0), 1.6), (width, height), interpolation=cv2.INTER_LINEAR)
    return linear + np.float32(share) * (glow - linear * np.float32(share))


def _noise(linear: np.ndarray, gain: float, look: SensorLook, rng: np.random.Generator) -> np.ndarray:
    """Shot and read noise (H, W, 3) float32 for light after a gain."""
    height, width = linear.shape[:2]
    grain = rng.standard_normal((height, width, 3), dtype=np.float32)
    shared = grain[..., 1:2]
    share = np.float32(look.chroma)
    grain = share * grain + np.float32(math.sqrt(1.0 - look.chroma**2)) * shared
    # Cameras smooth their noise when they interpolate colors and downscale the image.
    grain = 1.5 * cv2.GaussianBlur(grain, (0, 0), 0.55)
    variance = np.maximum(linear, 0.0) * np.float32(gain * look.shot_noise**2)
    variance += np.float32(gain * look.read_noise**2)
    return grain * cv2.sqrt(variance)
