"""The tables of the general database that belong to a tenant."""

from __future__ import annotations

from migrations.models import METADATA

TENANT = "tenant_id"
WITH_TENANT = {
    table.name for table in METADATA["general"].tables.values() if TENANT in table.columns
}
