import pytest
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from tests.models.small import batch_of
from vistrials.models.track_memory import Remembered, newest_share, remember
from vistrials.structures.frames import FramePairBatch

MOMENTA = [None, 0.0, 0.75]


def frame(objects: list[list[int]], match: list[list[int]]) -> FramePairBatch:
    """One reference frame of images that show these objects; boxes and labels at random."""
    return batch_of(
        reference_boxes=[torch.rand(len(o), 4, dtype=torch.float64) for o in objects],
        reference_labels=[torch.randint(1, 9, (len(o),)) for o in objects],
        reference_objects=[torch.tensor(o, dtype=torch.long) for o in objects],
        instance_match=[torch.tensor(m, dtype=torch.long) for m in match],
    )


def clip() -> tuple[list[Tensor], list[FramePairBatch]]:
    """Three reference frames of two images, the second without objects at first; D = 5.

    The key frame of the first image shows objects 2, 3, an unknown one, and 0.
    """
    torch.manual_seed(1)
    pairs = [
        frame([[0, 1, 2], []], [[3, 0, 0, 1], [0]]),
        frame([[3, 0], [0]], [[0, 1, 0, 2], [1]]),
        frame([[2, 1, 0], [1, 0]], [[1, 0, 0, 3], [2]]),
    ]
    # Of one half of the space, mostly: memories both follow and stay.
    counts = (3, 3, 5)
    return [0.5 + torch.randn(count, 5, dtype=torch.float64) for count in counts], pairs


def in_a_loop(embeddings: list[Tensor], pairs: list[FramePairBatch], momentum: float | None) -> list[Tensor]:
    """Object by object and frame by frame, as the paper writes it."""
    memories = []
    for image in range(2):
        history: dict[int, list[Tensor]] = {}
        memory: dict[int, Tensor] = {}
        for of_frame, pair in zip(embeddings, pairs, strict=True):
            first = sum(len(objects) for objects in pair.reference_objects[:image])
            for row, number in enumerate(pair.reference_objects[image].tolist()):
                new = of_frame[first + row]
                if number in memory:
                    before = history[number]
                    share = max(0.0, sum(float(cosine_similarity(new, old, dim=0)) for old in before) / len(before))
                    share = share if momentum is None else 1 - momentum
                    memory[number] = (1 - share) * memory[number] + share * new
                else:
                    memory[number] = new
                history.setdefault(number, []).append(new)
        memories += [memory[number] for number in sorted(memory)]
    return memories


@pytest.mark.parametrize("momentum", MOMENTA)
def test_memory_is_that_of_a_plain_loop(momentum: float | None) -> None:
    embeddings, pairs = clip()
    found, batch = remember(embeddings, pairs, momentum)
    expected = torch.stack(in_a_loop(embeddings, pairs, momentum))
    assert found.shape == (4 + 2, 5) and torch.allclose(found, expected, rtol=0, atol=1e-12)
    assert [objects.tolist() for objects in batch.reference_objects] == [[0, 1, 2, 3], [0, 1]]


def test_the_key_frames_objects_are_found_in_memory_in_whatever_frame_they_were() -> None:
    _, batch = remember(*clip(), None)
    assert [match.tolist() for match in batch.instance_match] == [[3, 4, 0, 1], [1]]


def test_boxes_and_labels_are_those_of_the_last_frame_that_shows_the_object() -> None:
    embeddings, pairs = clip()
    _, batch = remember(embeddings, pairs, None)
    second, third = pairs[1:]
    assert torch.equal(
        batch.reference_boxes[0], torch.cat([third.reference_boxes[0].flip(0), second.reference_boxes[0][:1]])
    )
    assert torch.equal(batch.reference_labels[1], third.reference_labels[1].flip(0))


def test_without_momentum_an_object_is_as_it_last_looked() -> None:
    embeddings, pairs = clip()
    found, _ = remember(embeddings, pairs, 0.0)
    assert torch.equal(found[:4], torch.cat([embeddings[2][:3].flip(0), embeddings[1][:1]]))


def test_shares_by_hand() -> None:
    seen = Remembered.nothing(3, torch.zeros(1, 2))
    for turn in (0.0, 90.0):
        angles = torch.deg2rad(torch.tensor([turn, turn, 0.0]))
        seen = seen.after(4 * torch.stack([angles.cos(), angles.sin()], dim=1), None)
    newest = torch.tensor([[0.0, 3.0], [-5.0, 0.0], [2.0, 0.0]])
    # Cosines to 0 and 90 degrees: 0 and 1; -1 and 0, cut to 0; twice 1.
    assert newest_share(newest, seen, None).tolist() == pytest.approx([1 / 2, 0, 1])
    assert newest_share(newest, seen, 0.75).tolist() == [1 / 4] * 3
    # After 90 degrees, whose share was 0, the memory still was at 0.
    assert torch.allclose(seen.embeddings, torch.tensor([4.0, 0]).expand(3, 2), atol=1e-6)
    expected = torch.tensor([[2, 1.5], [4, 0], [2, 0]])
    assert torch.allclose(seen.after(newest, None).embeddings, expected, atol=1e-6)


def test_gradient_reaches_all_frames_but_not_through_the_shares() -> None:
    embeddings, pairs = clip()
    for of_frame in embeddings:
        of_frame.requires_grad_()
    found, _ = remember(embeddings, pairs, None)
    found.sum().backward()
    # Each object's frames share a gradient of 1 in each number: 1 of its memory, however it was put together.
    of_object = {number: torch.zeros(5, dtype=torch.float64) for number in range(4)}
    for of_frame, pair in zip(embeddings, pairs, strict=True):
        assert of_frame.grad is not None and (of_frame.grad >= 0).all() and of_frame.grad.any()
        for row, number in enumerate(pair.reference_objects[0].tolist()):
            of_object[number] += of_frame.grad[row]
    assert all(torch.allclose(total, torch.ones(5, dtype=torch.float64)) for total in of_object.values())


def test_nothing_to_remember() -> None:
    pairs = [frame([[]], [[0, 0]]), frame([[]], [[0, 0]])]
    found, batch = remember([torch.zeros(0, 5, requires_grad=True) for _ in pairs], pairs, None)
    assert found.shape == (0, 5) and found.requires_grad
    assert batch.reference_boxes[0].shape == (0, 4) and batch.instance_match[0].tolist() == [0, 0]
