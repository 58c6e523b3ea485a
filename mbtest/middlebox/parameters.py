"""What a box can be told: parameters with units, ranges and choices, checked when the box is made."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterator
from functools import cache
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from mbtest import wire
from mbtest.errors import UsageError

_NAMES = {int: "a whole number", float: "a number", bool: "True or False", types.NoneType: "None"}


@dataclasses.dataclass(frozen=True)
class Parameter:
    """What `Annotated[...]` says of a box's field beyond its type.

    low, high: limits of the number, or of each number of a tuple.
    """

    meaning: str
    unit: str = ""
    low: int | float | None = None
    high: int | float | None = None

    def limits(self) -> str:
        """Return the range in words, empty where there is none."""
        if self.low is None and self.high is None:
            return ""
        if self.high is None:
            words = f"at least {self.low}"
        elif self.low is None:
            words = f"at most {self.high}"
        else:
            words = f"{self.low} to {self.high}"
        return f"{words} {self.unit}".rstrip()


class ParameterInfo(NamedTuple):
    """A parameter as `mbtest list boxes` shows it."""

    name: str
    default: str
    """The default in Python's notation; empty where the parameter must be given."""
    choices: tuple[str, ...]
    meaning: str
    unit: str
    limits: str


def parameters(box: type) -> list[ParameterInfo]:
    """Return the parameters of a box class in the order in which its constructor takes them."""
    found = []
    for field, bare, parameter in _specification(box):
        default = ""
        if field.default is not dataclasses.MISSING:
            default = written(field.default)
        elif field.default_factory is not dataclasses.MISSING:
            default = written(field.default_factory())
        choices = tuple(str(choice) for form in _forms(bare) for choice in _choices(form))
        said = parameter or Parameter("")
        found.append(ParameterInfo(field.name, default, choices, said.meaning, said.unit, said.limits()))
    return found


def meaning(box: type, name: str) -> str:
    """Return what a parameter of a box class means, and its range; empty where nothing is said of it."""
    for field, _, parameter in _specification(box):
        if field.name == name and parameter is not None:
            return ", ".join(words for words in (parameter.meaning, parameter.limits()) if words)
    return ""


def check(box: Any) -> None:
    """Raise UsageError for the first parameter of `box` of another type, no choice, or out of its range.

    What a text file says is taken too: a list for a tuple, text for an address, and for a class of
    `mbtest.wire` its name.
    """
    for field, bare, parameter in _specification(box.__class__):
        value = _read(getattr(box, field.name), bare)
        setattr(box, field.name, value)
        place = f"{type(box).__name__}: {field.name}={value!r:.60}"
        said = parameter or Parameter("")
        if not any(_is_a(value, form) for form in _forms(bare)):
            remedy = f"; give {said.limits()}" if said.limits() else ""
            raise UsageError(f"{place} should be {_wanted(bare)}{remedy}")
        for number in _numbers(value):
            below = said.low is not None and number < said.low
            if below or (said.high is not None and number > said.high):
                raise UsageError(f"{place} is out of range; give {said.limits()}")


def written(value: object) -> str:
    """Return a value as one would write it in a constructor: classes by name."""
    if isinstance(value, type):
        return value.__name__
    if isinstance(value, tuple):
        return "(" + ", ".join(written(item) for item in value) + ("," if len(value) == 1 else "") + ")"
    return repr(str(value)) if isinstance(value, (IPv4Address, IPv6Address)) else repr(value)


@cache
def _specification(box: type) -> list[tuple[dataclasses.Field[Any], Any, Parameter | None]]:
    """Return the fields that the constructor takes, in its order, with their bare types and `Parameter`s."""
    try:
        hints = get_type_hints(box, include_extras=True)
    except NameError as error:
        raise UsageError(f"{box.__name__}: an annotation cannot be read: {error}; import it") from None
    fields = [field for field in dataclasses.fields(box) if field.init]
    found = []
    for field in sorted(fields, key=lambda field: field.kw_only is True):
        bare, parameter = hints[field.name], None
        if get_origin(bare) is Annotated:
            bare, *extras = get_args(bare)
            parameter = next((extra for extra in extras if isinstance(extra, Parameter)), None)
        found.append((field, bare, parameter))
    return found


def _forms(bare: Any) -> tuple[Any, ...]:
    """Return the types that a type is a choice of; the type itself where it is none."""
    return get_args(bare) if get_origin(bare) in (Union, types.UnionType) else (bare,)


def _read(value: object, bare: Any) -> object:
    """Return a value as the type wants it, where it is given as a text file would."""
    for form in _forms(bare):
        if isinstance(value, str) and form in (IPv4Address, IPv6Address):
            try:
                return form(value)
            except ValueError:
                continue
        if isinstance(value, list) and get_origin(form) is tuple:
            return tuple(_read(item, get_args(form)[0]) for item in value)
        if isinstance(value, str) and get_origin(form) is type:
            named = getattr(wire, value, None)
            if isinstance(named, type) and issubclass(named, get_args(form)[0]):
                return named
    return value


def _is_a(value: object, form: Any) -> bool:
    """Whether `value` is of a type as annotations say it; types that are beyond this are taken on trust."""
    origin, arguments = get_origin(form), get_args(form)
    if origin is Literal:
        return value in arguments
    if origin is tuple:
        return isinstance(value, tuple) and all(_is_a(item, arguments[0]) for item in value)
    if origin is type:
        return isinstance(value, type) and issubclass(value, arguments[0])
    if form is int or form is float:
        return isinstance(value, (int, form)) and not isinstance(value, bool)
    return isinstance(value, form) if isinstance(form, type) else True


def _choices(form: Any) -> tuple[Any, ...]:
    return get_args(form) if get_origin(form) is Literal else ()


def _wanted(bare: Any) -> str:
    """Return in words what a parameter can be."""
    words: list[str] = []
    for form in _forms(bare):
        if get_origin(form) is tuple:
            words.append(f"a tuple of these: {_wanted(get_args(form)[0])}")
        else:
            words += [repr(choice) for choice in _choices(form)] or [_NAMES.get(form, form.__name__)]
    return " or ".join(words) if len(words) < 3 else "one of " + ", ".join(words)


def _numbers(value: object) -> Iterator[int | float]:
    for item in value if isinstance(value, tuple) else (value,):
        if isinstance(item, (int, float)):
            yield item
