"""The status page in a headless Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.browser import Page, find_chromium, running_browser
from support.fake_engine import BASE
from support.http_service import served
from support.service import Api

CHROMIUM = find_chromium()
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium or google-chrome on the PATH"),
]
HOSTILE = "<img src=x onerror='window.broken=1'><script>window.broken=1</script>&amp;"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    assert CHROMIUM is not None
    with running_browser(CHROMIUM, tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def page(browser: Page) -> Page:
    """Return the tab, as wide as a desk and without what another test has left."""
    browser.look()
    browser.open("about:blank")
    browser.errors.clear()
    return browser


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    """Yield a server without a key."""
    with served(tmp_path / "state") as (http, engine):
        yield Api(http, engine, tmp_path)


def url(api: Api) -> str:
    return str(api.http.base_url)


def train(api: Api, model: str, steps: int) -> None:
    for number in range(steps):
        api.result(api.train(model, 2 * number + 1, *range(1, steps + 2 - number)))
        adam = {"learning_rate": 1e-3}
        ack = api.post("optim_step", model_id=model, seq_id=2 * number + 2, adam_params=adam)
        api.result(ack)


def is_wider_than_the_window(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth > innerWidth"))


def test_an_idle_server_tells_a_newcomer_what_to_do(page: Page, api: Api) -> None:
    page.open(url(api))
    page.wait_for("document.querySelector('.start')")
    text = page.text()
    assert f"export MINT_BASE_URL={url(api)}".rstrip("/") in text
    assert f'base_model="{BASE}"' in text
    assert "begins with sk-" in text
    assert page.errors == []


def test_a_run_appears_and_its_curve_grows_without_a_reload(page: Page, api: Api) -> None:
    page.open(url(api))
    page.wait_for("document.querySelector('.start')")
    model = api.model()
    page.wait_for("document.querySelector('.run')")
    assert "no optimizer step yet" in page.text()
    train(api, model, 5)
    label = page.wait_for(
        "document.querySelector('.run svg') && "
        "document.querySelector('.run svg').getAttribute('aria-label').includes('5 steps') && "
        "document.querySelector('.run svg').getAttribute('aria-label')"
    )
    # Targets 1 to 6 in the first step, 1 and 2 in the last: minus their mean.
    assert label == "loss from 3.5 to 1.5 over 5 steps"
    assert page.evaluate("document.querySelector('.start')") is None
    assert page.errors == []


def test_pointing_at_a_curve_tells_the_step(page: Page, api: Api) -> None:
    train(api, api.model(), 3)
    page.open(url(api))
    page.wait_for("document.querySelector('.run svg')")
    box = page.evaluate(
        "(() => { const b = document.querySelector('.run .plot svg').getBoundingClientRect();"
        " return [b.left + b.width / 2, b.top + 20]; })()"
    )
    page.send("Input.dispatchMouseEvent", type="mouseMoved", x=box[0], y=box[1])
    assert page.wait_for("document.querySelector('.axis .at').textContent") == "step 2: 2"


def test_what_clients_say_is_shown_as_text(page: Page, api: Api) -> None:
    said: dict[str, Any] = {
        "tags": [HOSTILE],
        "sdk_version": HOSTILE,
        "user_metadata": {HOSTILE: HOSTILE},
    }
    session = api.post("create_session", **said)["session_id"]
    api.result(
        api.post(
            "create_model",
            session_id=session,
            model_seq_id=0,
            base_model=BASE,
            lora_config={"rank": 8},
            user_metadata={"note": HOSTILE},
        )
    )
    page.open(url(api))
    page.wait_for("document.querySelector('.run')")
    assert page.text().count("onerror=") >= 4
    assert page.evaluate("window.broken") is None
    assert page.evaluate("document.querySelectorAll('img, main script').length") == 0
    assert page.errors == []


def test_an_injected_handler_would_not_run_either(page: Page, api: Api) -> None:
    page.open(url(api))
    page.wait_for("document.querySelector('.start')")
    markup = '<img src=x onerror="broken=1">'
    page.evaluate(f"document.body.insertAdjacentHTML('beforeend', {markup!r})")
    assert page.wait_for("document.images[0].complete") is True
    assert page.evaluate("window.broken") is None


def test_a_server_with_a_key_shows_nothing_without_it(page: Page, tmp_path: Path) -> None:
    with served(tmp_path / "state", api_key="sk-right") as (http, engine):
        api = Api(http, engine, tmp_path)
        api.model()
        page.open(url(api))
        page.wait_for("!document.getElementById('lock').hidden")
        assert BASE not in page.evaluate("document.documentElement.outerHTML")
        enter_key(page, "sk-wrong")
        page.wait_for("document.getElementById('wrong').textContent.includes('not the key')")
        assert page.evaluate("sessionStorage.getItem('mint-key')") is None
        enter_key(page, "sk-right")
        page.wait_for("document.querySelector('.run')")
        assert BASE in page.text()
        assert page.evaluate("localStorage.length") == 0
        page.evaluate("[...document.querySelectorAll('button')].at(-1).click()")
        page.wait_for("!document.getElementById('lock').hidden")
        assert BASE not in page.evaluate("document.documentElement.outerHTML")


def test_a_server_that_goes_away_is_said_to_be_gone(page: Page, tmp_path: Path) -> None:
    with served(tmp_path / "state") as (http, _):
        page.open(str(http.base_url))
        page.wait_for("document.querySelector('.start')")
    page.wait_for("document.getElementById('state').textContent.includes('no connection')")


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_nothing_sticks_out_of_the_window(page: Page, api: Api, width: int) -> None:
    long = "w" * 300
    session = api.post("create_session", tags=[long], sdk_version=long, user_metadata={long: long})[
        "session_id"
    ]
    train(api, api.model(session), 3)
    page.look(width=width)
    page.open(url(api))
    page.wait_for("document.querySelector('.run svg')")
    assert not is_wider_than_the_window(page)


@pytest.mark.parametrize("dark", [False, True])
def test_text_can_be_read_in_either_scheme(page: Page, api: Api, dark: bool) -> None:
    page.look(dark=dark)
    page.open(url(api))
    page.wait_for("document.querySelector('.start')")
    ratio = page.evaluate(_CONTRAST)
    # WCAG 2 asks for 4.5 of body text.
    assert ratio > 4.5
    is_dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(14, 19, 17)"
    assert is_dark == dark


def enter_key(page: Page, key: str) -> None:
    page.evaluate(
        f"document.getElementById('key').value = {key!r};"
        "document.getElementById('lock').requestSubmit()"
    )


_CONTRAST = """
(() => {
  const light = (color) => {
    const [r, g, b] = color.match(/[\\d.]+/g).slice(0, 3).map((part) => {
      const value = part / 255;
      return value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = light(getComputedStyle(document.querySelector(".start")).backgroundColor);
  return Math.min(...[...document.querySelectorAll(".start p, .start h3, .empty")].map((node) => {
    const ink = light(getComputedStyle(node).color);
    return (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05);
  }));
})()
"""
