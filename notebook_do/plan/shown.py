"""The steps of a plan as they may be written and shown: without the values and settings that are hidden."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from notebook_do.display.hiding import hidden, shown_json, shown_value
from notebook_do.model import Json, PlainText, ServiceBinding, ValueBinding
from notebook_do.model.steps import Upload

if TYPE_CHECKING:
    from notebook_do.model import ScriptBinding
    from notebook_do.model.steps import Step


def shown_step(step: Step) -> Step:
    """Return a step as it may be shown: an upload without the values and settings that are hidden."""
    if not isinstance(step, Upload):
        return step
    return replace(step, bindings=tuple(map(_shown_binding, step.bindings)), options=_shown_table(step.options))


def _shown_binding(binding: ScriptBinding) -> ScriptBinding:
    if not isinstance(binding, ValueBinding):
        return binding
    match binding.value:
        case PlainText(text=text) if hidden(binding.name, text):
            return replace(binding, value=PlainText(text=str(shown_value(binding.name, text))))
        case Json() as value:
            return replace(binding, value=_shown_table(value, binding.name))
        case ServiceBinding(props=props) if props is not None:
            return replace(binding, value=replace(binding.value, props=_shown_table(props)))
    return binding


def _shown_table(value: Json, name: str = "") -> Json:
    shown = shown_json(name, value.value)
    return value if shown == value.value else Json(shown)
