"""Categories of numbered objects, from a file of the user's: {video: {object: category}}."""

from dataclasses import dataclass
from pathlib import Path

from vistrials.errors import DataError
from vistrials.formats.json_file import load_json
from vistrials.structures.video import Category


@dataclass(frozen=True, slots=True)
class ObjectCategories:
    """Which category an object of a video has.

    names: by (video, object), of the file; None where there is none and all are of one category.
    """

    path: Path | None
    names: dict[tuple[str, str], str] | None
    ids: dict[str, int]

    @classmethod
    def load(cls, path: Path | str | None, default: str) -> "ObjectCategories":
        """Read the file, or let every object be of the category `default`.

        Raises:
            DataError: it has another form.
        """
        if path is None:
            return cls(None, None, {default: 1})
        content = load_json(path)
        if not isinstance(content, dict) or not all(isinstance(objects, dict) for objects in content.values()):
            raise DataError(f"{path}: expected {{video: {{number of object: category}}}}")
        names = {(video, str(n)): str(name) for video, objects in content.items() for n, name in objects.items()}
        # Of all videos, so that splits agree on the ids.
        return cls(Path(path), names, {name: number for number, name in enumerate(sorted(set(names.values())), 1)})

    @property
    def categories(self) -> list[Category]:
        """By name, in the order of the alphabet."""
        return [Category(number, name) for name, number in self.ids.items()]

    def id_of(self, video: str, object_name: str) -> int:
        """Id of an object's category.

        Raises:
            DataError: the file does not name the object.
        """
        if self.names is None:
            return next(iter(self.ids.values()))
        plain = str(int(object_name)) if object_name.isascii() and object_name.isdigit() else object_name
        name = self.names.get((video, object_name)) or self.names.get((video, plain))
        if name is None:
            raise DataError(f"{self.path}: no category of object {object_name} of video {video}; add it")
        return self.ids[name]
