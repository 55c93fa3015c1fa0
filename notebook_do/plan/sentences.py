"""The one table of what a plan says of its changes, of drift, in warnings and in notes.

The logic names the sentence, the reason where it has several wordings, and the facts that stand in braces. What a plan
is refused for has a table of its own, of rows of the same shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from notebook_do.display.rich import formatted, rich

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, slots=True)
class Each:
    """A choice that is offered once for each item of the fact `of`; it calls the item `it`.

    `unnamed` is its text for an item without a stable ID, where that differs.
    """

    text: str
    of: str
    unnamed: str = ""

    def text_for(self, item: Any) -> str:
        """Return the format string for one item."""
        return self.unnamed if self.unnamed and not item.stable_id else self.text


@dataclass(frozen=True, slots=True, init=False)
class Again:
    """A choice that declares the fact `of` anew, with other values of some fields: the text, and how that is written.

    With `each` it is offered once for each item of that fact, which it calls `it`. `otherwise` is what stands behind
    the text where there is no declaration of ours that could be written again.
    """

    text: str
    of: str
    changes: Mapping[str, Any]
    each: str
    otherwise: str

    def __init__(self, text: str, of: str, *, each: str = "", otherwise: str = "", **changes: Any) -> None:
        """Take the fields that change with their values; a text is a format string."""
        given = (("text", text), ("of", of), ("changes", changes), ("each", each), ("otherwise", otherwise))
        for name, value in given:
            object.__setattr__(self, name, value)

    def offered(self, facts: Mapping[str, Any]) -> Iterator[str]:
        """Yield the choice, or one for each item."""
        for it in facts[self.each] if self.each else (None,):
            known = {**facts, "it": it}
            yield rich(formatted(self.text, known), ": ", self._written(known))

    def _written(self, facts: Mapping[str, Any]) -> str:
        values = {n: formatted(v, facts) if isinstance(v, str) else v for n, v in self.changes.items()}
        item = facts[self.of]
        if item is not None and item.again is not None:
            return item.again(values)  # type: ignore[no-any-return]  # a fact has any type
        if self.otherwise:
            return formatted(self.otherwise, facts)
        return rich("declare ", formatted("`{said}`", {"said": ", ".join(f"{n}={v!r}" for n, v in values.items())}))


@dataclass(frozen=True, slots=True, init=False)
class Row:
    """A sentence, and the choices that a refusal offers, all of them format strings.

    `reasons` are the reasons that the row is for, each with what `{reason}` stands for in it.
    """

    text: str
    choices: tuple[str | Each | Again, ...]
    reasons: Mapping[str, str]

    def __init__(self, text: str, *choices: str | Each | Again, **reasons: str) -> None:
        """Take the sentence and each choice; a row that has one wording only is for the reason of no name."""
        for name, value in (("text", text), ("choices", choices), ("reasons", reasons or {"": ""})):
            object.__setattr__(self, name, value)

    def say(self, reason: str, facts: Mapping[str, Any]) -> str:
        """Return the sentence. Raise KeyError for a reason or a fact that is missing: a test reads every call."""
        return formatted(self.text, self._with(reason, facts))

    def offer(self, reason: str, facts: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the choices, in the order of the row."""
        known, offered = self._with(reason, facts), list[str]()
        for choice in self.choices:
            if isinstance(choice, Again):
                offered += choice.offered(known)
            elif isinstance(choice, str):
                offered.append(formatted(choice, known))
            else:
                offered += [formatted(choice.text_for(it), {**known, "it": it}) for it in facts[choice.of]]
        return tuple(offered)

    def _with(self, reason: str, facts: Mapping[str, Any]) -> dict[str, Any]:
        words = self.reasons[reason]
        return {**facts, "reason": formatted(words, facts) if words else ""}


def say(name: str, reason: str = "", /, **facts: object) -> str:
    """Return the sentence of a name with its facts, for one of its reasons where it has several."""
    return SENTENCES[name].say(reason, facts)


SENTENCES: dict[str, Row] = {
    # --- Workers
    "worker-created": Row("Worker {script} is created."),
    "worker-unchanged": Row("Worker {script} stays as it is."),
    "worker-adopted": Row("The live Worker {script} is taken over."),
    "worker-kept": Row("Worker {script} is live and not declared in this session; it is kept."),
    "worker-deleted": Row("Worker {script} is deleted."),
    "worker-gone": Row("Worker {script} was deployed before and is gone from the account; it would be created again."),
    "worker-split": Row(
        "Worker {script} runs two versions at once (a gradual deployment), so not everything that answers is what is "
        "declared; this plan ends that at 100 % of the declared code."
    ),
    # An upload is a deployment of one version, whatever other versions ran beside it.
    "split-ends": Row(
        "Worker {script} runs two versions at once; this plan ends that at 100 % of the new code. To go on with it "
        "instead, do not deploy this plan; the tool that began it ends it (npx wrangler versions deploy)."
    ),
    "waits": Row("it waits for {scripts}, which it is linked with."),
    "worker-undeclared": Row(
        "Worker {script} ({reason})",
        live="live",
        gone="recorded, no longer live",
        unrecorded="live, not recorded",
    ),
    # Said only where a plan is not sent unread: who reads it sees what is taken over.
    "worker-unrecorded": Row(
        "Worker {script} {reason}",
        ours="is live as this session's, and the state file here does not have it.",
        adopted="is live and was not made from here.",
    ),
    # --- code and settings
    "code": Row("The code of {script} is {reason}.", sent="sent", replaced="replaced"),
    "code-replaced-outside": Row(
        "The code of {script} was replaced outside{reason}; this plan puts the declared code back.",
        unknown="",
        tool=" by {tool}",
    ),
    "code-deferred": Row(
        "Code updates of {who} are deferred (code_update_strategy): {reason}",
        local="on Cloudflare old code may answer for up to {delay:g} s; here new code answers at once.",
        cloudflare="after the deploy old code may answer for up to {delay:g} s.",
    ),
    "inspect": Row(
        "Objects of {stable_id} {reason}.",
        off="can no longer be asked from here",
        calls="can be called from here, over Worker {inspector}",
        storage="can be called and looked into from here, over Worker {inspector}; modules of ours go up beside those "
        "of {script}",
    ),
    "setting": Row("Setting {name} of {script} is {reason}.", set="set", changed="changed", removed="taken away"),
    # Where the only difference is to what was sent last, and nothing that can be read back shows it.
    "settings-sent": Row("The settings of {script} are sent."),
    "setting-kept": Row("Setting {name} of {script}, which is not declared here, is kept."),
    "date-set-outside": Row(
        "The compatibility date of {script} was set to {found} outside; this plan puts {declared} back."
    ),
    "changed-outside": Row("{reason} changed outside.", one="It was", several="They were"),
    "url": Row("The URL of {script} is {reason}.", open="opened", closed="closed"),
    "previews": Row("The preview URLs of {script} are switched {reason}.", on="on", off="off"),
    # What the rows of a plan show as a change like any other, though somebody else may have made it necessary.
    "undone": Row(
        "{reason}",
        url="The URL of {script} was switched elsewhere.",
        previews="The preview URLs of {script} may have been switched elsewhere.",
        crons="Cron triggers of {script} were removed elsewhere.",
        settings="Bindings or settings of {script} may have been changed elsewhere since the last deploy.",
        again="Secret {name} of {script} was not set from here last, and is set again.",
        trigger="{name} of {script} was changed elsewhere.",
    ),
    "trigger-unrecorded": Row("{label} of {script} is live, and was not set from here."),
    # --- how classes change: the form, migration tags, what `exports` has besides the declared classes
    # Cloudflare refuses `migrations` once a Worker has been deployed with `exports`.
    "form-converted": Row(
        "Worker {script} switches from `migrations` to `exports`. This is one-way: it can never go back."
    ),
    "form-changed-outside": Row("Worker {script} was switched to {form} outside; this plan follows it."),
    "tag-noted": Row("The migration tag {tag} of {script}, set by another project, is taken note of."),
    # wrangler sends its whole list of migrations again where the live tag is none of it, and is refused (10074).
    "tag-handed-over": Row(
        "Worker {script} bears the migration tag {tag} of {reason}",
        alchemy="Alchemy, which does not know the tag that follows.",
        project='another project. Before that one deploys it again, add this at the end of "migrations" in its '
        "wrangler configuration, in place of entries there that do the same under another tag, and give its code "
        "these class names: {entries}",
    ),
    "mark-completed": Row(
        "The tags of Worker {script} are to say which namespaces {stable_ids} are; an interrupted deploy left their "
        "ids out."
    ),
    # A script has ten tags at most, of 1,024 bytes each, and other tools have theirs among them.
    "no-room-for-the-mark": Row(
        "Worker {script} has too many tags or namespaces for our mark: the state file alone knows its stable IDs; keep "
        "a copy of it."
    ),
    "entry-kept": Row(
        "The `exports` entry {name} {reason} of {script}, not declared here, is kept.",
        type="of type {type}",
        keys="({keys} of a class)",
    ),
    "entry-ends": Row("the `exports` entry of class {class_name} of {script} has {rest}, which ends with the class."),
    "earlier-name-told": Row("The upload tells again what became of class {class_name} of {script}."),
    "earlier-name-bound": Row(
        "class {class_name} of {script} became {reason}, and {others}, outside this session, binds it. If that is "
        "still by the old name, deploy {others} with the new one; each upload of {script} tells what became of the "
        "name until nobody needs it.",
        renamed="{now.class_name}",
        moved="{now.class_name} of {now.script_name}",
    ),
    # A live binding follows its namespace through a rename or a move; the next upload of who binds it goes by names.
    "class-bound-outside": Row(
        "class {at.class_name} of {at.script} (namespace {stable_id}) is bound by {others}, outside this session. Its "
        "bindings follow; at its next deploy it must name class {goal.class_name}{reason}.",
        renamed="",
        moved=" of {goal.script}",
    ),
    "binders-unread": Row(
        "who else binds class {at.class_name} of {at.script} (namespace {stable_id}) could not be read: {problem}"
    ),
    # In the `exports` form a transfer is announced by the upload of its destination, and by every later one again.
    "transfer-taken-back": Row(
        "Worker {script} waits to take over class {class_name} from another Worker; this plan takes that back."
    ),
    # --- static assets
    "assets": Row(
        "The static assets of {script} are {reason}: {files}, {size:,} bytes.", sent="sent", replaced="replaced"
    ),
    "assets-removed": Row("The static assets of {script}, which this session sent, are removed."),
    "assets-removed-outside": Row("The static assets of {script} were removed outside; this plan puts them back."),
    "assets-kept": Row("The static assets of {script}, which are not declared here, are kept."),
    # --- bindings
    "binding": Row(
        "Binding {name} of {script} is {reason}.",
        added="added: {bound}",
        class_added="added: the {bound}",
        removed="removed",
        changed="changed",
    ),
    # No request reads the value of a secret: what was set elsewhere can only be set again.
    "secret": Row(
        "Secret {name} of {script} is {reason}",
        set="set.",
        again="set again: the live value was not set from here, and cannot be compared.",
        changed="changed: its value is not the one that was set last.",
        removed="removed: it was set from here, and is no longer declared.",
    ),
    "secret-kept": Row(
        "Secret {name} of {script}{reason} is kept.", declared="", undeclared=", which is not declared here,"
    ),
    "secret-noted": Row("Secret {name} of {script} is live, and was neither set from here nor declared: it is kept."),
    "secret-of-others": Row("kept: not set from here, not declared"),
    # --- what a target does not do
    "unserved": Row(
        "Worker {script}: {reason} not served locally: the Worker runs, and each use throws an error that says so; "
        "deploy to Cloudflare to use {names}.",
        one="this binding is",
        several="these bindings are",
    ),
    # No image is built, pushed or run from here: wrangler does all three with Docker and Cloudflare's own registry.
    "containers": Row(
        "Worker {script}: {names} {reason}",
        local="runs here without a container, ctx.container is undefined: its image runs on Cloudflare only, where "
        "wrangler builds and pushes it; deploy this Worker with wrangler to use it.",
        cloudflare="has a container, which only wrangler deploys, as it builds and pushes the image: this plan sends "
        "the code alone, and what that makes of a live container is not known; deploy this Worker with wrangler.",
    ),
    # --- triggers
    "trigger": Row("{label} of {script} is {reason}.", set="set", changed="changed", adopted="taken over"),
    "trigger-removed": Row("{label} of {script}, which this session set, is removed."),
    "trigger-changed-outside": Row(
        "{label} of {script} {reason}: somebody else did that; this plan puts it back.",
        unset="is no longer set",
        changed="was changed",
    ),
    "queue-made": Row("Queue {queue} is made."),
    "crons": Row("The cron triggers of {script} are {reason}.", set="set", replaced="replaced"),
    "cron-removed": Row("Cron trigger {crons} of {script}, set from here and no longer declared, is removed."),
    "cron-kept": Row("Cron trigger {cron} of {script}, which is not declared here, is kept."),
    # --- namespaces
    "namespace-unrecorded": Row(
        "Namespace {stable_id} becomes the live one with id {namespace_id:short}, which the state file here does not "
        "have."
    ),
    "namespace-created": Row(
        "Namespace {stable_id} begins empty: class {class_name}, {reason} storage.", kv="key-value", sqlite="SQLite"
    ),
    "namespace-unchanged": Row("Namespace {stable_id} stays as it is."),
    "namespace-renamed": Row(
        "Namespace {stable_id} keeps its id and its objects; class {was.class_name} becomes {now.class_name}."
    ),
    "namespace-moved": Row("Namespace {stable_id} moves with its objects from Worker {was.script} to {now.script}."),
    "namespace-moved-outside": Row("namespace {stable_id} was {before} and is now {after}: changed outside."),
    "namespace-kept": Row("Namespace {stable_id} is live and not declared in this session; it is kept."),
    "namespace-destroyed": Row("Namespace {stable_id} is destroyed with all its objects; this cannot be undone."),
    "namespace-gone": Row("namespace {stable_id} ({namespace_id:short}) is gone from the account, with its objects."),
    "undeclared-namespace-gone": Row(
        "Namespace {stable_id} ({namespace_id:short}) is gone from the account, with its objects; it is not declared "
        "in this session. `%durable destroy {stable_id}` forgets it."
    ),
    "namespace-undeclared": Row("namespace {stable_id} ({reason})", live="live", gone="recorded, no longer live"),
    "stable-id-renamed": Row("The stable ID {before} becomes {after}; nothing else changes for its objects."),
    "renamed-from-unknown": Row(
        "namespace {stable_id}: renamed_from names {former}, which is not known here; {stable_id} begins empty."
    ),
    "transferred-from-unknown": Row(
        "namespace {stable_id}: what transferred_from moves from {source} is not known here; {stable_id} begins empty."
    ),
    # Free plans have none (10097), and since July 2026 only accounts that have some get more (10099).
    "key-value-is-rare": Row(
        "namespace {stable_id}: Cloudflare takes new key-value namespaces from few accounts only; leave sqlite=False "
        "(--kv) out unless yours is one."
    ),
    "forgotten": Row("{reason} {name} is gone already; it is forgotten.", namespace="Namespace", worker="Worker"),
    "only-forgets": Row("this plan only forgets {gone}; what else is declared is planned after it."),
    # --- in a row of the view, under heads that name the Worker and the thing
    "row-adopted": Row(
        "taken over{reason}; its namespaces are kept", session=" from session {session}, stage {stage}", unknown=""
    ),
    "row-code-unread": Row("is replaced; what is live could not be read: {problem}"),
    "row-code-same": Row("the same lines are sent again"),
    "row-forgotten": Row("no longer in the account; only its entry in the state file is removed"),
    "row-stable-id": Row("stable ID {before} → {after}; its objects stay"),
    "row-settings": Row("sent as declared; what differs is not shown by Cloudflare"),
    "row-tag-noted": Row("`{tag}`, set by another project, is taken note of"),
    "row-mark": Row("get the namespace id of {stable_ids}, which an interrupted deploy left out"),
    "row-secret": Row(
        "{reason}",
        set="from {source}",
        changed="{source} holds another value than at the last deploy",
        again="set again: it was last set elsewhere",
    ),
    "row-secret-removed": Row("was set from here, and is no longer declared"),
    "row-follows": Row("follows the {reason} of namespace {stable_id}", rename="rename", transfer="transfer"),
    # Bindings are read by a request for each script: no list of an account has them.
    "bindings-unread": Row(
        "the bindings of {count} other {reason} were not read; one of them may still bind what is destroyed.",
        one="Worker",
        several="Workers",
    ),
}
