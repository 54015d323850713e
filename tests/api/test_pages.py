"""The page at /docs: of our own files alone, and in a browser every operation is on it."""

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.conftest import House
from tests.live_service import LiveService

PAGE = files("fairlead") / "web" / "docs"
CHROMIUM = shutil.which("chromium")
# No background traffic: the page is looked at on a machine that may have no network.
HEADLESS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--virtual-time-budget=5000", "--enable-logging=stderr")  # fmt: skip


class Links(HTMLParser):
    """What a page loads and leads to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inline = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.found += [v for k, v in attrs if k in ("src", "href") and v]
        self.inline += tag == "style" or (tag == "script" and "src" not in given)
        self.inline += any(k == "style" or k.startswith("on") for k in given)


async def test_it_is_read_without_credentials_and_loads_its_own_files_alone(house: House) -> None:
    page = await house.client.get("/docs")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    links = Links(page.text)
    assert not links.inline
    for link in links.found:
        assert ":" not in link or link == "data:,"
        if link.startswith("docs/"):
            loaded = await house.client.get(f"/{link}")
            assert loaded.status_code == 200
            assert loaded.headers["x-content-type-options"] == "nosniff"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "*" not in policy


async def test_a_slash_at_the_end_leads_to_the_page(house: House) -> None:
    answer = await house.client.get("/docs/")
    assert (answer.status_code, answer.headers["location"]) == (308, "../docs")


def test_no_file_names_another_site() -> None:
    for file in PAGE.iterdir():
        assert not re.findall(r"(?:https?:)?//[a-z0-9-]+\.", file.read_text()), file.name
        assert not re.findall(r"\b(?:innerHTML|eval|import\()", file.read_text()), file.name


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    state = tmp_path_factory.mktemp("pages") / "state"
    made = LiveService(state, "--drivers", "fake", listen=f"127.0.0.1:{port}")
    made.start()
    try:
        yield made
    finally:
        made.stop()


def seen(url: str, profile: Path) -> str:
    """The page as a browser makes it; fails on whatever the browser complains about."""
    assert CHROMIUM
    done = subprocess.run(
        [CHROMIUM, *HEADLESS, f"--user-data-dir={profile}", "--dump-dom", url],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    complaints = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert not complaints
    return done.stdout


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")
def test_in_a_browser_every_operation_is_on_it(service: LiveService, tmp_path: Path) -> None:
    document: Any = httpx.get(f"{service.url}/openapi.json").json()
    page = seen(f"{service.url}/docs", tmp_path)
    for path, item in document["paths"].items():
        for operation in item.values():
            assert f'href="#{operation["operationId"]}"' in page
        assert path in page
    one = seen(f"{service.url}/docs#create_member", tmp_path)
    assert "<h1>Create a Member</h1>" in one
    for said in ("protocol_port", "192.0.2.10", "curl -sS", "409"):
        assert said in one
