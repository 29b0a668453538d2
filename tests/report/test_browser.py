"""The report in a real browser: it draws, zooms by mouse and by keyboard, asks for nothing, and fits a narrow window.

Needs playwright and a Chromium, playwright's own or the system's; without them the tests skip.
"""

import shutil

import pytest

from tests.verbs.test_seven import fitted

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        found = None
        for path in (None, shutil.which("chromium"), shutil.which("chromium-browser"), shutil.which("google-chrome")):
            try:
                found = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
                break
            except playwright.Error:
                continue
        if found is None:
            pytest.skip("there is no Chromium: playwright install chromium")
        yield found
        found.close()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return fitted("pictures", tmp_path_factory.mktemp("pictures")).folder / "report.html"


@pytest.fixture
def opened(browser, path):
    """Opens the page; what it said on the console, threw or asked for is in its `said`."""
    contexts = []

    def call(width=1280, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.said = []
        page.on("console", lambda message: page.said.append(message.text))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else page.said.append(r.url))
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready]")
        return page

    yield call
    for context in contexts:
        context.close()


def shown(page):
    """The x range of the first figure: what its script says of itself."""
    return page.eval_on_selector(".plot", "box => [Number(box.dataset.low), Number(box.dataset.high)]")


def test_it_draws_every_figure_and_says_and_asks_nothing(opened):
    page = opened()
    assert page.said == []
    boxes = page.locator("figure:visible .plot")
    assert boxes.count() >= 5
    for i in range(boxes.count()):
        assert boxes.nth(i).locator("canvas").count() == 1
    drawn = page.eval_on_selector(".plot canvas", """canvas => {
        const seen = new Set(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data);
        return seen.size}""")  # fmt: skip
    assert drawn > 10
    assert (
        page.evaluate("performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:')).length") == 0
    )


def test_a_drag_zooms_and_a_double_click_shows_all(opened):
    page = opened()
    whole = shown(page)
    over = page.locator(".plot .u-over").first
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 60, steps=4)
    page.mouse.up()
    low, high = shown(page)
    assert low == pytest.approx(whole[0] + 0.25 * (whole[1] - whole[0]), abs=0.6)
    assert high == pytest.approx(whole[0] + 0.5 * (whole[1] - whole[0]), abs=0.6)
    page.mouse.dblclick(box["x"] + 50, box["y"] + 50)
    assert shown(page) == whole


def test_the_keyboard_zooms_moves_and_goes_back(opened):
    page = opened()
    whole = shown(page)
    page.get_by_role("button", name="Zoom in: Loss").focus()
    page.keyboard.press("Enter")
    near = shown(page)
    assert near[1] - near[0] == pytest.approx((whole[1] - whole[0]) / 2)
    page.get_by_role("button", name="Later part: Loss").focus()
    page.keyboard.press("Space")
    assert shown(page)[0] > near[0] and shown(page)[1] <= whole[1]
    page.get_by_role("button", name="Show all: Loss").press("Enter")
    assert shown(page) == whole
    log = page.get_by_role("button", name="Logarithmic scale: Loss")
    log.press("Enter")
    assert log.get_attribute("aria-pressed") == "true" and page.said == []


def test_more_curves_draw_when_they_are_opened(opened):
    page = opened()
    fold = page.locator("details.fold:has(.plot)").first
    fold.locator("> summary").click()
    page.wait_for_function("document.querySelector('details.fold[open] .plot canvas')")
    assert page.said == []


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_stands_out_of_the_window(opened, width):
    page = opened(width)
    assert page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_what_is_behind_them(opened, scheme):
    """WCAG's contrast: 4.5 to 1 for every visible word."""
    page = opened(scheme=scheme)
    poor = page.evaluate("""() => {
        const canvas = document.createElement('canvas'); canvas.width = canvas.height = 1;
        const pen = canvas.getContext('2d', {willReadFrequently: true});
        const rgba = (c) => { pen.clearRect(0, 0, 1, 1); pen.fillStyle = c; pen.fillRect(0, 0, 1, 1);
                              return [...pen.getImageData(0, 0, 1, 1).data]; };
        const light = (c) => { const [r, g, b] = c.map((v) => { v /= 255;
            return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; });
            return .2126 * r + .7152 * g + .0722 * b; };
        const behind = (e) => { for (; e; e = e.parentElement) {
            const c = rgba(getComputedStyle(e).backgroundColor); if (c[3] > 250) return c; }
            return [255, 255, 255, 255]; };
        const found = [];
        const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
        while (words.nextNode()) {
            const e = words.currentNode.parentElement;
            if (!words.currentNode.data.trim() || !e.checkVisibility()) continue;
            if (['SCRIPT', 'STYLE'].includes(e.tagName)) continue;
            const a = light(rgba(getComputedStyle(e).color).slice(0, 3)), b = light(behind(e).slice(0, 3));
            const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
            if (ratio < 4.5) found.push([e.tagName, e.className, words.currentNode.data.trim().slice(0, 30), ratio]);
        }
        return found;
    }""")
    assert poor == []


def test_the_parts_are_reached_by_keyboard(opened):
    page = opened()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the report"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.hash") == "#asked"


def test_on_paper_it_is_light_and_whole(opened, tmp_path):
    page = opened(scheme="dark")
    page.pdf(path=tmp_path / "report.pdf", format="A4")
    assert (tmp_path / "report.pdf").stat().st_size > 20_000
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--paper').trim()") == "#ffffff"
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--paper').trim()") != "#ffffff"
