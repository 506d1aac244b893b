"""Behind PgBouncer in session mode the service works with the same setting, or says which."""

from __future__ import annotations

import pytest

from app.config.settings import SettingsError
from app.databases.database import Databases
from app.databases.opening import open_connection
from tests.support import pgbouncer
from tests.support.servers import LOUD, Servers, settings_for

pytestmark = pytest.mark.skipif(
    not pgbouncer.PROGRAM, reason=f"{LOUD}: pgbouncer is not installed (apt-get install pgbouncer)"
)


async def test_the_start_says_what_to_set_and_that_does_it(servers: Servers, database: str) -> None:
    with pgbouncer.pgbouncer(servers.user, pool_size=3, mode="session") as port:
        place: dict[str, object] = {"database_url_user": pgbouncer.url_at(port, database)}
        unset = settings_for(servers, database, db_prepared_statements=True, **place)
        databases = Databases.create(unset)
        with pytest.raises(
            SettingsError, match=r"^DATABASE_URL_USER: .*DB_PREPARED_STATEMENTS=false"
        ):
            await databases.check()
        await databases.dispose()

        settings = settings_for(servers, database, **pgbouncer.UNPREPARED | place)
        databases = Databases.create(settings)
        await databases.check()
        connection = await open_connection(settings, "user")
        assert await connection.fetchval("SELECT 42") == 42
        connection.terminate()
        await databases.dispose()
