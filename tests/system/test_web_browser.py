"""The pages in a real Chromium over the real stream: asked, answered, refused, timed out, recovered."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from kafka import KafkaConsumer, KafkaProducer
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

from streamforest import application, settings
from streamforest.embedded.broker import Broker
from streamforest.embedded.doctor import BROWSERS
from streamforest.store import connect
from tests import clients, mongo
from tests.flights import published_home
from tests.homes import REPOSITORY, environment
from tests.mongo import Mongo

LIMIT_S = 60
START_S = 400
"""Of a stream's start, seconds on a machine that has nothing else to do."""
TIMEOUT_S = 3
AWAY_S = 60
"""How long the store is away."""
FORM = "/flights/delays/predict_kafka"
GOOD = {"Origin": "JFK", "Dest": "LAX", "FlightNum": "1262", "DepDelay": "12"}
QUIET = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
QUIET += ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1200,1000"]

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@dataclass
class Site:
    """Broker, stream and pages, each its own process."""

    home: Path
    broker: Broker
    mongo: Mongo | None = None
    """Where answers are kept; None: in a file."""
    web: subprocess.Popen[bytes] | None = None
    stream: subprocess.Popen[bytes] | None = None
    address: str = ""
    logs: list[Path] = field(default_factory=list)

    @property
    def store(self) -> str:
        return self.mongo.address if self.mongo else settings.load(home=self.home).store

    def _log(self, name: str) -> Path:
        self.logs.append(self.home / name)
        return self.logs[-1]

    def open_pages(self) -> None:
        command = [sys.executable, "-P", "-m", "streamforest.web", "--home", str(self.home), "--port", "0"]
        variables = environment(
            STREAMFOREST_BOOTSTRAP_SERVERS=self.broker.bootstrap_servers,
            STREAMFOREST_WEB_TIMEOUT_S=str(TIMEOUT_S),
            STREAMFOREST_WEB_RATE="1000",
            STREAMFOREST_STORE=self.mongo.address if self.mongo else "",
        )
        log = self._log("web.log")
        with log.open("wb") as written:
            self.web = subprocess.Popen(command, env=variables, stderr=written)
        until = time.monotonic() + LIMIT_S
        # What is asked before Kafka has answered is an error at once.
        while not (told := re.search(r"(?s)pages at (\S+)\n.*Kafka at \S+ answers\n", log.read_text())):
            assert self.web.poll() is None, log.read_text()
            assert time.monotonic() < until, "the pages did not start"
            time.sleep(0.2)
        self.address = told[1]

    def start_stream(self) -> None:
        command = [sys.executable, str(REPOSITORY / "code" / "main.py"), "consume", "flights"]
        command += ["--home", str(self.home), "--bootstrap-servers", self.broker.bootstrap_servers]
        with self._log("consume.log").open("wb") as log:
            self.stream = subprocess.Popen(command, env=environment(), stdout=log, stderr=log)

    def stop_stream(self) -> None:
        if self.stream is not None:
            self.stream.terminate()
            self.stream.wait(timeout=LIMIT_S)

    def close(self) -> None:
        running = [one for one in (self.web, self.stream) if one is not None and one.poll() is None]
        for process in running:
            process.send_signal(signal.SIGTERM)
        for process in running:
            process.wait(timeout=LIMIT_S)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = published_home(tmp_path_factory.mktemp("pages"))
    with Broker(home / "data" / "kafka") as broker, contextlib.ExitStack() as beside:
        found = Site(home, broker, beside.enter_context(mongo.running()) if mongo.possible() else None)
        try:
            found.start_stream()
            found.open_pages()
            yield found
        finally:
            found.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    driver, binary = shutil.which("chromedriver"), next(filter(None, map(shutil.which, BROWSERS)), None)
    if driver is None or binary is None:
        pytest.skip("no Chromium with its driver here: apt-get install chromium chromium-driver")
    options = ChromeOptions()
    options.binary_location = binary
    for argument in QUIET:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = Chrome(options=options, service=ChromeService(driver))
    opened.set_page_load_timeout(LIMIT_S)
    yield opened
    opened.quit()


class Page:
    """The form's page as a person uses it."""

    def __init__(self, site: Site, browser: Chrome) -> None:
        self.site, self.browser = site, browser

    @contextlib.contextmanager
    def wide(self, width: int) -> Iterator[None]:
        """As on a screen so wide; a narrow one is a phone's."""
        size = {"width": width, "height": 850, "deviceScaleFactor": 1, "mobile": width < 500}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        try:
            yield
        finally:
            self.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    def open(self) -> None:
        self.browser.get(f"{self.site.address}{FORM}")

    def fill(self, **changes: str) -> None:
        Select(self.find("#Carrier")).select_by_value(changes.pop("Carrier", "DL"))
        # A date field takes keys by the browser's language; its value is the same in all.
        self.browser.execute_script(
            "document.getElementById('FlightDate').value = arguments[0]", changes.pop("FlightDate", "2013-12-20")
        )
        for name, text in {**GOOD, **changes}.items():
            field_ = self.find(f"#{name}")
            field_.clear()
            field_.send_keys(text)

    def ask(self) -> None:
        self.find("form button").click()

    def find(self, selector: str) -> WebElement:
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def wait_for(self, status: str, count: int = 1, limit_s: float = LIMIT_S) -> WebElement:
        """The newest answer, once so many have the status."""
        selector = f"#answers [data-status={status}]"
        WebDriverWait(self.browser, limit_s).until(lambda _: len(self.all(selector)) >= count)
        return self.all(selector)[0]


@pytest.fixture
def page(site: Site, browser: Chrome) -> Page:
    found = Page(site, browser)
    found.open()
    return found


def ready(page: Page) -> None:
    """Ask until the stream, which may just start, has answered."""
    page.fill()
    page.ask()
    page.wait_for("OK", limit_s=START_S)
    page.open()


def test_a_person_asks_and_sees_the_answer_in_words_and_bars(page: Page) -> None:
    ready(page)
    page.fill()

    page.find("#DepDelay").send_keys(Keys.ENTER)
    answer = page.wait_for("OK")

    assert answer.find_element(By.TAG_NAME, "h2").text.startswith("Most likely ")
    assert "DL 1262, JFK to LAX, 2013-12-20" in answer.text
    shares = [int(cell.text.removesuffix(" %")) for cell in answer.find_elements(By.CSS_SELECTOR, ".bars .n")]
    assert len(shares) == 4
    assert 98 <= sum(shares) <= 102
    assert page.browser.get_log("browser") == []  # type: ignore[no-untyped-call]


def test_reload_keeps_the_answer(page: Page) -> None:
    page.fill()
    page.ask()
    before = page.wait_for("OK").find_element(By.TAG_NAME, "h2").text

    page.browser.refresh()

    assert page.wait_for("OK").find_element(By.TAG_NAME, "h2").text == before
    assert page.find("#FlightNum").get_attribute("value") == "1262"


def test_a_double_submit_has_one_answer_each(page: Page) -> None:
    page.fill()

    page.ask()
    page.ask()

    page.wait_for("OK", count=2)
    links = {one.get_attribute("href") for one in page.all("#answers dd a")}
    assert len(links) == len(page.all("#answers [data-status]")) == 2


def test_a_wrong_field_says_so_beside_itself_and_has_the_focus(page: Page) -> None:
    page.fill(Dest="JFK", DepDelay="soon")

    page.ask()
    WebDriverWait(page.browser, LIMIT_S).until(lambda _: page.find("#Dest-error").is_displayed())

    assert "the same" in page.find("#Dest-error").text
    assert "minutes" in page.find("#DepDelay-error").text
    assert page.browser.switch_to.active_element.get_attribute("id") == "Dest"
    assert page.find("#Dest").get_attribute("aria-invalid") == "true"
    assert page.all("#answers [data-status]") == []
    page.fill()
    page.ask()
    page.wait_for("OK")
    assert not page.find("#Dest-error").is_displayed()


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("path", ["/", FORM, "/activity", "/flights/delays/predict_batch"])
def test_nothing_sticks_out_at_the_side(page: Page, path: str, width: int) -> None:
    with page.wide(width):
        page.browser.get(f"{page.site.address}{path}")
        wide = page.browser.execute_script("return document.documentElement.scrollWidth")

    assert wide <= width


def test_on_a_phone_the_answer_comes_into_view(page: Page) -> None:
    with page.wide(390):
        page.open()
        page.fill()
        page.ask()
        answer = page.wait_for("OK").find_element(By.TAG_NAME, "h2")
        in_view = "const at = arguments[0].getBoundingClientRect(); return at.top >= 0 && at.bottom <= innerHeight"
        WebDriverWait(page.browser, LIMIT_S).until(lambda _: page.browser.execute_script(in_view, answer))


def test_a_request_put_on_its_topic_by_hand_has_its_answer_in_topic_and_store(site: Site) -> None:
    """As the reference's page writes it: plain JSON without key or headers."""
    asked = {
        "UUID": str(uuid.uuid4()),
        "Timestamp": "2013-12-20T08:15:00.123456",
        "Carrier": "DL",
        "Origin": "JFK",
        "Dest": "LAX",
        "FlightDate": "2013-12-20",
        "FlightNum": "1262",
        "DepDelay": 12.0,
        "Distance": 2475.0,
        "DayOfYear": 354,
        "DayOfMonth": 20,
        "DayOfWeek": 5,
    }
    topics = application.load("flights", ["streamforest.applications"]).topics
    with contextlib.closing(KafkaProducer(bootstrap_servers=site.broker.bootstrap_servers)) as producer:
        producer.send(topics.events, json.dumps(asked).encode()).get(LIMIT_S)

    with contextlib.closing(
        KafkaConsumer(
            topics.predictions,
            bootstrap_servers=site.broker.bootstrap_servers,
            auto_offset_reset="earliest",
            consumer_timeout_ms=LIMIT_S * 1000,
        )
    ) as consumer:
        answer = next(value for value in (json.loads(one.value) for one in consumer) if value["UUID"] == asked["UUID"])
    with contextlib.closing(connect(site.store)) as store:
        until = time.monotonic() + LIMIT_S
        while (kept := store.answer(str(asked["UUID"]))) is None:
            assert time.monotonic() < until, "the answer is not in the store"
            time.sleep(0.2)

    echoed = asked.keys() - {"FlightNum", "Timestamp"}
    for found in (answer, kept):
        assert {name: found[name] for name in echoed} == {name: asked[name] for name in echoed}
        assert found["Route"] == "JFK-LAX"
        assert found["Prediction"] in range(4)
        assert found["modelVersion"] == "1"


def test_a_store_that_is_away_under_load_keeps_nobody_from_an_answer_and_gets_each_once(site: Site) -> None:
    if site.mongo is None:
        pytest.skip(f"no engine here that has the image {mongo.IMAGE}")
    with clients.asking(site.address, GOOD | {"Carrier": "DL", "FlightDate": "2013-12-20"}, rate=20) as answered:
        time.sleep(3)
        site.mongo.stop()
        time.sleep(AWAY_S)
        site.mongo.start()
        time.sleep(3)

    assert len(answered) > AWAY_S * 10
    assert {status for status, _ in answered} == {"OK"}
    ids = {found for _, found in answered}
    assert len(ids) == len(answered)
    with contextlib.closing(connect(site.mongo.address)) as store:
        until = time.monotonic() + LIMIT_S
        while kept := [found for found in ids if store.answer(found) is None]:
            assert time.monotonic() < until, f"{len(kept)} of {len(ids)} answers are not in the store"
            time.sleep(1)


def test_thousands_of_connections_at_once_are_told_to_come_again_and_then_all_is_well(site: Site) -> None:
    told = clients.crowd(site.address, 3000)

    assert set(told) <= {200, 503}
    assert clients.status(f"{site.address}{FORM}") == 200


def test_without_the_stream_it_is_a_timeout_with_what_to_do_and_then_the_answer(page: Page) -> None:
    page.site.stop_stream()
    page.fill()

    page.ask()
    late = page.wait_for("TIMEOUT", limit_s=TIMEOUT_S + LIMIT_S)

    assert "./control_env.sh" in late.text
    page.site.start_stream()
    page.wait_for("OK", limit_s=START_S)


def test_without_kafka_it_is_an_error_at_once(page: Page) -> None:
    page.fill()
    page.site.broker.kill()

    time.sleep(1.5)
    page.ask()
    WebDriverWait(page.browser, LIMIT_S).until(lambda _: page.find("#form-error").is_displayed())

    assert "ERROR: Kafka does not answer" in page.find("#form-error").text
