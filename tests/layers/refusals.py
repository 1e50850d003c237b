"""What a layer must refuse, as a table: rows of (layer text, bottoms, number of tops, words of the message)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from caffe_port.errors import LayerError
from tests.layers.runner import Case, make

Row = tuple[str, Sequence[Any], int, str]


def refusals(rows: Sequence[Row]) -> Callable[..., None]:
    """The test function of a table: building the net raises a LayerError that names the layer and says `words`."""

    @pytest.mark.parametrize(("layer", "bottoms", "tops", "words"), rows, ids=[row[3] for row in rows])
    def test_refused(layer: str, bottoms: Sequence[Any], tops: int, words: str) -> None:
        with pytest.raises(LayerError, match=words) as caught:
            make(Case("refused", layer, bottoms, tops=tops))
        assert "layer 'l'" in str(caught.value)

    return test_refused
