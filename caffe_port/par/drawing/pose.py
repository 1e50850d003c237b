"""How a person stands: a skeleton in three dimensions and the view that projects it.

Body coordinates: l towards the person's own left, y down from the top of the head, f forward; the unit is an adult's
height. The projection is parallel with a slight look down (`tilt`), as from a camera above: what is nearer to the
viewer stands lower. Left and right are the person's own, whatever the view.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from caffe_port.par.drawing.people import Person

LEFT, RIGHT = 1, -1


@dataclass(frozen=True)
class View:
    """Body coordinates to pixels. `yaw` in radians: 0 faces the viewer, pi/2 the left side of the picture."""

    yaw: float
    tilt: float
    scale: float
    x0: float
    y0: float

    @property
    def sin(self) -> float:
        return math.sin(self.yaw)

    @property
    def cos(self) -> float:
        return math.cos(self.yaw)

    def depth(self, l, f):  # noqa: E741 - l is the axis' name
        """Nearness to the viewer."""
        return l * self.sin + f * self.cos

    def at(self, l, y, f) -> np.ndarray:  # noqa: E741
        """Points (..., 2) in pixels."""
        x = self.x0 + self.scale * (l * self.cos - f * self.sin)
        return np.array((x, self.y0 + self.scale * (y + self.tilt * self.depth(l, f)))).T

    def point(self, p: np.ndarray) -> np.ndarray:
        """One point (2,) in pixels."""
        l, y, f = p.tolist()  # noqa: E741 - plain numbers are much faster here
        return self.at(l, y, f)


@dataclass
class Build:
    """Proportions. Heights are from the top of the head, widths are half widths."""

    head: float = 0.078  # half the head's height
    shoulder_y: float = 0.198
    shoulder: float = 0.108
    chest: float = 0.088
    waist_y: float = 0.385
    waist: float = 0.074
    hip_y: float = 0.50
    hip: float = 0.083
    depth: float = 0.060
    thigh: float = 0.232
    shin: float = 0.225
    upper_arm: float = 0.150
    fore_arm: float = 0.135
    arm_r: float = 0.026
    leg_r: float = 0.040


@dataclass
class Skeleton:
    build: Build
    hip: dict[int, np.ndarray] = field(default_factory=dict)
    knee: dict[int, np.ndarray] = field(default_factory=dict)
    ankle: dict[int, np.ndarray] = field(default_factory=dict)
    toe: dict[int, np.ndarray] = field(default_factory=dict)
    shoulder: dict[int, np.ndarray] = field(default_factory=dict)
    elbow: dict[int, np.ndarray] = field(default_factory=dict)
    wrist: dict[int, np.ndarray] = field(default_factory=dict)
    role: dict[int, str] = field(default_factory=dict)  # what each hand does
    ground: float = 1.0  # y of the lowest sole
    lean: float = 0.0  # forward shift of the shoulders


def make_build(person: Person, rng: np.random.Generator) -> Build:
    b = Build()
    stout = float(rng.normal(1.0, 0.07))
    if person.Child:
        b.head, b.shoulder_y, b.shoulder, b.chest = 0.098, 0.235, 0.094, 0.082
        b.waist_y, b.waist, b.hip_y, b.hip = 0.42, 0.078, 0.53, 0.08
        b.thigh, b.shin, b.upper_arm, b.fore_arm, b.arm_r, b.leg_r = 0.21, 0.205, 0.135, 0.12, 0.025, 0.038
    elif person.Female:
        b.shoulder, b.chest, b.waist, b.hip, b.arm_r, b.leg_r = 0.092, 0.078, 0.059, 0.086, 0.021, 0.037
        b.depth, b.waist_y = 0.054, 0.37
    for name in ("chest", "waist", "hip", "depth", "leg_r", "arm_r"):
        setattr(b, name, getattr(b, name) * max(0.88, min(1.2, stout)))
    return b


def make_skeleton(person: Person, view_yaw: float, rng: np.random.Generator) -> Skeleton:
    """The person's pose: a step (wide or small) with arms swinging against the legs, and what the hands hold."""
    s = Skeleton(make_build(person, rng))
    lead = LEFT if rng.random() < 0.5 else RIGHT
    wide = person.WideStep
    stride = math.radians(rng.uniform(30, 42) if wide else rng.uniform(2, 15))
    s.lean = rng.uniform(0.03, 0.06) if wide else rng.uniform(-0.008, 0.015)
    for side in (LEFT, RIGHT):
        _leg(s, side, side == lead, stride, wide, rng)
    # The pelvis stays at hip_y; the sole of the lower foot is the ground.
    s.ground = max(s.toe[side][1] for side in (LEFT, RIGHT)) + 0.02
    _arms(s, person, view_yaw, lead, stride, wide, rng)
    return s


def _leg(s: Skeleton, side: int, forward: bool, stride: float, wide: bool, rng: np.random.Generator) -> None:
    b = s.build
    swing = stride * (1.0 if forward else -0.85)
    bend = math.radians(rng.uniform(8, 28) if forward else rng.uniform(38, 80)) if wide else stride * 0.5
    if not wide and forward:
        bend *= 0.5
    spread = rng.uniform(0.01, 0.05)
    hip = np.array([side * b.hip * 0.55, b.hip_y, 0.0])
    knee = hip + b.thigh * _direction(side, spread, swing)
    ankle = knee + b.shin * _direction(side, spread * 0.5, swing - bend)
    pitch = (swing - bend) * (0.55 if forward else 0.9)
    s.hip[side], s.knee[side], s.ankle[side] = hip, knee, ankle
    reach = 0.068
    s.toe[side] = ankle + reach * np.array([side * 0.22, 0.12 - math.sin(pitch) * 0.9, math.cos(pitch)])
    s.toe[side][1] += 0.014


def _direction(side: int, out: float, swing: float) -> np.ndarray:
    """Unit vector hanging down, swung forward by `swing` and outward by `out` (radians)."""
    return np.array([side * math.sin(out), math.cos(out) * math.cos(swing), math.cos(out) * math.sin(swing)])


def _arms(
    s: Skeleton, person: Person, yaw: float, lead: int, stride: float, wide: bool, rng: np.random.Generator
) -> None:
    b = s.build
    near = LEFT if math.sin(yaw) > 0 else RIGHT
    first = near if abs(math.sin(yaw)) > 0.35 or rng.random() < 0.5 else -near
    hands = [first, -first]
    # The call and the bag want to be seen: they take the near hand first.
    tasks = [n for n in ("Calling", "HandBag", "Suitcase", "Umbrella") if getattr(person, n)]
    s.role = {side: (tasks[i] if i < len(tasks) else "") for i, side in enumerate(hands)}
    for side in (LEFT, RIGHT):
        shoulder = np.array([side * b.shoulder * 0.9, b.shoulder_y + 0.018, s.lean])
        s.shoulder[side] = shoulder
        role = s.role[side]
        if role == "Calling":
            target = np.array([side * (b.head * 0.86), b.head * 1.28, s.lean + 0.03])
            _reach(s, side, target, np.array([side * 0.7, 0.6, 0.25]))
        elif role == "Umbrella":
            target = shoulder + np.array([-side * 0.02, 0.075, 0.13])
            _reach(s, side, target, np.array([side * 0.5, 1.0, -0.3]))
        elif role == "Suitcase":
            _swing(s, side, -0.32, 0.1, 0.08)
        elif role == "HandBag":
            if rng.random() < 0.45:  # in the crook of the arm
                _swing(s, side, 0.1, 0.14, 1.5)
            else:
                _swing(s, side, rng.uniform(-0.1, 0.15), 0.14, 0.12)
        elif not wide and rng.random() < 0.1:  # a hand on the hip
            _reach(s, side, np.array([side * b.hip * 1.05, b.waist_y + 0.04, 0.03]), np.array([side, 0.0, -0.4]))
        else:
            counter = -1.0 if side == lead else 1.0
            swing = counter * (stride * 1.05 if wide else stride * 1.3) + rng.normal(0, 0.06)
            bend = rng.uniform(0.9, 1.6) if wide else rng.uniform(0.08, 0.35)
            _swing(s, side, swing, rng.uniform(0.07, 0.2), bend)


def _swing(s: Skeleton, side: int, swing: float, out: float, bend: float) -> None:
    s.elbow[side] = s.shoulder[side] + s.build.upper_arm * _direction(side, out, swing)
    s.wrist[side] = s.elbow[side] + s.build.fore_arm * _direction(side, -out * 0.3, swing + bend)


def _reach(s: Skeleton, side: int, target: np.ndarray, pole: np.ndarray) -> None:
    """Bend the arm so that the wrist is at `target`, with the elbow towards `pole`."""
    a, b = s.build.upper_arm, s.build.fore_arm
    start = s.shoulder[side]
    along = target - start
    distance = float(np.linalg.norm(along))
    along = along / distance
    distance = min(distance, (a + b) * 0.999)
    x = (a * a - b * b + distance * distance) / (2 * distance)
    aside = pole - along * float(pole @ along)
    aside = aside / float(np.linalg.norm(aside))
    s.elbow[side] = start + along * x + aside * math.sqrt(max(a * a - x * x, 0.0))
    s.wrist[side] = start + along * distance
