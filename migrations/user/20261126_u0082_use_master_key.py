"""A master key that somebody is using is not forgotten by a rotation at the same moment.

Whoever made a person's first key under it was refused by the foreign key then.
"""

from __future__ import annotations

from alembic import op

revision = "u0082"
down_revision = "u0081"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(USE)
    op.execute(FORGET)


def downgrade() -> None:
    op.execute(USE_BEFORE)
    op.execute(FORGET_BEFORE)


USE = """
CREATE OR REPLACE FUNCTION use_master_key(master text, made bytea) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    LOOP
        PERFORM FROM master_keys m WHERE m.id = master FOR KEY SHARE;
        EXIT WHEN FOUND;
        INSERT INTO master_keys (id, proof) VALUES (master, made) ON CONFLICT DO NOTHING;
    END LOOP;
END $$
"""

FORGET = """
CREATE OR REPLACE FUNCTION forget_master_keys(active text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM FROM master_keys m WHERE m.id IS DISTINCT FROM active ORDER BY m.id FOR UPDATE;
    DELETE FROM master_keys m WHERE m.id IS DISTINCT FROM active
    AND NOT EXISTS (SELECT FROM wrapped_keys w WHERE w.master_id = m.id);
END $$
"""

USE_BEFORE = """
CREATE OR REPLACE FUNCTION use_master_key(master text, made bytea) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    INSERT INTO master_keys (id, proof) VALUES (master, made) ON CONFLICT DO NOTHING
$$
"""

FORGET_BEFORE = """
CREATE OR REPLACE FUNCTION forget_master_keys(active text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    DELETE FROM master_keys m WHERE m.id IS DISTINCT FROM active
    AND NOT EXISTS (SELECT FROM wrapped_keys w WHERE w.master_id = m.id)
$$
"""
