-- The logins of one of the two databases. Run it in that database as its administrator, once
-- before the first migration; running it again changes nothing. Then give each login a password
-- (ALTER ROLE bicameral_owner PASSWORD '…') and put the logins into DATABASE_URL_*.
--
--   bicameral_owner  migrates: owns the tables and functions
--   bicameral_app    the service: owns nothing, is held by row level security
--   bicameral_relay  the erasure relay: the same, plus the functions that look across tenants
--   bicameral_backup reads everything, of all tenants, and changes nothing: for pg_dump alone
--
-- What each may do with which table is granted by every `litestar database upgrade`. What PostgreSQL
-- gives to everybody, and none of them needs, is taken away here: the last blocks, which say in a
-- warning what this administrator may not take. One thing nobody can take away: a login may change its
-- own password, and its own sessions' defaults (ALTER ROLE … SET). Whom that worries lets the logins
-- authenticate by certificate, LDAP or GSSAPI (pg_hba.conf), where no password of theirs counts.

-- Citus would hand what follows on to its other nodes, and a worker refuse it: each node has its own run.
SET citus.enable_ddl_propagation = off;

DO $$
DECLARE
    login text;
BEGIN
    FOREACH login IN ARRAY ARRAY['bicameral_owner', 'bicameral_app', 'bicameral_relay'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = login) THEN
            EXECUTE format(
                'CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS', login);
        END IF;
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), login);
        EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', login);
    END LOOP;
    EXECUTE format('REVOKE CONNECT, TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
END $$;

-- pg_dump stops at row level security, so its login bypasses that. Only who has BYPASSRLS may give it.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'bicameral_backup') THEN
        CREATE ROLE bicameral_backup LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE BYPASSRLS;
        ALTER ROLE bicameral_backup SET default_transaction_read_only = on;
    END IF;
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO bicameral_backup', current_database());
    GRANT USAGE ON SCHEMA public TO bicameral_backup;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'there is no login bicameral_backup: % may not give BYPASSRLS; let a superuser run this',
        current_user;
END $$;

-- Only in a database of Citus. Its workers run the functions that look across tenants as the owner, and
-- move shards as the owner, whom row level security would stop at both; the settings are for the service
-- and for `litestar database upgrade`. They hold for sessions that begin later.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'citus') THEN
        ALTER ROLE bicameral_owner BYPASSRLS;
        EXECUTE format('ALTER DATABASE %I SET citus.propagate_set_commands = %L',
            current_database(), 'local');
        EXECUTE format('ALTER ROLE bicameral_owner IN DATABASE %I SET citus.enable_unsafe_triggers = %L',
            current_database(), 'on');
        EXECUTE format('ALTER ROLE bicameral_owner IN DATABASE %I SET citus.multi_shard_modify_mode = %L',
            current_database(), 'sequential');
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'on Citus bicameral_owner needs BYPASSRLS: let a superuser run this';
END $$;

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT CREATE ON SCHEMA public TO bicameral_owner;

-- The databases that are on every server let everybody in. Whoever needs them, a monitor perhaps, is
-- granted CONNECT by name. Other people's databases are left as they are, and named.
DO $$
DECLARE
    other name;
BEGIN
    FOR other IN SELECT datname FROM pg_database
        WHERE datallowconn AND datname <> current_database()
        AND has_database_privilege('public', oid, 'CONNECT')
    LOOP
        BEGIN
            IF other IN ('postgres', 'template1') THEN
                EXECUTE format('REVOKE CONNECT, TEMPORARY ON DATABASE %I FROM PUBLIC', other);
            END IF;
        EXCEPTION WHEN insufficient_privilege THEN
            NULL;
        END;
        IF has_database_privilege('public', other, 'CONNECT') THEN
            RAISE WARNING 'the logins of Bicameral may connect to the database %, as everybody may: '
                'REVOKE CONNECT ON DATABASE % FROM PUBLIC', quote_ident(other), quote_ident(other);
        END IF;
    END LOOP;
END $$;

-- Large objects have no tenant and no owner of ours: nobody makes one.
DO $$
BEGIN
    REVOKE EXECUTE ON FUNCTION
        pg_catalog.lo_creat(integer), pg_catalog.lo_create(oid), pg_catalog.lo_from_bytea(oid, bytea)
        FROM PUBLIC;
    IF has_function_privilege('public', 'pg_catalog.lo_create(oid)', 'EXECUTE') THEN
        RAISE insufficient_privilege;
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'everybody may make large objects: let a superuser run this';
END $$;
