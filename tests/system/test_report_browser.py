"""The page of a demo in a real browser: it asks for nothing, complains of nothing, and fits on a phone."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from streamforest.embedded import evidence
from streamforest.embedded.doctor import BROWSERS
from streamforest.embedded.report import write
from tests.demo_reports import demo_report

PHONE_WIDTH = 390
LIMIT_S = 60
NO_ORIGIN = "not an origin"
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    # Its own questions (updates, the time) are not to leave the machine.
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--enable-logging=stderr",
    "--allow-file-access-from-files",
]
MEASURE = """
<!DOCTYPE html><title>frame</title><body style="margin:0"><pre id="widths"></pre>
<iframe src="report.html" style="width:WIDTHpx;height:800px;border:0"></iframe>
<script>
  const frame = document.querySelector("iframe");
  frame.addEventListener("load", () => {
    const page = frame.contentDocument;
    const over = [...page.querySelectorAll("body *")].filter((one) =>
      !one.closest(".scroll, svg") && one.getBoundingClientRect().right > WIDTH + 0.5);
    document.getElementById("widths").textContent = JSON.stringify({
      window: frame.contentWindow.innerWidth,
      page: page.documentElement.scrollWidth,
      over: over.map((one) => one.outerHTML.slice(0, 120)),
      charts: [...page.querySelectorAll("figure > svg")].filter((one) => one.getBoundingClientRect().width > 0).length,
    });
  });
</script>
"""

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser() -> str:
    """The path of a browser."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    return found


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "report.html"
    write(demo_report(tmp_path), path)
    return path


def run(browser: str, page: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Chromium with a profile of its own, until it ends by itself."""
    profile = f"--user-data-dir={page.parent / 'profile'}"
    command = [browser, *QUIET, profile, *options, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=True)


def complaints(shown: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in shown.stderr.splitlines() if "CONSOLE" in line]


def requests(log: Path) -> set[str]:
    """Addresses that the page asked for over a network; the browser's own questions have no origin."""
    events = [event.get("params", {}) for event in json.loads(log.read_text(encoding="utf-8"))["events"]]
    return {event["url"] for event in events if event.get("initiator", NO_ORIGIN) != NO_ORIGIN}


def test_page_shows_its_figures_without_complaint_or_request(browser: str, page: Path) -> None:
    log = page.parent / "net.json"

    shown = run(browser, page, "--dump-dom", f"--log-net-log={log}")

    text = html.unescape(re.sub(r"<[^>]+>", "", shown.stdout))
    assert all(row.value in text for row in evidence.rows(demo_report(page.parent)))
    assert complaints(shown) == []
    assert requests(log) == set()


@pytest.mark.parametrize("policy", [True, False])
def test_a_page_that_asks_for_something_would_be_noticed(browser: str, page: Path, policy: bool) -> None:
    log, wanted = page.parent / "net.json", "http://127.0.0.1:9/a.png"
    markup = page.read_text(encoding="utf-8").replace("</main>", f'<img src="{wanted}" alt=""></main>')
    page.write_text(markup if policy else markup.replace("Content-Security-Policy", ""), encoding="utf-8")

    shown = run(browser, page, "--dump-dom", f"--log-net-log={log}")

    # The page's own policy stops the request and says so.
    assert any(wanted in line for line in complaints(shown)) == policy
    assert (wanted in requests(log)) != policy


@pytest.mark.parametrize("width", [PHONE_WIDTH, 1280])
def test_nothing_sticks_out_at_the_side(browser: str, page: Path, width: int) -> None:
    frame = page.with_name("frame.html")
    frame.write_text(MEASURE.replace("WIDTH", str(width)), encoding="utf-8")

    shown = run(browser, frame, "--dump-dom", "--window-size=1400,900", "--virtual-time-budget=3000")

    matched = re.search(r'<pre id="widths">(.*?)</pre>', shown.stdout)
    assert matched, shown.stderr
    assert json.loads(html.unescape(matched[1])) == {"window": width, "page": width, "over": [], "charts": 1}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_is_drawn_in_both_schemes(browser: str, page: Path, scheme: str) -> None:
    picture = page.with_name(f"{scheme}.png")
    preferred = f"--blink-settings=preferredColorScheme={['dark', 'light'].index(scheme)}"

    run(browser, page, f"--screenshot={picture}", "--window-size=800,600", preferred)

    from matplotlib.image import imread

    corner = imread(picture)[0, 0, :3]
    assert (corner.mean() < 0.5) == (scheme == "dark")
