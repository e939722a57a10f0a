import pytest
import torch
from torch.nn.functional import normalize

from vistrials.specs.model import TrackMemorySpec
from vistrials.tracking.memory import Memory, MomentumMemory, build_memory


def rows(*values: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Embeddings, boxes and labels that hold the values."""
    column = torch.tensor(values, dtype=torch.float32)[:, None]
    return column.expand(-1, 3).clone(), column.expand(-1, 4).clone(), column[:, 0].long()


def held(memory: Memory) -> list[tuple[float, float, int]]:
    return list(zip(memory.embeddings[:, 0].tolist(), memory.boxes[:, 0].tolist(), memory.labels.tolist(), strict=True))


def test_objects_are_appended_and_replaced_by_their_ids_but_keep_their_labels() -> None:
    first = rows(1, 2)
    memory = Memory(*first)
    memory.append(*rows(3))
    memory.update([2, 0], *rows(7, 8)[:2])
    assert len(memory) == 3 and held(memory) == [(8, 8, 1), (2, 2, 2), (7, 7, 3)]
    assert first[1][:, 0].tolist() == [1, 2]  # what it was made from stays as it is


def test_nothing_new_changes_nothing() -> None:
    memory = Memory(*rows(1))
    memory.append(*rows())
    memory.update([], *rows()[:2])
    assert held(memory) == [(1, 1, 1)]


def test_many_objects_are_copied_a_few_times_only() -> None:
    memory, places = Memory(*rows(0)), set()
    for number in range(1, 1000):
        memory.append(*rows(number))
        places.add(memory.embeddings.data_ptr())
    assert [label for _, _, label in held(memory)] == list(range(1000))
    assert len(places) <= 10  # 2, 6, 14, .. rows


def test_a_trackers_memory_is_the_published_one_unless_told_otherwise() -> None:
    assert type(build_memory(*rows(1), None)) is Memory
    assert type(build_memory(*rows(1), TrackMemorySpec())) is MomentumMemory


@pytest.mark.parametrize("momentum", [None, 0.75])
def test_a_momentum_memory_is_that_of_training(momentum: float | None) -> None:
    torch.manual_seed(0)
    embeddings = normalize(torch.rand(5, 3, dtype=torch.float64), dim=1)
    boxes, labels = torch.rand(5, 4), torch.tensor([1, 2, 3, 1, 2])
    memory = build_memory(embeddings[:1], boxes[:1], labels[:1], TrackMemorySpec(momentum=momentum))
    memory.append(embeddings[1:2], boxes[1:2], labels[1:2])
    memory.update([1], embeddings[2:3], boxes[2:3])
    memory.update([1, 0], embeddings[3:], boxes[3:])
    share = embeddings[1] @ embeddings[2] if momentum is None else 0.25
    first = (1 - share) * embeddings[1] + share * embeddings[2]
    share = (embeddings[1] + embeddings[2]) @ embeddings[3] / 2 if momentum is None else 0.25
    second = (1 - share) * first + share * embeddings[3]
    share = embeddings[0] @ embeddings[4] if momentum is None else 0.25
    other = (1 - share) * embeddings[0] + share * embeddings[4]
    expected = normalize(torch.stack([other, second]), dim=1)
    assert torch.allclose(memory.embeddings, expected, rtol=0, atol=1e-12)
    assert torch.equal(memory.boxes, boxes[[4, 3]]) and memory.labels.tolist() == [1, 2]
