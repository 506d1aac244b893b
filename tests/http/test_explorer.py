"""The explorer in a real Chromium that can reach nothing but loopback: log in, try, look."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from litestar import Litestar
from playwright.async_api import Browser, Page, async_playwright, expect

from app.config.settings import Settings
from tests.support.factories import PASSWORD, Someone, World
from tests.support.servers import LOUD
from tests.support.wire import serving

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
# Playwright itself turns off the sandbox, background networking, updates and synchronisation.
FLAGS = ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--disable-quic"]
DARK = "getComputedStyle(document.body).backgroundColor"


@pytest.fixture
async def service(app: Litestar, settings: Settings) -> AsyncGenerator[str]:
    async with serving(app, settings) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
async def browser() -> AsyncGenerator[Browser]:
    if not CHROMIUM:
        pytest.skip(f"{LOUD}: the explorer. apt-get install chromium, or set CHROMIUM")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        await browser.close()


@pytest.fixture
async def page(service: str, browser: Browser) -> AsyncGenerator[Page]:
    """Closed before the service is, which waits for the browser's open connections."""
    assert service
    async with await browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        yield await context.new_page()


class Seen:
    """Notes what the page asks for and complains of."""

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


async def test_after_one_login_the_explorer_sends_the_token(
    world: World, page: Page, service: str
) -> None:
    alice, seen = await world.member(), Seen(page)
    await page.goto(f"{service}/schema#tag/me/GET/v1/me")
    await log_in(page, alice)
    await page.get_by_role("button", name="Test Request (get /v1/me)").click()
    window = page.locator(".scalar-app")
    async with page.expect_response(f"{service}/v1/me") as answered:
        await window.get_by_role("button", name="Send get request").first.click()
    answer = await answered.value
    assert (answer.status, (await answer.json())["username"]) == (200, alice.username)
    await expect(window.get_by_text("200 OK")).to_be_visible()
    assert seen.elsewhere(service) == []
    assert seen.complaints == []


async def test_the_explorer_keeps_the_token_for_the_tab_only(
    world: World, page: Page, service: str
) -> None:
    alice = await world.member()
    await page.goto(f"{service}/schema")
    await log_in(page, alice)
    await page.reload()
    await expect(page.locator("#who")).to_have_text(alice.username)
    assert "bic_" not in await page.evaluate("JSON.stringify(localStorage) + document.cookie")
    other = await page.context.new_page()
    await other.goto(f"{service}/schema")
    await expect(other.locator("#login")).to_be_visible()
    token: str = await page.evaluate("sessionStorage.getItem('bicameral-token')")
    assert (await world.with_token(token).get("/v1/me")).status_code == 200
    await page.get_by_role("button", name="Log out").click()
    await expect(page.locator("#login")).to_be_visible()
    assert await page.evaluate("sessionStorage.length") == 0
    assert (await world.with_token(token).get("/v1/me")).status_code == 401


async def test_the_explorer_shows_why_a_login_is_refused(page: Page, service: str) -> None:
    await page.goto(f"{service}/schema")
    await fill(page, "\\acme\\nobody", "wrong")
    await expect(page.get_by_role("alert")).to_have_text("The username or the password is wrong.")


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (1280, "light"),
        (390, "dark"),
        pytest.param(1280, "dark", marks=pytest.mark.slow),  # each has been seen above,
        pytest.param(390, "light", marks=pytest.mark.slow),  # though not with the other
    ],
)
async def test_the_explorer_fits_wide_and_narrow_screens_light_and_dark(
    browser: Browser, service: str, tmp_path: Path, width: int, scheme: str
) -> None:
    async with await browser.new_page(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if scheme == "dark" else "light",
    ) as page:
        await page.goto(f"{service}/schema")
        await expect(page.get_by_role("heading", name="Bicameral")).to_be_visible()
        assert await page.evaluate("document.documentElement.scrollWidth") == width
        for control in ("[name=username]", "[name=password]", "#login button"):
            box = await page.locator(control).bounding_box()
            assert box
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
        red = await page.evaluate(f"{DARK}.match(/\\d+/)[0]")
        assert (int(red) < 64) == (scheme == "dark")
        folder = Path(os.environ.get("SCREENSHOTS", tmp_path))
        await page.screenshot(path=folder / f"explorer-{width}-{scheme}.png")


async def test_the_browser_can_reach_no_other_host(page: Page, service: str) -> None:
    """The service itself is refused by another name: the rule does it, not a want of network."""
    with pytest.raises(Exception, match="ERR_NAME_NOT_RESOLVED"):
        await page.goto(service.replace("127.0.0.1", "localhost"))


async def log_in(page: Page, someone: Someone) -> None:
    await fill(page, someone.username, PASSWORD)
    await expect(page.locator("#who")).to_have_text(someone.username)


async def fill(page: Page, username: str, password: str) -> None:
    await page.locator("[name=username]").fill(username)
    await page.locator("[name=password]").fill(password)
    await page.get_by_role("button", name="Log in", exact=True).first.click()
