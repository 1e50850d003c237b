"""Times of the variants: what is measured, and where the paper's figures stand beside it."""

from __future__ import annotations

from caffe_port.par.timing import Timing, table, time_variants


def test_small_nets_are_timed() -> None:
    found = time_variants(("baseline", "mtms_att"), (1, 2), repeats=2, warmup=0, width=2, size=(32, 16))
    assert [(t.variant, t.batch) for t in found] == [("baseline", 1), ("baseline", 2), ("mtms_att", 1), ("mtms_att", 2)]
    assert all(0 < t.fastest <= t.median <= t.slowest for t in found)
    assert found[0].macs < found[2].macs and found[0].parameters == found[1].parameters


def test_table() -> None:
    timings = [Timing(v, 1, t, t - 1, t + 1, 10, 10**9, None) for v, t in (("baseline", 10.0), ("mtms_att", 14.0))]
    shown = table(timings, "a machine")
    assert "17.55 (GTX 1080 Ti)" in shown and "1.40; the paper: 1.29" in shown
    assert "1080" not in table(timings, "a machine", full_size=False)
