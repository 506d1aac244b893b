"""${message}

Runs in a transaction of its own, with a lock and a statement timeout, while the service runs.

- Do not import app: it will change, this file must not. One statement to each op.execute().
- A lock not had within MIGRATION_LOCK_TIMEOUT_SECONDS fails the migration: change a busy table in
  small revisions, and backfill in batches from elsewhere.
- Expand, deploy, contract: the version before this one still runs while this is applied. Add
  nullable or with a default; drop or rename only what no deployed version uses any more.
- Name a constraint with op.f("ck_table_rule"): a bare name would get its prefix a second time.
- A constraint on a full table: add it NOT VALID, and VALIDATE it in the next revision.
- `with op.get_context().autocommit_block():` is for CONCURRENTLY alone, one statement alone in its
  revision: a failure cannot be undone and leaves an invalid index to drop. It waits for every
  older transaction, so give that upgrade a larger MIGRATION_LOCK_TIMEOUT_SECONDS.
- A new table: its line in migrations/privileges.py, and row level security. In the general database
  its foreign key to a table with a tenant is for the next revision: on Citus that one is distributed,
  and this one is not before its revision ends.
- A function, new or changed: a copy of its file in app/databases/sql (see the README there); a new
  one gets its line in migrations/privileges.py.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
% if imports:
${imports}
% endif

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
