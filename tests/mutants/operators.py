"""What is changed in a mutant: cosmic-ray's operators that turn logic, and three of our own in its terms.

No operator changes numbers, texts or annotations: such mutants are mostly equivalent, or say nothing of a guard.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import parso
from cosmic_ray.operators import boolean_replacer
from cosmic_ray.operators.boolean_replacer import ReplaceAndWithOr, ReplaceOrWithAnd
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator

if TYPE_CHECKING:
    from collections.abc import Iterator

Position = tuple[tuple[int, int], tuple[int, int]]
_EMPTY = {
    "tuple": "()",
    "list": "[]",
    "Sequence": "()",
    "Iterator": "iter(())",
    "Iterable": "()",
    "dict": "{}",
    "Mapping": "{}",
    "str": "''",
    "bytes": "b''",
    "set": "set()",
    "frozenset": "frozenset()",
    "int": "0",
    "float": "0.0",
}
_ALREADY = frozenset({"None", "False", "True", "()", "[]", "{}", "''", '""', "frozenset()", "set()", "0"})


def _function_of(node: Any) -> Any:
    while node is not None and node.type != "funcdef":
        node = node.parent
    return node


class AddNot(boolean_replacer.AddNot):  # type: ignore[misc]
    """Turn a condition, also one that names a value: `not a := b` is no Python, and kills nothing."""

    def mutate(self, node: Any, index: int) -> Any:
        """Put what names a value in brackets, then negate it."""
        place = 2 if node.type == "test" else 1
        if node.children[place].type == "namedexpr_test":
            node.children[place] = parso.parse(f" ({node.children[place].get_code().strip()})")
        return super().mutate(node, index)


class EmptyReturn(Operator):  # type: ignore[misc]
    """Let a function return nothing of the kind that it promises; a bool is turned."""

    def mutation_positions(self, node: Any) -> Iterator[Position]:
        """Find `return` statements that say something."""
        if node.type == "return_stmt" and node.children[1].get_code(include_prefix=False) not in _ALREADY:
            yield node.children[1].start_pos, node.children[1].end_pos

    def mutate(self, node: Any, index: int) -> Any:  # noqa: ARG002 - cosmic-ray's signature
        """Put the empty value of the promised type there."""
        function = _function_of(node)
        promised = function.annotation.get_code().strip() if function and function.annotation else ""
        if promised == "bool":
            code = f" not ({node.children[1].get_code()})"
        elif promised.endswith("| None"):
            code = " None"
        else:
            code = " " + _EMPTY.get(promised.partition("[")[0], "None")
        node.children[1] = parso.parse(code)
        return node

    @classmethod
    def examples(cls) -> tuple[()]:
        """None are needed."""
        return ()


class TurnFilter(Operator):  # type: ignore[misc]
    """Turn the condition of a comprehension."""

    def mutation_positions(self, node: Any) -> Iterator[Position]:
        """Find `if` parts of comprehensions."""
        if node.type == "comp_if":
            yield node.children[1].start_pos, node.children[1].end_pos

    def mutate(self, node: Any, index: int) -> Any:  # noqa: ARG002 - cosmic-ray's signature
        """Negate it."""
        node.children[1] = parso.parse(f" not ({node.children[1].get_code()})")
        return node

    @classmethod
    def examples(cls) -> tuple[()]:
        """None are needed."""
        return ()


class LeaveOutCall(Operator):  # type: ignore[misc]
    """Leave out a call that stands alone: what it does does not happen."""

    def mutation_positions(self, node: Any) -> Iterator[Position]:
        """Find statements that are one call, awaited or not."""
        if node.type != "simple_stmt" or node.children[0].type not in {"atom_expr", "power"}:
            return
        last = node.children[0].children[-1]
        if last.type == "trailer" and last.children[0] == "(":
            yield node.children[0].start_pos, node.children[0].end_pos

    def mutate(self, node: Any, index: int) -> Any:  # noqa: ARG002 - cosmic-ray's signature
        """Put `pass` there."""
        prefix = node.children[0].get_first_leaf().prefix
        node.children[0] = parso.parse(f"{prefix}pass")
        return node

    @classmethod
    def examples(cls) -> tuple[()]:
        """None are needed."""
        return ()


def operators() -> dict[str, Operator]:
    """Give the operators by name."""
    cosmic = (
        "ReplaceUnaryOperator_Delete_Not",
        "ReplaceBreakWithContinue",
        "ReplaceContinueWithBreak",
        "ZeroIterationForLoop",
        "ReplaceComparisonOperator_Eq_NotEq",
        "ReplaceComparisonOperator_NotEq_Eq",
        "ReplaceComparisonOperator_Lt_GtE",
        "ReplaceComparisonOperator_GtE_Lt",
        "ReplaceComparisonOperator_Gt_LtE",
        "ReplaceComparisonOperator_LtE_Gt",
        "ReplaceComparisonOperator_Is_IsNot",
        "ReplaceComparisonOperator_IsNot_Is",
    )
    ours = {
        c.__name__: c() for c in (AddNot, ReplaceAndWithOr, ReplaceOrWithAnd, EmptyReturn, TurnFilter, LeaveOutCall)
    }
    return ours | {name: get_operator(f"core/{name}")() for name in cosmic}
