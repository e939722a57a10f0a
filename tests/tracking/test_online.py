"""The tracker with a scripted network: what it does with detections, frame by frame."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from vistrials.errors import SpecError
from vistrials.formats import rle
from vistrials.models.box_head import Detections
from vistrials.models.track_head import match_scores
from vistrials.specs.inference import InferenceSpec
from vistrials.specs.model import PropagationSpec, TrackMemorySpec
from vistrials.structures.frames import Frame
from vistrials.tracking.online import OnlineTracker, bounds, encode_masks, track_video

SIZE = (32, 64)


class ScriptedNetwork(torch.nn.Module):
    """Detects what the script says: per frame a list of (x1, label, score) of 10 x 10 boxes at the top."""

    def __init__(self, script: list[list[tuple[int, int, float]]], propagation: SimpleNamespace | None = None) -> None:
        super().__init__()
        self.anything = torch.nn.Parameter(torch.zeros(1))
        self.script = script
        self.frame = -1
        self.neck = None
        self.wants_other_video = False
        self.memory_at_inference = None
        self.propagation = propagation

    def pyramid(self, images: Tensor) -> list[Tensor]:
        self.frame += 1
        return [torch.zeros(1, 1, 8, 16)]

    def detect(self, levels, image_size, scale, spec, previous) -> list[Detections]:
        rows = self.script[self.frame]
        boxes = torch.tensor([[x, 0, x + 9, 9] for x, _, _ in rows], dtype=torch.float32).reshape(-1, 4)
        scores, labels = torch.tensor([s for _, _, s in rows]), torch.tensor([label for _, label, _ in rows]).long()
        return [Detections(boxes, scores, labels)]

    def embed(self, levels, boxes) -> list[Tensor]:
        return [torch.ones(len(of_frame), 2) for of_frame in boxes]

    def match_scores(self, embeddings, memory) -> Tensor:
        return match_scores(normalize(embeddings, dim=1), normalize(memory, dim=1))

    def mask_probs(self, levels, boxes, labels) -> Tensor:
        return torch.ones(len(labels), 4, 4)


def constant_propagation(history_frames: int = 24) -> SimpleNamespace:
    """A head that finds every lost object, with probability 1 in the left half of the padded frame."""

    def propagate(key, references, boxes, labels, objects) -> Tensor:
        probs = torch.zeros(1 + max(map(max, objects)), 32, 64)
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


@pytest.mark.parametrize(("threshold", "area"), [(0.2, 100), (0.9, 0)])
def test_a_mask_holds_what_is_above_the_threshold(threshold: float, area: int) -> None:
    network = ScriptedNetwork([[(5, 1, 0.9)]])
    network.mask_probs = lambda levels, boxes, labels: torch.full((len(labels), 4, 4), 0.7)
    (objects,) = steps(network, InferenceSpec(mask_threshold=threshold))
    assert objects[0].mask.sum() == area


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
    network.propagation.propagate = lambda key, references, boxes, labels, objects: torch.zeros(
        1 + max(map(max, objects)), 32, 64
    )
    assert [list(objects) for objects in steps(network)] == [[0], [], []]


def test_track_score_category_and_masks() -> None:
    # Label 2 twice, label 1 twice: the lower wins. The fourth frame does not see the object.
    script = [[(0, 2, 0.9)], [(0, 2, 0.8)], [(0, 1, 0.4)], [], [(0, 1, 0.5)]]
    spec = InferenceSpec(association={"label_weight": 0})
    (track,) = track_video(ScriptedNetwork(script), frames(5), 7, [11, 22], spec)
    assert (track.video_id, track.category_id) == (7, 11)
    assert track.score == pytest.approx((0.9 + 0.8 + 0.4 + 0.5) / 4)
    assert [s is not None for s in track.segmentations] == [True, True, True, False, True]
    assert rle.decode(track.segmentations[0]).sum() == 100


def test_the_category_is_that_of_most_frames() -> None:
    script = [[(0, 1, 0.9)], [(0, 2, 0.9)], [(0, 3, 0.9)], [(0, 2, 0.9)]]
    spec = InferenceSpec(association={"label_weight": 0})
    (track,) = track_video(ScriptedNetwork(script), frames(4), 7, [11, 22, 33], spec)
    assert track.category_id == 22


def test_tracks_of_one_frame_are_dropped() -> None:
    network = ScriptedNetwork([[(0, 1, 0.9), (40, 2, 0.9)], [(0, 1, 0.9)]])
    assert len(track_video(network, frames(2), 1, [1, 2], InferenceSpec())) == 1


def test_released_ids_are_labels() -> None:
    network = ScriptedNetwork([[(0, 2, 0.9)]] * 2)
    (track,) = track_video(network, frames(2), 7, [11, 22], InferenceSpec(category_id_is_label=True))
    assert (track.video_id, track.category_id) == (7, 2)


class RecordingNetwork(ScriptedNetwork):
    """Keeps what the tracker gives it, and embeds as told: per frame the angles of its detections in degrees."""

    def __init__(self, script, angles: list[list[float]] | None = None, propagation: SimpleNamespace | None = None):
        super().__init__(script, propagation)
        self.angles = angles
        self.images: list[Tensor] = []
        self.detect_arguments: list[tuple] = []
        self.boxes: dict[str, list[list[list[float]]]] = {"embed": [], "mask_probs": []}
        self.labels: list[list[int]] = []

    def pyramid(self, images: Tensor) -> list[Tensor]:
        super().pyramid(images)
        self.images.append(images)
        return [torch.full((1, 1, 8, 16), float(self.frame))]

    def detect(self, levels, image_size, scale, spec, previous) -> list[Detections]:
        self.detect_arguments.append((image_size, scale, None if previous is None else float(previous[0][0, 0, 0, 0])))
        return super().detect(levels, image_size, scale, spec, previous)

    def embed(self, levels, boxes) -> list[Tensor]:
        self.boxes["embed"] += [of_frame.tolist() for of_frame in boxes]
        if self.angles is None:
            return super().embed(levels, boxes)
        radians = torch.deg2rad(torch.tensor(self.angles[self.frame], dtype=torch.float32))
        return [torch.stack([radians.cos(), radians.sin()], dim=1)]

    def mask_probs(self, levels, boxes, labels) -> Tensor:
        self.boxes["mask_probs"] += [of_frame.tolist() for of_frame in boxes]
        self.labels.append(labels.tolist())
        return super().mask_probs(levels, boxes, labels)


def recording_propagation(answer, **spec) -> SimpleNamespace:
    """A head that answers with `answer(stored frame)`, (32, 64) probabilities, for every box, and keeps its arguments.

    Its features of a frame are the frame's number."""
    calls: list[tuple] = []

    def propagate(key, references, boxes, labels, objects) -> Tensor:
        of_object: dict[int, list[Tensor]] = {}
        for reference, in_frame, of_boxes, rows in zip(references, boxes, labels, objects, strict=True):
            now, stored = (int(features[0, 0, 0]) for features in (key, reference))
            calls.append((now, stored, in_frame.tolist(), of_boxes.tolist()))
            for row in rows:
                of_object.setdefault(row, []).append(answer(stored))
        return torch.stack([torch.stack(of_object[row]).mean(dim=0) for row in sorted(of_object)])

    extract = lambda levels: levels[0][:, :, :4, :8]  # noqa: E731
    return SimpleNamespace(spec=PropagationSpec(**spec), extract=extract, propagate=propagate, calls=calls)


FAR = 40
NOTHING, EVERYTHING = torch.zeros(32, 64), torch.ones(32, 64)


# Network and frame pixels


def test_the_network_sees_padded_images_and_boxes_in_its_own_pixels() -> None:
    network = RecordingNetwork([[(4, 1, 0.9), (FAR, 2, 0.8)]])
    objects = OnlineTracker(network, InferenceSpec()).step(Frame(torch.ones(3, 20, 50), 0.5, (40, 100)))
    (image,) = network.images
    assert image.shape == (1, 3, 32, 64)
    assert (image[..., :20, :50] == 1).all() and image.sum() == 3 * 20 * 50
    assert network.detect_arguments == [((20, 50), 0.5, None)]
    expected = [[2, 0, 6.5, 4.5], [20, 0, 24.5, 4.5]]  # half of 4..13 and of 40..49
    assert network.boxes == {"embed": [expected], "mask_probs": [expected]} and network.labels == [[1, 2]]
    assert objects[0].box.tolist() == [4, 0, 13, 9] and objects[0].mask.shape == (40, 100)
    assert objects[1].mask.nonzero().amin(0).tolist() == [0, 40]


def test_images_of_a_multiple_of_32_are_not_padded() -> None:
    network = RecordingNetwork([[]])
    OnlineTracker(network, InferenceSpec()).step(Frame(torch.ones(3, 32, 64), 1.0, (32, 64)))
    assert network.images[0].shape == (1, 3, 32, 64)


def test_mask_corners_are_cut_to_integers() -> None:
    network = ScriptedNetwork([[]])
    detections = Detections(torch.tensor([[2.9, 1.2, 4.1, 3.9]]), torch.tensor([0.5]), torch.tensor([1]))
    network.detect = lambda *_: [detections]
    (objects,) = steps(network)
    assert objects[0].mask.nonzero().amin(0).tolist() == [1, 2] and objects[0].mask.nonzero().amax(0).tolist() == [3, 4]


def test_a_neck_gets_the_levels_of_the_previous_frame() -> None:
    network = RecordingNetwork([[], [], []])
    network.neck = object()
    steps(network)
    assert [previous for _, _, previous in network.detect_arguments] == [None, 0, 1]
    without = RecordingNetwork([[], []])
    steps(without)
    assert [previous for _, _, previous in without.detect_arguments] == [None, None]


# Memory


def test_an_object_is_remembered_where_it_was_last_seen() -> None:
    # Object 0 moves from 0 to 12 by steps of 6; at 14 it overlaps its last box by 8 of 12 pixels and object 1, at 20,
    # by 4 of 16. Its first box does not reach it.
    script = [[(0, 1, 0.9), (20, 1, 0.9)], [(6, 1, 0.9)], [(12, 1, 0.9)], [(14, 1, 0.9)]]
    assert [list(objects) for objects in steps(ScriptedNetwork(script))] == [[0, 1], [0], [0], [0]]


def test_an_object_is_remembered_as_it_last_looked() -> None:
    # Object 0 turns from 0 to 40 and 80 degrees; object 1 stays at 130, nearer to 80 than 0 is.
    network = RecordingNetwork([[(0, 1, 0.9), (FAR, 1, 0.9)], [(20, 1, 0.9)], [(20, 1, 0.9)]], [[0, 130], [40], [80]])
    found = steps(network, InferenceSpec(association={"iou_weight": 0}))
    assert [list(objects) for objects in found] == [[0, 1], [0], [0]]


@pytest.mark.parametrize(("momentum", "expected"), [(None, [0, 0]), (0.0, [0, 1]), (0.9, [0, 0])])
def test_a_memory_of_all_frames_outlasts_one_in_which_the_object_looks_otherwise(momentum, expected) -> None:
    # Object 0 stands at 0 degrees, but at 85 for one frame; object 1 stands at 170, as far from there. Of the frame at
    # 85 the memory takes cos 85 = .09 or .1, and stays near 0; all of it at momentum 0, and what is at 40 then is new.
    script = [[(0, 1, 0.9), (FAR, 1, 0.9)], [(0, 1, 0.9)], [(0, 1, 0.9)]]
    network = RecordingNetwork(script, [[0, 170], [85], [-20]])
    network.memory_at_inference = TrackMemorySpec(momentum=momentum)
    found = steps(network, InferenceSpec(association={"iou_weight": 0, "match_scale": 10, "label_weight": 0}))
    assert [list(found[1])[0], 0 if 0 in found[2] else 1] == expected


def test_an_object_keeps_the_label_that_it_was_first_given() -> None:
    # The second frame says label 2, but the box fits. The third, elsewhere, says 1: with label 2 in memory it would be
    # new: log softmax (0, 1) is -1.31 and -.31, so 1.5 for an equal label decides.
    network = ScriptedNetwork([[(0, 1, 0.9)], [(0, 2, 0.9)], [(FAR, 1, 0.9)]])
    found = steps(network, InferenceSpec(association={"label_weight": 1.5}))
    assert [list(objects) for objects in found] == [[0], [0], [0]] and found[1][0].label == 2


def test_the_better_of_two_detections_is_the_object_and_is_remembered() -> None:
    network = RecordingNetwork([[(0, 1, 0.9)], [(4, 1, 0.9), (1, 1, 0.9), (3, 1, 0.9)]], [[0], [0, 0, 0]])
    tracker = OnlineTracker(network, InferenceSpec())
    _, objects = [tracker.step(frame) for frame in frames(2)]
    assert list(objects) == [0] and objects[0].box[0] == 1
    assert tracker.memory.boxes[:, 0].tolist() == [1]
    assert [row[0] for row in network.boxes["mask_probs"][1]] == [4, 1]  # the third is dropped


def test_new_objects_are_remembered_with_their_own_features() -> None:
    # Frame 1: two new objects at 90 and 180 degrees beside the known one at 0; frame 2 sees them in another order.
    network = RecordingNetwork(
        [[(0, 1, 0.9)], [(20, 2, 0.9), (0, 1, 0.9), (FAR, 3, 0.9)], [(FAR, 3, 0.9), (20, 2, 0.9), (0, 1, 0.9)]],
        [[0], [90, 0, 180], [180, 90, 0]],
    )
    found = steps(network)
    assert [list(objects) for objects in found] == [[0], [1, 0, 2], [2, 1, 0]]


# Propagation


def test_an_object_is_propagated_from_every_stored_frame_that_has_it() -> None:
    head = recording_propagation(lambda stored: EVERYTHING)
    network = RecordingNetwork(
        [[(4, 2, 0.9), (FAR, 1, 0.8)], [(FAR, 1, 0.8)], [(FAR, 1, 0.8)]], [[0, 90], [90], [90]], head
    )
    tracker = OnlineTracker(network, InferenceSpec())
    found = [tracker.step(Frame(torch.zeros(3, 16, 32), 0.5, (32, 64))) for _ in range(3)]
    assert [list(objects) for objects in found] == [[0, 1], [1, 0], [1, 0]]
    # Now, stored frame, boxes in network pixels, labels; in frame 1 the object is everywhere.
    first, whole = [2, 0, 6.5, 4.5], [0, 0, 31.5, 15.5]
    assert head.calls == [(1, 0, [first], [2]), (2, 0, [first], [2]), (2, 1, [whole], [2])]
    assert not found[2][1].propagated and found[2][0].propagated


def test_probabilities_are_averaged_over_the_frames_that_have_the_object() -> None:
    script = [[(0, 1, 0.9)], [(0, 1, 0.9)], []]
    for threshold, expected in ((0.5, [0]), (0.51, [])):
        head = recording_propagation(lambda stored: (NOTHING, EVERYTHING)[stored], mask_threshold=threshold)
        assert list(steps(RecordingNetwork(script, propagation=head))[2]) == expected  # a mean of .5


def test_frames_without_the_object_do_not_count_in_the_mean() -> None:
    head = recording_propagation(lambda stored: EVERYTHING / 2, mask_threshold=0.4)
    found = steps(RecordingNetwork([[], [], [(0, 1, 0.9)], []], propagation=head))
    assert list(found[3]) == [0]  # .5 from one of three stored frames


def test_the_history_forgets_its_oldest_frame() -> None:
    head = recording_propagation(lambda stored: NOTHING, history_frames=2)
    steps(RecordingNetwork([[(0, 1, 0.9)], [], [], []], propagation=head))
    assert [call[:2] for call in head.calls] == [(1, 0), (2, 0)]


def test_the_mean_is_cut_to_the_image_and_resized_to_the_frame() -> None:
    # 20 x 50 network pixels of 32 x 64 padded ones; 40 x 100 in the frame. Probabilities beyond them do not count.
    answer = torch.zeros(32, 64)
    answer[:10, :25] = 1
    answer[20:], answer[:, 50:] = 1, 1
    network = RecordingNetwork([[(0, 1, 0.9)], []], propagation=recording_propagation(lambda stored: answer))
    tracker = OnlineTracker(network, InferenceSpec())
    _, objects = [tracker.step(Frame(torch.zeros(3, 20, 50), 0.5, (40, 100))) for _ in range(2)]
    # Frame row 20 reads network row 9.75: .25 of row 9 is below .3; row 19 reads 9.25: .75.
    expected = torch.zeros(40, 100, dtype=torch.bool)
    expected[:20, :50] = True
    assert torch.equal(objects[0].mask, expected)
    assert objects[0].box.tolist() == [0, 0, 49, 19]


def test_the_mean_is_resized_with_half_pixel_centres() -> None:
    answer = torch.zeros(32, 64)
    answer[0] = 1
    head = recording_propagation(lambda stored: answer, mask_threshold=0.6)
    tracker = OnlineTracker(RecordingNetwork([[(0, 1, 0.9)], []], propagation=head), InferenceSpec())
    _, objects = [tracker.step(Frame(torch.zeros(3, 20, 50), 0.5, (40, 100))) for _ in range(2)]
    # Frame rows 0, 1 and 2 read network rows -.25, .25 and .75: probabilities 1, .75 and .25.
    assert objects[0].mask.any(dim=1).tolist() == [True] * 2 + [False] * 38


def test_the_released_program_left_propagated_masks_in_padded_network_pixels() -> None:
    answer = torch.zeros(32, 64)
    answer[30, 60] = 1
    head = recording_propagation(lambda stored: answer, network_px_propagation=True)
    network = RecordingNetwork([[(0, 1, 0.9)], [], []], propagation=head)
    tracker = OnlineTracker(network, InferenceSpec())
    found = [tracker.step(Frame(torch.zeros(3, 20, 50), 0.5, (40, 100))) for _ in range(3)]
    assert torch.equal(found[1][0].mask, answer.bool()) and found[1][0].box.tolist() == [60, 30, 60, 30]
    assert head.calls[-1][2] == [[30, 15, 30, 15]]  # multiplied by the scale once more


def test_an_object_of_which_nothing_is_left_is_not_added() -> None:
    network = RecordingNetwork([[(0, 1, 0.9)], []], propagation=recording_propagation(lambda stored: NOTHING))
    assert [list(objects) for objects in steps(network)] == [[0], []]


def test_propagated_objects_never_enter_the_memory() -> None:
    head = recording_propagation(lambda stored: EVERYTHING)
    network = RecordingNetwork([[(4, 1, 0.9)], [], []], propagation=head)
    tracker = OnlineTracker(network, InferenceSpec())
    found = [tracker.step(frame) for frame in frames(3)]
    assert found[2][0].box.tolist() == [0, 0, 63, 31]
    assert tracker.memory.boxes.tolist() == [[4, 0, 13, 9]] and len(tracker.memory.embeddings) == 1


def test_propagation_may_be_switched_off() -> None:
    head = recording_propagation(lambda stored: EVERYTHING, at_inference=False)
    assert [list(objects) for objects in steps(RecordingNetwork([[(0, 1, 0.9)], []], propagation=head))] == [[0], []]
    assert head.calls == []


def test_a_video_without_objects_has_no_tracks() -> None:
    network = RecordingNetwork([[], []], propagation=recording_propagation(lambda stored: EVERYTHING))
    assert track_video(network, frames(2), 1, [1], InferenceSpec()) == []
    assert track_video(RecordingNetwork([]), [], 1, [1], InferenceSpec()) == []


def test_videos_are_tracked_apart() -> None:
    script = [[(0, 1, 0.9)], [(0, 1, 0.9)]]
    (first,) = track_video(ScriptedNetwork(script), frames(2), 1, [1], InferenceSpec())
    (second,) = track_video(ScriptedNetwork(script), frames(2), 2, [1], InferenceSpec())
    assert (first.video_id, second.video_id) == (1, 2) and first.segmentations == second.segmentations


def test_masks_leave_the_device_as_crops_and_are_those_of_whole_frames() -> None:
    network = RecordingNetwork(
        [[(4, 1, 0.9), (FAR, 2, 0.8), (60, 1, 0.7)], []], propagation=recording_propagation(half)
    )
    found = steps(network)
    assert [o.crop.shape for o in found[0].values()] == [(10, 10), (10, 10), (10, 4)]  # the last one leaves the frame
    for objects in found:
        masks = [o.mask for o in objects.values()]
        assert all(mask.shape == SIZE and mask.any() for mask in masks)
        assert encode_masks(list(objects.values())) == [rle.encode(mask.numpy()) for mask in masks]
    assert encode_masks([]) == []


def half(stored: int) -> Tensor:
    """Probabilities of a triangle in the left half."""
    return torch.tril(torch.ones(32, 64))


def test_bounds_are_inclusive_and_an_empty_mask_has_none() -> None:
    mask = torch.zeros(5, 7, dtype=torch.bool)
    mask[1, 6] = mask[3, 2] = True
    assert bounds([mask, torch.zeros_like(mask), torch.ones_like(mask)]) == [(2, 1, 6, 3), None, (0, 0, 6, 4)]
    assert bounds([]) == []


# Rules for what is propagated


def lost_after(num_seen: int, num_lost: int, **rules) -> list[dict]:
    """An object at (0, 0) .. (9, 9), then propagated with .8 at its left half and .4 elsewhere."""
    answer = torch.full((32, 64), 0.4)
    answer[:10, :5] = 0.8
    head = recording_propagation(lambda stored: answer, **rules)
    return steps(RecordingNetwork([[(0, 1, 0.9)]] * num_seen + [[]] * num_lost, propagation=head))


@pytest.mark.parametrize(("min_peak", "is_added"), [(0.0, True), (0.8, True), (0.81, False)])
def test_an_object_is_added_where_its_probability_reaches_the_peak(min_peak: float, is_added: bool) -> None:
    found = lost_after(1, 1, min_peak=min_peak, mask_threshold=0.3)
    assert list(found[1]) == ([0] if is_added else [])
    if is_added:
        assert found[1][0].mask.all()  # the threshold of pixels stays


def test_pixels_of_detected_objects_are_no_propagated_ones() -> None:
    for visible_only in (False, True):
        head = recording_propagation(lambda stored: EVERYTHING, visible_only=visible_only)
        script = [[(0, 1, 0.9), (FAR, 2, 0.8)], [(FAR + 4, 2, 0.8)]]
        _, objects = steps(RecordingNetwork(script, propagation=head))
        overlap = objects[0].mask & objects[1].mask
        assert objects[0].propagated and overlap.sum() == (0 if visible_only else 100)
        assert (objects[0].mask | objects[1].mask).all()


@pytest.mark.parametrize(("limit", "num_added"), [(None, 4), (1, 1), (3, 3)])
def test_an_object_is_added_for_some_frames_after_it_was_last_detected(limit: int | None, num_added: int) -> None:
    found = lost_after(2, 4, keep_alive_frames=limit)
    assert [len(objects) for objects in found] == [1, 1] + [1] * num_added + [0] * (4 - num_added)


def test_scores_of_added_objects_fall_with_the_frames_since_their_detection() -> None:
    found = lost_after(2, 3, score_decay=0.5)
    assert [objects[0].score for objects in found] == pytest.approx([0.9, 0.9, 0.45, 0.225, 0.1125])


def gap_track(script: list[list], **rules) -> list[bool]:
    head = recording_propagation(lambda stored: EVERYTHING, **rules)
    (track,) = track_video(RecordingNetwork(script, propagation=head), frames(len(script)), 1, [1], InferenceSpec())
    return [s is not None for s in track.segmentations]


def test_a_gap_is_kept_when_the_object_is_detected_behind_it() -> None:
    seen, lost = [(0, 1, 0.9)], []
    script = [seen, seen, lost, lost, seen, lost, lost, lost, seen, lost, lost]
    assert gap_track(script) == [True] * 11
    assert gap_track(script, gap_frames=2) == [True] * 5 + [False] * 3 + [True] + [False] * 2
    assert gap_track(script, gap_frames=3) == [True] * 9 + [False] * 2
    assert gap_track(script, gap_frames=1) == [True, True, False, False, True, False, False, False, True, False, False]


def test_frames_of_a_gap_that_show_nothing_count() -> None:
    script = [[(0, 1, 0.9)], [], [], [], [(0, 1, 0.9)]]
    for limit, is_kept in ((2, False), (3, True)):
        found = gap_track(script, keep_alive_frames=1, gap_frames=limit)
        assert found == [True, is_kept, False, False, True]


def test_what_is_held_back_counts_nothing_in_the_tracks_score() -> None:
    head = recording_propagation(lambda stored: EVERYTHING, gap_frames=1, score_decay=0.5)
    script = [[(0, 1, 0.8)], [], [(0, 1, 0.8)], [], []]
    (track,) = track_video(RecordingNetwork(script, propagation=head), frames(5), 1, [1], InferenceSpec())
    assert track.score == pytest.approx((0.8 + 0.4 + 0.8) / 3)


def test_a_neck_that_attends_to_another_video_gets_that_in_the_place_of_the_previous_frame() -> None:
    network = RecordingNetwork([[]] * 6)
    network.neck, network.wants_other_video = object(), True
    with pytest.raises(SpecError, match="other_video attends to another video, and there is only one"):
        OnlineTracker(network, InferenceSpec())
    others = iter([Frame(torch.full((3, *SIZE), 7.0), 1.0, SIZE)] * 3)
    tracker = OnlineTracker(network, InferenceSpec(), others)
    for frame in frames(2):
        tracker.step(frame)
    # The network counts its pyramids: frame 0 and the other's 1, frame 2 and the other's 3.
    assert [previous for _, _, previous in network.detect_arguments] == [1, 3]
    assert [float(image[0, 0, 0, 0]) for image in network.images] == [0, 7, 0, 7]
