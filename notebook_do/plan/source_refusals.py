"""The part of the table of refusals that is about what a source exports."""

from __future__ import annotations

from notebook_do.plan.sentences import Each, Row

SOURCE_REFUSALS: dict[str, Row | tuple[Row, ...]] = {
    "class-not-exported": (  # Cloudflare refuses such an upload (10070), and a binding to such a class (10061)
        Row(
            "class {lacking.class_name} of namespace {subject} is not exported by the source of Worker {worker}. "
            "{lacking.exported}",
            Each("the class is {it}: declare class_name={it!r} (--class {it})", of="near"),
            "the class is {lacking.class_name}: write `export class {lacking.class_name} extends DurableObject` in it",
        ),
        Row(
            "class {lacking.was} of namespace {subject} is declared as {lacking.class_name}, and not renamed in the "
            "source of Worker {worker}. {lacking.exported}",
            "rename it there too: write `export class {lacking.class_name} extends DurableObject` in place of "
            "{lacking.was}",
            "keep the name: declare class_name={lacking.was!r} (--class {lacking.was})",
            renamed="",
        ),
    ),
    "workflow-not-exported": Row(  # Cloudflare starts the script and looks for the class (10021)
        "class {lacking.class_name} of workflow {subject} is not exported by the source of Worker {worker}. "
        "{lacking.exported}",
        Each("the class is {it}: declare class_name={it!r} on the binding", of="near"),
        "the class is {lacking.class_name}: write `export class {lacking.class_name} extends WorkflowEntrypoint` in it",
    ),
    "nothing-exported": Row(  # 10068, the uploaded script has no registered event handlers
        "the source of Worker {subject} exports nothing, so that nothing could ever call it.",
        "write `export default {{ fetch(request, env) {{ ... }} }}` in it, or export its classes",
    ),
}
