"""The invariants that the database itself keeps, on SQLite and on PostgreSQL.

Each rule is one row of `RULES`: a condition over OLD and NEW under which the statement is refused.
The same words serve both databases but for "differs" (`IS NOT` / `IS DISTINCT FROM`) and the clock. "Recently"
leaves room for the clocks of two machines and for a wait between the reading of a clock and the statement.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

DIALECTS = {
    "sqlite": {
        "differs": "IS NOT",
        "now": "strftime('%Y-%m-%d %H:%M:%f', 'now')",
        "recently": "strftime('%Y-%m-%d %H:%M:%f', 'now', '-10 seconds')",
    },
    # Not now(), which is the moment at which the transaction began.
    "postgresql": {
        "differs": "IS DISTINCT FROM",
        "now": "clock_timestamp()",
        "recently": "(clock_timestamp() - interval '10 seconds')",
    },
}


@dataclass(frozen=True)
class Rule:
    name: str
    table: str
    event: str  # INSERT, UPDATE or DELETE
    when: str
    says: str


def frozen(table: str, columns: str, *, unless: str, says: str) -> Rule:
    changed = " OR ".join(f"OLD.{c} {{differs}} NEW.{c}" for c in columns.split())
    return Rule(f"{table}_frozen", table, "UPDATE", f"NOT ({unless}) AND ({changed})", says)


def kept(table: str) -> Rule:
    return Rule(f"{table}_kept", table, "DELETE", "1 = 1", f"rows of {table} are never deleted")


def one_way(table: str, *, first: str, last: str, unless: str = "1 = 0") -> Rule:
    """Once filled never open for filling again, once ended never back."""
    return Rule(
        f"{table}_one_way",
        table,
        "UPDATE",
        f"OLD.status {{differs}} NEW.status AND (OLD.status IN ({last}) OR NEW.status IN ({first})) AND NOT ({unless})",
        f"a status of {table} never goes back",
    )


def of_filled(manifest: str) -> str:
    """Whether a version that is past its filling names the manifest."""
    dataset = "SELECT 1 FROM registry_datasetversion v WHERE v.status NOT IN ('uploading', 'validating')"
    rows = (
        f"SELECT 1 FROM registry_adapterversion v WHERE v.status <> 'verifying' AND v.manifest_id = {manifest}",
        f"SELECT 1 FROM registry_baseversion v WHERE v.status <> 'ingesting' AND v.manifest_id = {manifest}",
        f"{dataset} AND v.manifest_id = {manifest}",
        f"{dataset} AND v.source_id = {manifest}",
    )
    return " OR ".join(f"EXISTS ({row})" for row in rows)


RULES = [
    # 1: numbers come from a counter that never goes back; what is ready never changes but for its status.
    *[
        Rule(
            f"{t}_counter",
            t,
            "UPDATE",
            "NEW.version_counter < OLD.version_counter",
            "a version number is never used twice",
        )
        for t in ("basemodel", "dataset", "adapter")
    ],
    frozen(
        "adapterversion",
        "id adapter_id number base_version_id dataset_version_id job_id method rank alpha target_modules"
        " trainable_parameters bytes manifest_id probe peft_loadable vllm_servable vllm_reason created_by_id created_at",
        unless="OLD.status = 'verifying'",
        says="an adapter version never changes but for its status",
    ),
    frozen(
        "baseversion",
        "id base_model_id number source revision reference note manifest_id config_sha256 tokenizer_sha256 chat_template_sha256"
        " weights_sha256 module_table shape_fingerprint parameter_count dtype context_length change job_id"
        " created_by_id created_at",
        unless="OLD.status = 'ingesting'",
        says="a base version never changes but for its status",
    ),
    frozen(
        "datasetversion",
        "id dataset_id number source_id manifest_id sha256 format row_count splits report job_id created_by_id created_at",
        unless="OLD.status IN ('uploading', 'validating')",
        says="a dataset version never changes but for its status",
    ),
    one_way("adapterversion", first="'verifying'", last="'rejected', 'withdrawn'"),
    one_way("baseversion", first="'ingesting'", last="'failed', 'retired'"),
    one_way(
        "datasetversion",
        first="'uploading', 'validating'",
        last="'rejected', 'withdrawn'",
        unless="OLD.status = 'uploading' AND NEW.status = 'validating'",
    ),
    *[kept(t) for t in ("adapterversion", "baseversion", "datasetversion", "manifest", "manifestentry")],
    Rule(
        "manifestentry_closed",
        "manifestentry",
        "INSERT",
        of_filled("NEW.manifest_id"),
        "the files of a version never change",
    ),
    frozen(
        "artifact", "sha256 size", unless="OLD.state = 'pending'", says="stored bytes keep their digest and size"
    ),
    Rule(
        "artifact_stored",
        "artifact",
        "UPDATE",
        "OLD.state {differs} 'pending' AND NEW.state = 'pending'",
        "what was stored is not pending again",
    ),
    # 3: an alias points to a ready version of its own adapter; its history has no gaps and no overlaps.
    *[
        Rule(
            f"alias_ready_{event.lower()}",
            "alias",
            event,
            "NEW.deleted_at IS NULL AND NOT EXISTS (SELECT 1 FROM registry_adapterversion v WHERE v.id = NEW.version_id"
            " AND v.adapter_id = NEW.adapter_id AND v.status = 'ready')" + extra,
            "an alias points only to a ready version of its own adapter",
        )
        for event, extra in (("INSERT", ""), ("UPDATE", " AND OLD.version_id {differs} NEW.version_id"))
    ],
    kept("alias"),
    frozen("alias", "id adapter_id name", unless="1 = 0", says="an alias keeps its adapter and its name"),
    Rule(
        "alias_deleted_once",
        "alias",
        "UPDATE",
        "OLD.deleted_at IS NOT NULL AND (OLD.deleted_at {differs} NEW.deleted_at"
        " OR OLD.version_id {differs} NEW.version_id)",
        "a deleted alias stays deleted",
    ),
    Rule(
        "aliashistory_closed_once",
        "aliashistory",
        "UPDATE",
        "OLD.valid_to IS NOT NULL OR OLD.alias_id {differs} NEW.alias_id OR OLD.version_id {differs} NEW.version_id"
        " OR OLD.valid_from {differs} NEW.valid_from OR OLD.actor {differs} NEW.actor OR OLD.reason {differs} NEW.reason",
        "an alias history row is closed once and never rewritten",
    ),
    Rule(
        "aliashistory_no_gap",
        "aliashistory",
        "INSERT",
        "EXISTS (SELECT 1 FROM registry_aliashistory h WHERE h.alias_id = NEW.alias_id) AND NEW.valid_from {differs}"
        " (SELECT MAX(h.valid_to) FROM registry_aliashistory h WHERE h.alias_id = NEW.alias_id)",
        "an alias history has no gaps and no overlaps",
    ),
    Rule(
        "aliashistory_one_at_a_time",
        "aliashistory",
        "INSERT",
        "EXISTS (SELECT 1 FROM registry_aliashistory h WHERE h.alias_id = NEW.alias_id AND h.valid_to IS NULL)",
        "an alias history has no gaps and no overlaps",
    ),
    # The first row may begin when it likes: before it there is nothing that it could contradict.
    *[
        Rule(
            f"{t}_not_backdated",
            t,
            "INSERT",
            f"EXISTS (SELECT 1 FROM registry_{t} o WHERE o.{parent} = NEW.{parent}) AND NEW.valid_from < {{recently}}",
            "what was so in the past stays so",
        )
        for t, parent in (("assignment", "slot_id"), ("aliashistory", "alias_id"))
    ],
    *[
        Rule(
            f"{t}_not_in_the_past",
            t,
            "UPDATE",
            "OLD.valid_to {differs} NEW.valid_to AND NEW.valid_to < {recently}",
            "what was so in the past stays so",
        )
        for t in ("aliashistory", "assignment")
    ],
    kept("aliashistory"),
    frozen(
        "approval",
        "id alias_id version_id manifest_sha256 approver_id reason created_at",
        unless="1 = 0",
        says="an approval is never rewritten",
    ),
    Rule(
        "approval_used_once",
        "approval",
        "UPDATE",
        "OLD.used_at IS NOT NULL AND OLD.used_at {differs} NEW.used_at",
        "an approval is used once",
    ),
    kept("approval"),
    # 4: assignments never overlap; rows are closed, never rewritten.
    Rule(
        "assignment_closed_only",
        "assignment",
        "UPDATE",
        "OLD.slot_id {differs} NEW.slot_id OR OLD.adapter_id {differs} NEW.adapter_id OR OLD.alias_id {differs} NEW.alias_id"
        " OR OLD.version_id {differs} NEW.version_id OR OLD.canary_version_id {differs} NEW.canary_version_id"
        " OR OLD.canary_percent {differs} NEW.canary_percent OR OLD.valid_from {differs} NEW.valid_from"
        " OR OLD.actor {differs} NEW.actor OR OLD.reason {differs} NEW.reason"
        " OR (OLD.valid_to IS NOT NULL AND (OLD.valid_to <= {now} OR NEW.valid_to IS NULL"
        " OR NEW.valid_to > OLD.valid_to))",
        "an assignment is closed, never rewritten",
    ),
    Rule(
        "assignment_own",
        "assignment",
        "INSERT",
        "NOT EXISTS (SELECT 1 FROM registry_alias a WHERE a.id = NEW.alias_id AND a.adapter_id = NEW.adapter_id"
        " AND a.deleted_at IS NULL)"
        " AND NOT EXISTS (SELECT 1 FROM registry_adapterversion v WHERE v.id = NEW.version_id"
        " AND v.adapter_id = NEW.adapter_id AND v.status = 'ready')",
        "an assignment names a living alias or a ready version of its own adapter",
    ),
    Rule(
        "assignment_canary",
        "assignment",
        "INSERT",
        "NEW.canary_version_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM registry_adapterversion v"
        " WHERE v.id = NEW.canary_version_id AND v.adapter_id = NEW.adapter_id AND v.status = 'ready')",
        "a canary is a ready version of the assignment's adapter",
    ),
    kept("assignment"),
    # 5: what an alias or an open assignment refers to can't be archived or withdrawn.
    Rule(
        "adapterversion_in_use",
        "adapterversion",
        "UPDATE",
        "OLD.status {differs} NEW.status AND NEW.status IN ('archived', 'withdrawn') AND ("
        "EXISTS (SELECT 1 FROM registry_alias a WHERE a.version_id = NEW.id AND a.deleted_at IS NULL)"
        " OR EXISTS (SELECT 1 FROM registry_assignment s WHERE (s.version_id = NEW.id OR s.canary_version_id = NEW.id)"
        " AND (s.valid_to IS NULL OR s.valid_to > {now} AND s.valid_to > s.valid_from)))",
        "a version in use can't be archived or withdrawn",
    ),
    Rule(
        "alias_in_use",
        "alias",
        "UPDATE",
        "OLD.deleted_at IS NULL AND NEW.deleted_at IS NOT NULL AND EXISTS (SELECT 1 FROM registry_assignment s"
        " WHERE s.alias_id = NEW.id AND (s.valid_to IS NULL OR s.valid_to > {now} AND s.valid_to > s.valid_from))",
        "an alias in use can't be deleted",
    ),
    # 6: the audit is append-only.
    *[
        Rule(f"{t}_fixed", t, "UPDATE", "1 = 1", f"rows of {t} never change")
        for t in ("auditevent", "auditseal", "audithead", "manifest", "manifestentry")
    ],
    *[kept(t) for t in ("auditevent", "auditseal", "audithead")],
    # 7: bytes first, row second.
    Rule(
        "manifestentry_committed",
        "manifestentry",
        "INSERT",
        "NOT EXISTS (SELECT 1 FROM registry_artifact a WHERE a.sha256 = NEW.artifact_id"
        " AND a.state IN ('committed', 'referenced'))",
        "a manifest names only committed or referenced artifacts",
    ),
    # 8: a final state is final.
    Rule(
        "job_final",
        "job",
        "UPDATE",
        "OLD.state IN ('succeeded', 'failed', 'cancelled') AND OLD.state {differs} NEW.state",
        "a job that ended stays as it ended",
    ),
]

# A bare '9999' would be compared as a number, which is less than any text.
OVERLAP = (
    "EXISTS (SELECT 1 FROM registry_assignment o WHERE o.slot_id = NEW.slot_id AND o.id {differs} NEW.id"
    " AND o.valid_from < COALESCE(NEW.valid_to, '9999-12-31') AND NEW.valid_from < COALESCE(o.valid_to, '9999-12-31')"
    " AND COALESCE(o.valid_to, '9999-12-31') > o.valid_from AND COALESCE(NEW.valid_to, '9999-12-31') > NEW.valid_from)"
)
SQLITE_RULES = [
    Rule(f"assignment_overlap_{e.lower()}", "assignment", e, OVERLAP, "assignments of one slot never overlap")
    for e in ("INSERT", "UPDATE")
]
EXCLUSION = (
    "ALTER TABLE registry_assignment ADD CONSTRAINT assignment_no_overlap EXCLUDE USING gist"
    " (int8range(slot_id, slot_id, '[]') WITH &&, tstzrange(valid_from, valid_to) WITH &&)"
)


def create(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    vendor = editor.connection.vendor
    for rule in RULES + (SQLITE_RULES if vendor == "sqlite" else []):
        for statement in statements(rule, vendor):
            editor.execute(statement, params=None)
    if vendor == "postgresql":
        editor.execute(EXCLUSION, params=None)


def statements(rule: Rule, vendor: str) -> list[str]:
    when = rule.when
    for word, meaning in DIALECTS[vendor].items():
        when = when.replace("{" + word + "}", meaning)
    says = rule.says.replace("'", "''")
    head = f"CREATE TRIGGER plethora_{rule.name} BEFORE {rule.event} ON registry_{rule.table} FOR EACH ROW"
    if vendor == "sqlite":
        return [f"{head} WHEN {when} BEGIN SELECT RAISE(ABORT, '{says}'); END"]
    row = "OLD" if rule.event == "DELETE" else "NEW"
    return [
        f"CREATE FUNCTION plethora_{rule.name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF {when} THEN"
        f" RAISE EXCEPTION '{says}' USING ERRCODE = 'integrity_constraint_violation'; END IF;"
        f" RETURN {row}; END $$",
        f"{head} EXECUTE FUNCTION plethora_{rule.name}()",
    ]


def drop(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    vendor = editor.connection.vendor
    for rule in RULES + (SQLITE_RULES if vendor == "sqlite" else []):
        on = f" ON registry_{rule.table}" if vendor == "postgresql" else ""
        editor.execute(f"DROP TRIGGER plethora_{rule.name}{on}")
        if vendor == "postgresql":
            editor.execute(f"DROP FUNCTION plethora_{rule.name}()")
    if vendor == "postgresql":
        editor.execute("ALTER TABLE registry_assignment DROP CONSTRAINT assignment_no_overlap")


class Migration(migrations.Migration):
    dependencies = [("registry", "0001_initial")]
    operations = [migrations.RunPython(create, drop)]
