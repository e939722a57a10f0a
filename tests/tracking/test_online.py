"""The tracker with a scripted network: what it does with detections, frame by frame."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from vistrials.formats import rle
from vistrials.models.box_head import Detections
from vistrials.models.track_head import match_scores
from vistrials.specs.inference import InferenceSpec
from vistrials.specs.model import PropagationSpec
from vistrials.structures.frames import Frame
from vistrials.tracking.online import OnlineTracker, track_video

SIZE = (32, 64)


class ScriptedNetwork(torch.nn.Module):
    """Detects what the script says: per frame a list of (x1, label, score) of 10 x 10 boxes at the top."""

    def __init__(self, script: list[list[tuple[int, int, float]]], propagation: SimpleNamespace | None = None) -> None:
        super().__init__()
        self.anything = torch.nn.Parameter(torch.zeros(1))
        self.script = script
        self.frame = -1
        self.neck = None
        self.propagation = propagation

    def pyramid(self, image: Tensor) -> list[Tensor]:
        self.frame += 1
        return [torch.zeros(1, 1, 8, 16)]

    def detect(self, levels, image_size, scale, spec, previous) -> Detections:
        rows = self.script[self.frame]
        boxes = torch.tensor([[x, 0, x + 9, 9] for x, _, _ in rows], dtype=torch.float32).reshape(-1, 4)
        return Detections(
            boxes, torch.tensor([s for _, _, s in rows]), torch.tensor([label for _, label, _ in rows]).long()
        )

    def embed(self, levels, boxes) -> Tensor:
        return torch.ones(len(boxes), 2)

    def match_scores(self, embeddings, memory) -> Tensor:
        return match_scores(embeddings, memory, normalised=True)

    def mask_probs(self, levels, boxes, labels) -> Tensor:
        return torch.ones(len(boxes), 4, 4)


def constant_propagation(history_frames: int = 24) -> SimpleNamespace:
    """A head that finds every lost object, with probability 1 in the left half of the padded frame."""

    def propagate(key, reference, boxes, labels) -> Tensor:
        probs = torch.zeros(len(boxes), 32, 64)
        probs[:, :, :32] = 1
        return probs

    spec = PropagationSpec(history_frames=history_frames)
    return SimpleNamespace(spec=spec, extract=lambda levels: torch.zeros(1, 1, 4, 8), propagate=propagate)


def frames(count: int) -> list[Frame]:
    return [Frame(torch.zeros(3, *SIZE), 1.0, SIZE) for _ in range(count)]


def steps(network: ScriptedNetwork, spec: InferenceSpec | None = None) -> list[dict]:
    tracker = OnlineTracker(network, spec or InferenceSpec())
    return [tracker.step(frame) for frame in frames(len(network.script))]


def test_an_object_keeps_its_id_and_a_distant_one_of_another_label_gets_a_new_one() -> None:
    found = steps(ScriptedNetwork([[(0, 1, 0.9)], [(2, 1, 0.9), (50, 2, 0.9)]]))
    assert [list(objects) for objects in found] == [[0], [0, 1]]
    assert found[1][0].box.tolist() == [2, 0, 11, 9]


def test_frames_without_detections_before_the_first_leave_ids_to_start_at_0() -> None:
    found = steps(ScriptedNetwork([[], [(0, 1, 0.9), (30, 1, 0.9)]]))
    assert [list(objects) for objects in found] == [[], [0, 1]]


def test_memory_survives_an_empty_frame() -> None:
    found = steps(ScriptedNetwork([[(0, 1, 0.9)], [], [(1, 1, 0.9)]]))
    assert [list(objects) for objects in found] == [[0], [], [0]]


def test_masks_fill_the_box_at_the_size_of_the_frame() -> None:
    (objects,) = steps(ScriptedNetwork([[(5, 1, 0.9)]]))
    expected = torch.zeros(SIZE, dtype=torch.bool)
    expected[:10, 5:15] = True
    assert torch.equal(objects[0].mask, expected)


def test_lost_objects_are_propagated_with_the_mean_of_their_scores_and_their_last_label() -> None:
    script = [[(0, 1, 0.9)], [(0, 2, 0.5)], [], []]
    found = steps(ScriptedNetwork(script, constant_propagation()), InferenceSpec(association={"label_weight": 0}))
    assert [list(objects) for objects in found] == [[0], [0], [0], [0]]
    added = found[2][0]
    assert added.propagated and added.label == 2
    assert added.box.tolist() == [0, 0, 31, 31]
    assert added.score == pytest.approx((0.9 + 0.5) / 2)
    # The propagated object is part of the history of the next frame.
    assert found[3][0].score == pytest.approx((0.9 + 0.5 + 0.7) / 3)


def test_an_object_lapses_with_the_history() -> None:
    network = ScriptedNetwork([[(0, 1, 0.9)], [], []], constant_propagation(history_frames=1))
    network.propagation.propagate = lambda key, reference, boxes, labels: torch.zeros(len(boxes), 32, 64)
    assert [list(objects) for objects in steps(network)] == [[0], [], []]


def test_track_score_category_and_masks() -> None:
    # Label 2 twice, label 1 twice: the lower wins. The fourth frame does not see the object.
    script = [[(0, 2, 0.9)], [(0, 2, 0.8)], [(0, 1, 0.4)], [], [(0, 1, 0.5)]]
    spec = InferenceSpec(association={"label_weight": 0})
    (track,) = track_video(ScriptedNetwork(script), frames(5), 7, [11, 22], spec)
    assert (track.video_id, track.category_id) == (7, 11)
    assert track.score == pytest.approx((0.9 + 0.8 + 0.4 + 0.5) / 4)
    assert [s is not None for s in track.segmentations] == [True, True, True, False, True]
    assert rle.area(track.segmentations[0]) == 100


def test_tracks_of_one_frame_are_dropped() -> None:
    network = ScriptedNetwork([[(0, 1, 0.9), (40, 2, 0.9)], [(0, 1, 0.9)]])
    assert len(track_video(network, frames(2), 1, [1, 2], InferenceSpec())) == 1


def test_released_ids_are_labels() -> None:
    network = ScriptedNetwork([[(0, 2, 0.9)]] * 2)
    (track,) = track_video(network, frames(2), 7, [11, 22], InferenceSpec(category_id_is_label=True))
    assert (track.video_id, track.category_id) == (7, 2)
