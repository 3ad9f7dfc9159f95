from __future__ import annotations

import pytest
from matplotlib.image import imread
from matplotlib.transforms import Bbox

from depo_lightning.errors import MachineError
from depo_lightning.evaluation import plotting
from depo_lightning.evaluation.figures import success_figure, write_success_figure
from depo_lightning.evaluation.metrics import summarise
from depo_lightning.evaluation.paired import policy_results


def entry(tokens, success, n=300):
    metrics = {
        "tokens_all": {"mean": tokens, "se": 6.0, "n": n},
        "success_rate": {"mean": success, "se": 0.026, "n": n},
    }
    return {"label": "", "metrics": metrics, "counts": {}, "timing": {}, "difference_to_bc": None}


@pytest.fixture
def crowded():
    """Policies nearly on top of each other, as they are when a sweep changes little."""
    places = {"bc": (219, 0.746), "filtered_bc": (66, 0.816), "kto": (258, 0.707), "depo": (255, 0.726)}
    places |= {"margin": (258, 0.722), "weight": (247, 0.70), "sft_on_desirable": (252, 0.715)}
    return {"policies": {name: entry(*place) for name, place in places.items()}}


def labels_of(figure):
    axes = figure.axes[0]
    renderer = figure.canvas.get_renderer()
    return {text.get_text(): text.get_window_extent(renderer) for text in axes.texts if text.get_text()}


def test_every_policy_is_labelled_and_no_label_covers_another(crowded):
    figure = success_figure(crowded)
    labels = labels_of(figure)
    assert {"BC", "filtered BC", "KTO", "DEPO", "margin", "weight", "sft on desirable"} == set(labels)
    boxes = list(labels.values())
    assert not [1 for i, a in enumerate(boxes) for b in boxes[:i] if Bbox.intersection(a, b) is not None]
    frame = figure.bbox
    assert all(frame.x0 <= b.x0 and b.x1 <= frame.x1 and frame.y0 <= b.y0 and b.y1 <= frame.y1 for b in boxes)


def test_bars_are_drawn_to_1_96_standard_errors(crowded):
    figure = success_figure({"policies": {"bc": crowded["policies"]["bc"]}})
    _, _, bars = figure.axes[0].containers[0].lines
    (horizontal,), (vertical,) = (bar.get_segments() for bar in bars)
    assert horizontal[:, 0] == pytest.approx([219 - 1.96 * 6, 219 + 1.96 * 6])
    assert vertical[:, 1] == pytest.approx([0.746 - 1.96 * 0.026, 0.746 + 1.96 * 0.026])
    assert "1.96 standard errors over 300 episodes" in figure._supxlabel.get_text()


def test_policies_keep_their_looks_and_share_none():
    all_seven = ["bc", "filtered_bc", "kto", "depo", "margin", "weight", "other"]
    looks = plotting.looks(all_seven)
    assert len({look.colour for look in looks.values()}) == len({look.marker for look in looks.values()}) == 7
    assert plotting.looks(["depo"])["depo"] == looks["depo"]


def test_png_is_written_whole_and_the_same_twice(crowded, tmp_path):
    first = write_success_figure(crowded, tmp_path / "a.png")
    second = write_success_figure(crowded, tmp_path / "b.png")
    assert first.read_bytes() == second.read_bytes()
    height, width, _ = imread(first).shape
    assert (width, height) == (1120, 740)  # 5.6 by 3.7 inches at 200 dots per inch
    assert {p.name for p in tmp_path.iterdir()} == {"a.png", "b.png"}


def test_a_policy_without_episodes_is_left_out(crowded):
    crowded["policies"]["depo"] = policy_results(summarise([]))
    assert "DEPO" not in labels_of(success_figure(crowded))
    assert labels_of(success_figure({"policies": {"depo": policy_results(summarise([]))}})) == {}


def test_unwritable_target_is_the_machines_fault(crowded, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MachineError):
        write_success_figure(crowded, tmp_path / "file" / "a.png")
