"""Colours and cuts that follow no label of their own, and those that carry one (DarkTop, Jeans, shoes)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from caffe_port.par.drawing.canvas import Colour
from caffe_port.par.drawing.head import Looks
from caffe_port.par.drawing.people import Person

_SKIN = ((250, 214, 190), (238, 194, 160), (224, 172, 132), (198, 142, 100), (150, 100, 68), (106, 70, 48))
_HAIR = ((28, 22, 22), (52, 34, 26), (90, 58, 36), (136, 88, 46), (206, 162, 96), (150, 60, 36), (150, 150, 152))
_DARK = ((32, 34, 42), (44, 34, 36), (26, 40, 66), (40, 56, 44), (62, 30, 40), (58, 50, 46), (24, 24, 26))
_BRIGHT = (
    (222, 74, 68), (240, 164, 60), (246, 214, 88), (116, 186, 110), (86, 160, 210), (150, 120, 200), (236, 140, 176),
    (238, 236, 228), (206, 198, 186), (120, 200, 196), (180, 92, 70), (226, 226, 236),
)  # fmt: skip
_JEANS = ((58, 84, 132), (84, 112, 160), (40, 58, 96), (120, 146, 188))
_CLOTH = ((40, 40, 46), (84, 78, 72), (132, 116, 92), (176, 160, 132), (70, 84, 70), (96, 98, 108), (60, 44, 40))
_LEATHER = ((24, 20, 20), (74, 42, 26), (44, 28, 22))
_BOOTS = ((34, 28, 28), (96, 60, 34), (60, 40, 30), (120, 90, 62), (70, 24, 28))


@dataclass(frozen=True)
class Wardrobe:
    looks: Looks
    skin: Colour
    top: Colour  # shirt, dress or jumpsuit
    stripe: Colour
    outer: Colour  # coat, jacket or suit
    bottom: Colour
    shoe: Colour
    sole: Colour
    sock: Colour
    scarf: Colour
    glove: Colour
    bag: Colour
    umbrella: tuple[Colour, Colour]
    hem: float  # length of skirt, dress, shorts or coat within its range, 0..1
    flare: float
    tights: Colour | None


def pick_wardrobe(person: Person, rng: np.random.Generator) -> Wardrobe:
    def of(colours: tuple[Colour, ...]) -> Colour:
        """One of the colours, a little off, so that no exact value repeats."""
        base = np.array(colours[int(rng.integers(len(colours)))])
        r, g, b = np.clip(base + rng.normal(0, 7, 3), 0, 255).astype(int).tolist()
        return r, g, b

    worn = of(_DARK if person.DarkTop else _BRIGHT)
    covered = person.Coat or person.Jacket or person.Suit
    under = of(_BRIGHT)
    if person.Suit:
        under = (236, 236, 240) if rng.random() < 0.7 else (176, 200, 228)
    bottom = of(_JEANS) if person.Jeans else of(_CLOTH)
    if person.Suit:
        bottom = worn
    elif person.Skirt or (person.Shorts and rng.random() < 0.5):
        bottom = of(_BRIGHT + _DARK)
    stripe = of(_DARK) if sum(under if covered else worn) > 330 else (240, 240, 236)
    shoe, sole = of(_CLOTH), (90, 84, 80)
    if person.Boots:
        shoe, sole = of(_BOOTS), (26, 22, 22)
    elif person.LeatherShoes:
        shoe, sole = of(_LEATHER), (16, 14, 14)
    elif person.Sneakers:
        shoe, sole = of(_BRIGHT), (250, 250, 250)
    hair = of(_HAIR[:5] if person.Child else _HAIR)
    hat_kind = ("beanie", "cap", "brim")[int(rng.choice(3, p=(0.5, 0.25, 0.25) if person.Coat else (0.25, 0.45, 0.3)))]
    skin = of(_SKIN)
    looks = Looks(
        skin=skin, hair=hair, hat=of(_BRIGHT + _DARK), hat_kind=hat_kind,
        beard=bool(rng.random() < 0.22) and not person.Female and not person.Child, fringe=float(rng.uniform(0, 14)),
    )  # fmt: skip
    umbrella = of(_BRIGHT + _DARK)
    return Wardrobe(
        looks=looks, skin=skin, top=under if covered else worn, stripe=stripe, outer=worn, bottom=bottom,
        shoe=shoe, sole=sole, sock=of(_BRIGHT), scarf=of(_BRIGHT), glove=of(_DARK + _BRIGHT), bag=of(_BRIGHT + _CLOTH),
        umbrella=(umbrella, of(_BRIGHT) if rng.random() < 0.5 else umbrella),
        hem=float(rng.random()), flare=float(rng.uniform(0.7, 1.5)),
        tights=of(_DARK) if person.season == 2 and rng.random() < 0.6 else None,
    )  # fmt: skip
