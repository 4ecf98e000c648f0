"""A real browser for tests of pages: Chromium, headless, driven by Playwright; tests skip without them."""

import contextlib
import shutil

import pytest

EXECUTABLES = ("chromium", "chromium-browser", "google-chrome")


@contextlib.contextmanager
def chromium():
    """A browser; skips the test where Playwright or a Chromium is not installed."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs the Python package playwright")
    path = next(filter(None, map(shutil.which, EXECUTABLES)), None)
    if path is None:
        pytest.skip(f"needs a browser on the path: {', '.join(EXECUTABLES)}")
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def page(browser, **options):
    """A page of its own context, and the lists of what it asked for and of what its console complained about."""
    context = browser.new_context(**options)
    try:
        shown = context.new_page()
        asked, complaints = [], []
        shown.on("request", lambda request: asked.append(request.url))
        shown.on("console", lambda line: complaints.append(line.text) if line.type in ("error", "warning") else None)
        shown.on("pageerror", lambda error: complaints.append(str(error)))
        yield shown, asked, complaints
    finally:
        context.close()
