"""One drawn pedestrian: (seed, index, size) to a picture, its labels and its attributes."""

from __future__ import annotations

import math

import numpy as np

from caffe_port.par.drawing.canvas import Canvas
from caffe_port.par.drawing.figure import paint_figure
from caffe_port.par.drawing.people import Person, draw_person
from caffe_port.par.drawing.pose import View, make_skeleton
from caffe_port.par.drawing.scene import draw_background, drop_shadow, light, occlude
from caffe_port.par.drawing.wardrobe import pick_wardrobe

OCCLUDED = 0.25  # share of the pictures where something stands before the person


def person_of(seed: int, index: int) -> Person:
    """Who is in picture `index`; costs nothing, so labels can be counted without drawing."""
    return draw_person(np.random.default_rng([seed, index, 0]))


def draw(seed: int, index: int, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(picture uint8 (H, W, 3) RGB, segmentation uint8 (H, W), attributes uint8 (30,)), the same for the same numbers.

    The person, the pose and the place depend on seed and index only; another size shows the same scene with
    other noise.
    """
    height, width = size
    person = person_of(seed, index)
    rng = np.random.default_rng([seed, index, 1])
    wardrobe = pick_wardrobe(person, rng)
    skeleton = make_skeleton(person, math.radians(person.yaw), rng)
    factor = 4 if height <= 160 else 3 if height <= 256 else 2

    top = 0.29 if person.Umbrella else 0.02  # room above the head, in body heights
    tall = skeleton.ground + top
    share = rng.uniform(0.80, 0.97)
    tilt = rng.uniform(0.05, 0.2)
    sideways = abs(math.sin(math.radians(person.yaw)))
    reach = max(0.5, 0.6 * (person.Suitcase or person.Umbrella), (0.52 + 0.32 * sideways) * person.WideStep)
    scale = min(share * height / tall, width / reach * 0.98) * factor
    slack = height * factor - tall * scale
    y0 = top * scale + slack * rng.uniform(0.25, 0.75)
    x0 = width * factor * (0.5 + rng.uniform(-0.07, 0.07))
    view = View(math.radians(person.yaw), tilt, scale, x0, y0)
    foot = y0 + skeleton.ground * scale

    background = draw_background(height, width, foot / factor, rng)
    unit = scale / factor
    background = drop_shadow(background, x0 / factor, foot / factor, 0.2 * unit, 0.035 * unit, rng.uniform(0.2, 0.6))
    canvas = Canvas(background, factor)
    paint_figure(canvas, view, skeleton, person, wardrobe)
    if rng.random() < OCCLUDED:
        occlude(canvas, x0, y0, foot, rng)
    return light(canvas.picture(), rng), canvas.labels(), person.vector
