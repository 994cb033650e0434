"""What the settings of all stages share: options with checks, layers, a table, and when a setting counts."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from typing import Any, NamedTuple

from trailer_lib.errors import TrailerError, suggestion


class Condition(NamedTuple):
    """When a setting counts: in words, and as a function of all settings."""

    words: str
    holds: Callable[[Any], bool]


ALWAYS = Condition("", lambda settings: True)


def option(
    default: Any, meaning: str, choices: tuple = (), low: float | None = None, high: float | None = None,
    counts: Condition = ALWAYS,
) -> Any:  # fmt: skip
    """A dataclass field with what the settings table and the checks need to know of it."""
    facts = {"meaning": meaning, "choices": choices, "low": low, "high": high, "counts": counts}
    return field(default=default, metadata=facts)


def choice(meaning: str, choices: tuple[str, ...], counts: Condition = ALWAYS) -> Any:
    """An option of which the first choice is the default."""
    return option(choices[0], meaning, choices, counts=counts)


@dataclass(frozen=True)
class Settings:
    """A stage's settings: checked on creation; `origins` says which layer each one came from that is no default."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "origins", {})
        for item in fields(self):
            object.__setattr__(self, item.name, checked(item, getattr(self, item.name)))

    @classmethod
    def layered(cls, layers: dict[str, dict[str, Any]], schemes: dict[str, dict[str, Any]] | None = None) -> "Settings":
        """Settings from named layers, each over those before, and a scheme right below the last that names one."""
        names, values, origins = [item.name for item in fields(cls)], {}, {}
        naming = [origin for origin, layer in layers.items() if "scheme" in layer][-1:]
        for origin, layer in layers.items():
            if origin in naming:
                meant = (schemes or {}).get(str(layer["scheme"]), {})
                values |= meant
                origins |= dict.fromkeys(meant, f"scheme {layer['scheme']!r}")
            for name in layer:
                if name not in names:
                    raise TrailerError(f"unknown setting {name!r} ({origin}): {suggestion(name, names)}")
            values |= layer
            origins |= dict.fromkeys(layer, origin)
        settings = cls(**values)
        settings.origins.update(origins)
        return settings

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def changed(self) -> dict[str, Any]:
        """The settings that differ from their defaults."""
        return {name: value for name, value in self.as_dict().items() if value != getattr(type(self), name)}

    def idle(self, origins: tuple[str, ...] = ("this cell", "code")) -> list[str]:
        """A line for each condition that fails and the settings, set in `origins`, that count only where it holds."""
        reasons: dict[str, list[str]] = {}
        facts = {item.name: item.metadata["counts"] for item in fields(self)}
        for name, value in self.changed().items():
            if self.origins.get(name, "code") in origins and not facts[name].holds(self):
                reasons.setdefault(facts[name].words, []).append(f"{name} = {value!r}")
        return [f"{', '.join(names)} has no effect here: it counts only {words}" for words, names in reasons.items()]

    def refuse_idle(self) -> None:
        """TrailerError when a setting that the user set himself does not count beside the others."""
        if lines := self.idle():
            raise TrailerError("; ".join(lines))

    def table(self) -> Any:
        """Value, origin and meaning of all settings: a pandas table."""
        import pandas as pd  # half a second, which --help should not take

        values = self.as_dict()
        origins = [self.origins.get(name, "default") for name in values]
        columns = {"value": [*map(repr, values.values())], "from": origins, "meaning": [*map(meaning, fields(self))]}
        return pd.DataFrame(columns, pd.Index(values, name="setting"))

    def _repr_html_(self) -> str:
        import pandas as pd

        names = [*self.changed()]
        with pd.option_context("display.max_colwidth", None):
            html = self.table().loc[names].to_html(justify="left").replace("<td>", '<td style="text-align: left">')
        return html if names else "every setting is at its default"


def meaning(item: Any) -> str:
    """What a setting means, and its choices."""
    choices = " | ".join(map(repr, item.metadata["choices"]))
    return item.metadata["meaning"] + (f": {choices}" if choices else "")


def checked(item: Any, value: Any) -> Any:
    """`value` in the type of the field's default, or an error that says what the field takes."""
    kind, choices, low, high = type(item.default), *(item.metadata[key] for key in ("choices", "low", "high"))
    if kind is float and type(value) is int:
        value = float(value)
    if kind is tuple and isinstance(value, list | str):
        value = tuple(value.split(",") if isinstance(value, str) else value)
    if item.name == "freeze" and type(value) is int:
        value = str(value)
    wrong = f"setting {item.name} = {value!r}: "
    if type(value) is not kind:
        raise TrailerError(f"{wrong}expected {kind.__name__}, like {item.default!r}")
    parts = (value or ("",)) if kind is tuple else (value,)
    for part in parts if choices else ():
        if part not in choices or parts.count(part) > 1:
            raise TrailerError(f"{wrong}{suggestion(part, map(str, choices))}")
    # `not low <= value` instead of `value < low`: nan must fail too.
    if (low is not None and not low <= value) or (high is not None and not value <= high):
        raise TrailerError(f"{wrong}expected " + (f"at least {low}" if high is None else f"from {low} to {high}"))
    if item.name == "betas" and not (len(value) == 2 and all(type(b) is float and 0 <= b < 1 for b in value)):
        raise TrailerError(f"{wrong}expected two numbers from 0 to below 1, like {item.default!r}")
    if item.name == "freeze" and value not in ("none", "backbone") and not value.isdecimal():
        raise TrailerError(f"{wrong}expected 'none', 'backbone' or a number of stages, like '2'")
    return value
