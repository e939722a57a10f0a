"""Settings that runs have recorded, of which many runs have the same."""

from pathlib import Path

import pytest

from vistrials.errors import RunError
from vistrials.runs import recorded_spec
from vistrials.runs.recorded_spec import read_recorded_spec, read_whole_spec
from vistrials.specs.loading import dump_spec, load_trial


def test_a_text_is_parsed_once_whatever_the_number_of_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorded_spec, "_known", {})
    spec = load_trial("attention_neck", "smoke")
    one, other = tmp_path / "one.yaml", tmp_path / "other.yaml"
    for path in (one, other):
        path.write_text(dump_spec(spec))
    found = read_recorded_spec(one)
    assert found.spec == spec
    monkeypatch.setattr(recorded_spec, "parse_yaml", None)
    assert read_recorded_spec(other) == found


def test_each_file_with_an_unknown_setting_is_named(tmp_path: Path) -> None:
    text = dump_spec(load_trial("baseline", "smoke")).replace("max_iters:", "most_iters:")
    for name in ("one.yaml", "other.yaml"):
        (tmp_path / name).write_text(text)
        assert name in (read_recorded_spec(tmp_path / name).problem or "")
        with pytest.raises(RunError, match=name):
            read_whole_spec(tmp_path / name)
