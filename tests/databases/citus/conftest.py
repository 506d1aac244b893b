"""One cluster for all tests of this folder; without Citus each of them is skipped, in red."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from app.commands.embedded.pair import servers as embedded_servers
from app.config.settings import Settings
from tests.support import citus
from tests.support.cluster import NAME, all_of, distribute, migrated
from tests.support.servers import Servers, chosen_programs

# The tests' servers acknowledge before they write, and so lose something when they are killed.
DURABLE = f"ALTER DATABASE {NAME} SET synchronous_commit = on"


@pytest.fixture(scope="session")
def cluster() -> Iterator[Servers]:
    with TemporaryDirectory(prefix="bicameral-citus-") as folder:
        citus.only_with(chosen_programs(Path(folder), silent))
        with (
            embedded_servers(
                Path(folder), durable=False, tcp=True, report=silent, choose=chosen_programs
            ) as pair,
            citus.with_workers(pair[1]),
        ):
            yield Servers(*pair)


def silent(_: str) -> None:
    """Drop what `litestar dev` would print of its preparations."""


@pytest.fixture(scope="session")
async def distributed(cluster: Servers) -> Servers:
    await migrated(cluster, NAME)
    ended = await distribute(cluster, NAME)
    assert ended.code == 0, ended.err
    assert ended.out.startswith("Distributed by tenant: ")
    for node in citus.nodes(cluster.general):
        await citus.on(node, NAME, "SET citus.enable_ddl_propagation = off", DURABLE)
    return cluster


@pytest.fixture
def settings(distributed: Servers) -> Settings:
    return all_of(distributed, NAME)
