"""Who is drawn: the ancestral model of the drawn pedestrians' attributes.

Every attribute is drawn given those above it (its parents stand in its line of `draw_person`), so that the set is
imbalanced and correlated as real ones are: long hair with skirts and dresses, boots with skirts and coats, suits with
leather shoes and men, hats, scarves and gloves with coats and cold days, sunglasses, shorts and short sleeves with warm
ones. Two causes are hidden, the season and the view. Whatever is labelled can be seen unless something hides it:
sunglasses are never given to someone seen from behind, a short sleeve never lies under a jacket, and nobody holds more
than two hands can.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ATTRIBUTES = (
    "Female", "Child", "LongHair", "Hat", "Sunglasses", "Scarf", "Gloves",
    "Coat", "Jacket", "Suit", "Dress", "Skirt", "Jumpsuit", "Shorts", "LongTrousers", "Jeans",
    "ShortSleeve", "StripedTop", "DarkTop", "Boots", "LeatherShoes", "Sneakers", "Socks",
    "Backpack", "ShoulderBag", "HandBag", "Suitcase", "Umbrella", "Calling", "WideStep",
)  # fmt: skip

# Look-Into-Person's classes, in its order.
CLASSES = (
    "background", "hat", "hair", "glove", "sunglasses", "upper-clothes", "dress", "coat", "socks", "pants",
    "jumpsuits", "scarf", "skirt", "face", "left-arm", "right-arm", "left-leg", "right-leg", "left-shoe", "right-shoe",
)  # fmt: skip

_WARM, _MILD, _COLD = 0, 1, 2
# Share of each outfit by season, for men and for women; the rest wears trousers.
_OUTFITS = {
    False: {"Suit": (0.09, 0.12, 0.11), "Jumpsuit": (0.04, 0.04, 0.03), "Shorts": (0.36, 0.05, 0.01)},
    True: {
        "Suit": (0.03, 0.04, 0.03), "Dress": (0.28, 0.15, 0.09), "Skirt": (0.24, 0.20, 0.14),
        "Jumpsuit": (0.06, 0.06, 0.04), "Shorts": (0.17, 0.03, 0.0),
    },
}  # fmt: skip


@dataclass(frozen=True)
class Person:
    """A person's labels and the two hidden causes; `yaw` is the angle of turning, 0 to the viewer, 90 to the left of
    the picture, 180 away."""

    labels: dict[str, bool]
    season: int
    yaw: float

    def __getattr__(self, name: str) -> bool:
        try:
            return self.__dict__["labels"][name]
        except KeyError:
            raise AttributeError(name) from None

    @property
    def vector(self) -> np.ndarray:
        return np.array([self.labels[name] for name in ATTRIBUTES], np.uint8)


def draw_person(rng: np.random.Generator) -> Person:
    """One person. The number of random values taken is the same for everyone, so that one attribute's probability can
    be changed without disturbing who else is drawn."""
    chance = iter(rng.random(64).tolist())

    def yes(p: float) -> bool:
        return next(chance) < p

    season = int(np.searchsorted((0.36, 0.74), next(chance)))
    yaw = _view(next(chance), next(chance))
    away = abs(yaw) > 110
    cold, warm = season == _COLD, season == _WARM
    female, child = yes(0.46), yes(0.07)
    outfit = _outfit(next(chance), female, child, season)
    gown = outfit in ("Dress", "Skirt")
    trousers = outfit in ("Trousers", "Suit")
    coat = yes((0.0, 0.14, 0.48)[season]) and outfit not in ("Suit", "Jumpsuit")
    jacket = yes((0.05, 0.32, 0.5)[season]) and not coat and outfit not in ("Suit", "Dress")
    outer = coat or jacket or outfit == "Suit"
    short = yes((0.85, 0.25, 0.02)[season]) and not outer
    striped = yes(0.24) and not outer and outfit != "Dress"
    dark = yes(0.9 if outfit == "Suit" else 0.55 if outer else 0.3) and not striped
    long_hair = yes((0.88 if gown else 0.6) if female else 0.06)
    hat = yes(0.08 + 0.12 * cold + 0.16 * coat + 0.05 * warm - 0.05 * (outfit == "Suit"))
    sunglasses = yes((0.2, 0.07, 0.03)[season] + 0.05 * hat) and not away and not child
    scarf = yes(0.36 if coat else 0.18 if cold else 0.03 if not warm else 0.0)
    gloves = yes((0.0, 0.03, 0.22)[season] + 0.08 * coat)
    boots = yes(0.1 * female + (0.0, 0.08, 0.2)[season] + 0.2 * (gown and not warm) + 0.15 * coat) and outfit != "Suit"
    leather = yes(0.95 if outfit == "Suit" else 0.3 if coat else 0.12 if trousers else 0.05) and not boots and not child
    sneakers = yes(0.6 if child or outfit == "Shorts" else 0.4 if trousers else 0.2) and not boots and not leather
    socks = yes(0.55 if outfit == "Shorts" else 0.3 if gown else 0.0) and not boots
    backpack = yes(0.4 if child else 0.03 if outfit == "Suit" else 0.2 if sneakers else 0.1)
    shoulder_bag = yes(0.3 if female else 0.13) and not backpack and not child
    jeans = yes(0.45) and outfit == "Trousers"
    hands = 2
    items: dict[str, bool] = {}
    for name, p in (
        ("Umbrella", 0.03 if warm else 0.075),
        ("HandBag", (0.22 if gown or coat else 0.14) if female else 0.05),
        ("Suitcase", 0.1 if outfit == "Suit" or coat else 0.04),
        ("Calling", 0.02 if child else 0.09),
    ):
        items[name] = yes(p) and hands > 0
        hands -= items[name]
    wide = yes(0.35 if child or outfit == "Shorts" else 0.22 if sneakers else 0.1)
    labels = dict(
        Female=female, Child=child, LongHair=long_hair, Hat=hat, Sunglasses=sunglasses, Scarf=scarf, Gloves=gloves,
        Coat=coat, Jacket=jacket, Suit=outfit == "Suit", Dress=outfit == "Dress", Skirt=outfit == "Skirt",
        Jumpsuit=outfit == "Jumpsuit", Shorts=outfit == "Shorts", LongTrousers=trousers, Jeans=jeans,
        ShortSleeve=short, StripedTop=striped, DarkTop=dark, Boots=boots, LeatherShoes=leather, Sneakers=sneakers,
        Socks=socks, Backpack=backpack, ShoulderBag=shoulder_bag, WideStep=wide, **items,
    )  # fmt: skip
    return Person(labels, season, yaw)


def _outfit(u: float, female: bool, child: bool, season: int) -> str:
    for name, shares in _OUTFITS[female].items():
        share = 0.0 if child and name == "Suit" else shares[season]
        if u < share:
            return name
        u -= share
    return "Trousers"


def _view(u: float, v: float) -> float:
    """The yaw in degrees: 46% towards the viewer, 24% away, 30% sideways, each within its range."""
    if u < 0.46:
        return -40 + 80 * v
    if u < 0.70:
        return (180 + (-35 + 70 * v) + 180) % 360 - 180
    side = 90.0 if u < 0.85 else -90.0
    return side - 28 + 56 * v
