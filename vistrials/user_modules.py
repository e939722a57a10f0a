"""Classes in files of the user's own, named by specs of kind custom: the one place that executes such files."""

import inspect
import sys
import traceback
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from vistrials.errors import SpecError
from vistrials.specs.custom import CustomSpec
from vistrials.specs.merging import did_you_mean


def build_custom(
    spec: CustomSpec,
    part: str,
    base: type,
    arguments: Mapping[str, Any],
    method: str | None = None,
    parameters: Sequence[str] = (),
) -> Any:
    """Make an object of a class that a file of the user's own holds.

    Args:
        spec: the file, the class and its options.
        part: dotted path of the spec, for errors.
        base: what the class must derive from.
        arguments: of the class, given by name, beside the options.
        method: one that the class itself must have, or None.
        parameters: what the method is called with, in this order, beside self.

    Raises:
        SpecError: the file cannot be read, has changed or fails; the class is not there, is no such class, lacks the
            method, or cannot be made from arguments and options.
    """
    module = _execute(spec, part)
    where = f"{part}: {spec.file.name}: {spec.class_name}"
    found = getattr(module, spec.class_name, None)
    if not isinstance(found, type):
        own = [
            name
            for name, value in vars(module).items()
            if isinstance(value, type) and value.__module__ == module.__name__
        ]
        raise SpecError(f"{where}: no such class{did_you_mean(spec.class_name, own)}")
    if not issubclass(found, base):
        raise SpecError(f"{where}: expected a subclass of {base.__module__}.{base.__qualname__}")
    if method is not None:
        _check_method(found, base, method, parameters, where)
    try:
        return found(**arguments, **spec.options)
    except Exception as error:
        given = ", ".join([*arguments, *(f"{name}={value!r}" for name, value in spec.options.items())])
        raise SpecError(f"{where}({given}): {type(error).__name__}: {error}") from error


def _check_method(found: type, base: type, method: str, parameters: Sequence[str], where: str) -> None:
    function = getattr(found, method, None)
    expected = f"{method}({', '.join(['self', *parameters])})"
    if function is None or function is getattr(base, method, None):
        raise SpecError(f"{where}: expected a method {expected}, found none")
    signature = inspect.signature(function)
    try:
        signature.bind(None, *parameters)
    except TypeError as error:
        raise SpecError(f"{where}: expected a method {expected}, found {method}{signature}: {error}") from None


def _execute(spec: CustomSpec, part: str) -> ModuleType:
    """The module of a file: its very content as it was recorded, executed once per process."""
    pinned = spec.pinned(part)
    name = f"vistrials_custom_{pinned.sha256}"
    if name in sys.modules:
        return sys.modules[name]
    module, file = ModuleType(name), str(spec.file)
    module.__file__ = file
    sys.modules[name] = module  # where dataclasses and pickle look for it
    try:
        exec(compile(pinned.read(part), file, "exec", dont_inherit=True), module.__dict__)
    except Exception as error:
        del sys.modules[name]
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
        line = error.lineno if isinstance(error, SyntaxError) else (lines or [None])[-1]
        text = error.msg if isinstance(error, SyntaxError) else str(error)
        raise SpecError(f"{part}: {spec.file}: line {line}: {type(error).__name__}: {text}") from error
    return module
