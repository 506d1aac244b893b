"""A real Chromium, which can reach nothing but loopback, logs in and tries the explorer out."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import uvicorn
from litestar import Litestar
from playwright.async_api import Locator, Page, async_playwright, expect

from tests.support.factories import PASSWORD, World

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
# Playwright itself turns off the sandbox, background networking, updates and synchronisation.
FLAGS = ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--disable-quic"]


@pytest.fixture
async def service(app: Litestar) -> AsyncGenerator[str]:
    """The socket listens before the server runs, so there is nothing to wait for."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None))
    running = asyncio.create_task(server.serve(sockets=[listening]))
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    await running


@pytest.fixture
async def page(service: str) -> AsyncGenerator[Page]:
    """The page is closed before the service is, which waits for open connections."""
    assert service
    if not CHROMIUM:
        pytest.skip("UNTESTED: the explorer. apt-get install chromium, or set CHROMIUM")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield await browser.new_page(viewport={"width": 1280, "height": 1000})
        await browser.close()


class Seen:
    """Collects what the page asked for and complained of."""

    def __init__(self, page: Page) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda said: self._console(said.type, said.text))

    def _console(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(text)

    def elsewhere(self, service: str) -> list[str]:
        return [
            url for url in self.requests if not url.startswith((f"{service}/", "data:", "blob:"))
        ]


async def test_the_explorer_logs_in_and_tries_an_operation(
    world: World, page: Page, service: str, tmp_path: Path
) -> None:
    alice = await world.member()
    seen = Seen(page)
    await page.goto(f"{service}/schema")
    await _shoot(page, tmp_path / "1-page.png")

    login = await _operation(page, "log_in")
    body = f'{{"username": "{alice.username}", "password": "{PASSWORD}"}}'.replace("\\", "\\\\")
    await login.locator("textarea").fill(body)
    answer = await _execute(page, login)
    await _authorize(page, answer["access_token"])

    me = await _operation(page, "get_me")
    assert (await _execute(page, me))["username"] == alice.username
    status = me.locator(".live-responses-table tbody .response-col_status")
    await expect(status).to_contain_text("200")
    await me.scroll_into_view_if_needed()
    await _shoot(page, tmp_path / "2-tried-out.png")

    assert seen.elsewhere(service) == []
    assert seen.complaints == []


async def test_the_browser_can_reach_no_other_host(page: Page, service: str) -> None:
    """The service itself is refused by another name: it is the rule, not want of network."""
    with pytest.raises(Exception, match="ERR_NAME_NOT_RESOLVED"):
        await page.goto(service.replace("127.0.0.1", "localhost"))


async def _operation(page: Page, name: str) -> Locator:
    block = page.locator(f".opblock[id$='-{name}']")
    await block.locator(".opblock-summary-control").click()
    return block


async def _execute(page: Page, block: Locator) -> dict[str, str]:
    async with page.expect_response(lambda response: "/v1/" in response.url) as answered:
        await block.get_by_role("button", name="Execute").click()
    response = await answered.value
    assert response.status == 200
    answer: dict[str, str] = await response.json()
    return answer


async def _authorize(page: Page, token: str) -> None:
    await page.locator(".auth-wrapper .authorize").click()
    dialog = page.locator(".dialog-ux")
    await dialog.locator("input").fill(token)
    await dialog.get_by_role("button", name="Apply credentials").click()
    await expect(dialog.get_by_text("Authorized")).to_be_visible()
    await dialog.get_by_role("button", name="Close", exact=True).click()


async def _shoot(page: Page, path: Path) -> None:
    await page.locator(".opblock").first.wait_for()
    folder = os.environ.get("SCREENSHOTS")
    picture = await page.screenshot(path=Path(folder) / path.name if folder else path)
    assert picture.startswith(b"\x89PNG")
