"""The plain ways that the benchmark times give what ours give."""

import json
import time
from pathlib import Path

import pytest
import torch

from benchmarks import inference
from benchmarks.inference import PlainMemory, Seconds, alternate, plain_encode, plain_propagate, plain_roi_features, row
from benchmarks.records import as_table
from vistrials.models import propagation_head, roi_features
from vistrials.models.propagation_head import PropagationHead
from vistrials.specs.model import PropagationSpec, RoISpec
from vistrials.tracking.memory import Memory
from vistrials.tracking.online import TrackedObject, encode_masks


def test_roi_features_are_those_of_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roi_features, "_MAX_SEPARABLE_CELLS", 0)
    torch.manual_seed(0)
    levels = [torch.randn(2, 3, 128 // s, 160 // s, dtype=torch.float64) for s in (4, 8, 16, 32)]
    corners = 80 * torch.rand(2, 30, 2, dtype=torch.float64)
    boxes = list(torch.cat([corners, corners + 70 * torch.rand_like(corners)], dim=-1))
    spec = RoISpec(finest_scale_px=10)
    expected = plain_roi_features(levels, boxes, 7, spec)
    assert torch.allclose(roi_features.roi_features(levels, boxes, 7, spec), expected, atol=1e-12)


@pytest.mark.parametrize("limit", [0, 10**18], ids=["in windows", "over the frame"])
def test_propagation_is_that_of_explicit_matrices(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr(propagation_head, "_MIN_WINDOWED", limit)
    torch.manual_seed(0)
    head = PropagationHead(PropagationSpec(channels=6, sigma_cells=2.0), 1, num_categories=3).double().eval()
    key, reference = torch.randn(2, 6, 12, 14, dtype=torch.float64)
    boxes = torch.tensor([[8.0, 8.0, 40.0, 32.0], [56.0, 40.0, 111.0, 95.0]], dtype=torch.float64)
    with torch.no_grad():
        found = head.propagate(key, [reference], [boxes], [torch.tensor([1, 3])])
        expected = plain_propagate(head, key, reference, boxes, torch.tensor([1, 3]))
    assert torch.allclose(found, expected, rtol=0, atol=1e-4 if limit == 0 else 1e-12)


def test_masks_and_memory_are_the_same() -> None:
    objects = [TrackedObject(torch.zeros(4), 1, 1.0, torch.rand(5, 6) < 0.5, 2, 3, (9, 12)) for _ in range(3)]
    assert plain_encode(objects) == encode_masks(objects)
    embeddings, boxes = torch.nn.functional.normalize(torch.randn(4, 8), dim=1), torch.rand(4, 4)
    plain, ours = PlainMemory(embeddings, boxes), Memory(embeddings, boxes, torch.ones(4).long())
    found = plain.update([2], embeddings[:1], boxes[:1], embeddings[1:3], boxes[1:3])
    ours.update([2], embeddings[:1], boxes[:1])
    ours.append(embeddings[1:3], boxes[1:3], torch.ones(2).long())
    assert torch.equal(ours.boxes, plain.boxes) and torch.allclose(ours.embeddings, found)


def test_ways_take_turns_and_the_first_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[str] = []
    seconds = alternate({"plain": lambda: turns.append("plain"), "ours": lambda: turns.append("ours")}, rounds=2)
    assert turns == ["plain", "ours"] * 3 and set(seconds) == {"plain", "ours"}
    found = row("work", {"plain": Seconds(3.0, 8.0, 6.0), "ours": Seconds(1.5, 2.0, 1.2)})
    assert (found["ratio"], found["ours"], found["ours, clock"], found["ours, longest thread"]) == (4, 2, 1.5, 1.2)
    assert row("less", {"plain": Seconds(1, 1, 1), "ours": Seconds(0.1, 0.1, 0.1)})["ours, longest thread"] is None


def test_a_busy_thread_is_counted() -> None:
    if not (before := inference.seconds_of_threads()):
        pytest.skip("threads are told on Linux only")
    began = time.process_time()
    while time.process_time() - began < 0.1:
        pass
    assert 0.05 < max(s - before.get(thread, 0) for thread, s in inference.seconds_of_threads().items()) < 1


def test_the_exponent_of_a_square_is_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        inference, "alternate", lambda ways, rounds: {size: Seconds(1, int(size) ** 2, 1) for size in ways}
    )
    found = inference.scaling_row("edge", {n: lambda: None for n in (10, 20, 2000)}, 1)
    assert found == {
        "what grows": "edge",
        "sizes": "10, 20, 2,000",
        "seconds": "100, 400, 4e+06",
        "exponent": pytest.approx(2),
    }


def test_the_command_writes_what_it_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    measured = inference.row("work", {"plain": Seconds(2, 3, 2), "ours": Seconds(0.5, 1, 1)})
    monkeypatch.setattr(inference, "PARTS", {"masks": lambda rounds: [measured]})
    out = tmp_path / "o.json"
    monkeypatch.setattr("sys.argv", ["inference", "--threads", "1", "--rounds", "1", "--write", str(out)])
    inference.main()
    found = json.loads(out.read_text())
    assert found["rows"] == [measured] and found["machine"]["threads"] == 1
    assert as_table(found) in capsys.readouterr().out
    assert "| work | 3 s | 1 s | 3 | 2 s | 500 ms | – | – | – |" in as_table(found)
