"""The part of the table of refusals that is about what a source exports."""

from __future__ import annotations

from notebook_do.plan.sentences import Again, Each, Row

SOURCE_REFUSALS: dict[str, Row | tuple[Row, ...]] = {
    "class-not-exported": (  # Cloudflare refuses such an upload (10070), and a binding to such a class (10061)
        Row(
            "class {lacking.class_name} of namespace {subject} is not exported by {source}. {lacking.exported}",
            Again("the class is {it}", of="desired", each="near", class_name="{it}"),
            "the class is {lacking.class_name}: write `export class {lacking.class_name} extends DurableObject` there",
            Each("lose its objects: `%durable destroy {it.stable_id}`", of="deployed"),
        ),
        Row(
            "class {lacking.was} of namespace {subject} is declared as {lacking.class_name}, and not renamed in "
            "{source}. {lacking.exported}",
            "rename it there too: write `export class {lacking.class_name} extends DurableObject` in place of "
            "{lacking.was}",
            Again("keep the name", of="desired", class_name="{lacking.was}", renamed_from=None),
            renamed="",
        ),
    ),
    "workflow-not-exported": Row(  # Cloudflare starts the script and looks for the class (10021)
        "class {lacking.class_name} of workflow {subject} is not exported by {source}. {lacking.exported}",
        Each('the class is {it}: write `class_name = "{it}"` in the binding of workflow {subject}', of="near"),
        "the class is {lacking.class_name}: write `export class {lacking.class_name} extends WorkflowEntrypoint` there",
    ),
    "nothing-exported": Row(  # 10068, the uploaded script has no registered event handlers
        "{source} exports nothing, so that nothing could ever call it.",
        "write `export default {{ fetch(request, env) {{ ... }} }}` in it, or export its classes",
    ),
}
