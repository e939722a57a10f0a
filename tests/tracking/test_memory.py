import torch

from vistrials.tracking.memory import Memory


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
