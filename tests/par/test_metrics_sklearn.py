"""The measures against scikit-learn's, where it has them and is there."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_port.par.metrics import Confusion, evaluate_attributes

sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is an independent check, not a requirement")


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.8])
def test_attributes(rate) -> None:
    random = np.random.default_rng(7)
    truth = (random.random((200, 11)) < rate).astype(np.uint8)
    probabilities = np.clip(truth * 0.3 + random.random(truth.shape) * 0.7, 0, 1)
    says = (probabilities > 0.5).astype(int)
    result = evaluate_attributes(probabilities, truth, [str(i) for i in range(11)])
    balanced = [
        sklearn.balanced_accuracy_score(truth[:, i], says[:, i]) for i in range(11) if 0 < truth[:, i].sum() < 200
    ]
    options = {"average": "samples", "zero_division": 0}
    assert result.mA == pytest.approx(np.mean(balanced))
    assert result.accuracy == pytest.approx(sklearn.jaccard_score(truth, says, **options))
    assert result.precision == pytest.approx(sklearn.precision_score(truth, says, **options))
    assert result.recall == pytest.approx(sklearn.recall_score(truth, says, **options))
    for i, row in enumerate(result.attributes):
        if truth[:, i].any() and says[:, i].any():
            assert row.f1 == pytest.approx(sklearn.f1_score(truth[:, i], says[:, i]))


def test_segmentation() -> None:
    random = np.random.default_rng(8)
    truth, predicted = random.integers(0, 5, (3, 20, 10)), random.integers(0, 5, (3, 20, 10))
    confusion = Confusion(list("abcde"))
    confusion.add(truth, predicted)
    result = confusion.result()
    np.testing.assert_array_equal(confusion.counts, sklearn.confusion_matrix(truth.ravel(), predicted.ravel()))
    assert result.mean_iou == pytest.approx(sklearn.jaccard_score(truth.ravel(), predicted.ravel(), average="macro"))
    assert result.pixel_accuracy == pytest.approx(sklearn.accuracy_score(truth.ravel(), predicted.ravel()))
    assert result.mean_class_accuracy == pytest.approx(
        sklearn.balanced_accuracy_score(truth.ravel(), predicted.ravel())
    )
