"""What holds of every page, looked at in a real browser."""

import json

from tests.pages.browser import Browser

# WCAG's contrast of each piece of text with what is behind it, where less than AA asks for.
FAINT = """
(() => {
  const rgb = c => c.match(/[\\d.]+/g).map(Number);
  const lum = c => { const [r, g, b] = c.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92
    : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b };
  const behind = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor);
    if (c.length < 4 || c[3] > 0) return c } return [255, 255, 255] };
  const found = [];
  for (const e of document.body.querySelectorAll('*')) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) || !e.checkVisibility()) continue;
    const style = getComputedStyle(e), size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    const [low, high] = [lum(rgb(style.color)), lum(behind(e))].sort((a, b) => a - b);
    const contrast = (high + 0.05) / (low + 0.05);
    if (contrast < (large ? 3 : 4.5)) found.push([e.tagName, e.textContent.slice(0, 30), contrast]);
  }
  return found;
})()
"""
SMALL_TARGETS = """
[...document.querySelectorAll('nav a, a.open')].map(e => [e.className, e.getBoundingClientRect()])
  .filter(([, box]) => box.width < 24 || box.height < 44).map(([name, box]) => [name, box.width, box.height])
"""
FIGURES = """
[...document.querySelectorAll('figure.drawn picture')].map(p => [p.querySelector('img').currentSrc,
  p.querySelector('source').srcset, p.querySelector('img').src])
"""


def page(browser: Browser, address: str, width: int, dark: bool) -> None:
    """Opens a page and asserts what every page promises."""
    browser.open(address, width, dark=dark)
    assert browser.run("[innerWidth, document.documentElement.clientWidth]") == [width, width]
    assert browser.run("document.documentElement.scrollWidth") <= width
    browser.run("Promise.all([...document.images].map(i => i.decode())).then(() => 0)")
    assert browser.run("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    for shown, on_dark, on_light in browser.run(FIGURES):
        assert on_dark != on_light and shown == (on_dark if dark else on_light)
    assert browser.run("[...document.images].filter(i => !i.alt.trim()).length") == 0
    levels = browser.run("[...document.querySelectorAll('h1,h2,h3,h4')].map(h => +h.tagName[1])")
    assert levels.count(1) == 1 == levels[0]
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False))
    ids = browser.run("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(set(ids)) == len(ids)
    links = browser.run("[...document.querySelectorAll('a')].map(a => a.getAttribute('href'))")
    assert links and {link.removeprefix("#") for link in links} <= set(ids)
    assert browser.run(FAINT) == []
    assert browser.run(SMALL_TARGETS) == []
    scrolled = "[...document.querySelectorAll('.table, pre')].filter(e => e.tabIndex !== 0 || "
    scrolled += "!e.getAttribute('aria-label')).length"
    assert browser.run(scrolled) == 0
    ground = browser.run("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(22, 24, 27)" if dark else "rgb(255, 255, 255)")
    assert browser.complaints() == []
    assert browser.fetched() == [address]


def everywhere(browser: Browser, address: str) -> None:
    """Looks at a page on a phone and on a desk, in light and in dark, and opens a figure large."""
    for width in (390, 1280):
        for dark in (False, True):
            page(browser, address, width, dark)
        opens_large(browser, width)


def opens_large(browser: Browser, width: int, kind: str = "figure.drawn") -> None:
    """A click on a picture fills the window with it, and Close goes back to where it was."""
    before = browser.run(_box(f"{kind} img"))
    browser.click(f"{kind} .open")
    _settle(browser)
    assert browser.run("getComputedStyle(document.querySelector('figure:target')).position") == "fixed"
    left, top, wide, tall = browser.run(_box("figure:target"))
    assert (left, top, wide) == (0, 0, width) and tall == browser.run("innerHeight")
    assert browser.run(_box(f"{kind} img"))[2] > 1.3 * before[2]
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run(_box("figure:target .close"))[3] >= 44
    browser.click("figure:target .close")
    _settle(browser)
    assert browser.run("document.querySelector('figure:target')") is None
    left, top, wide, _ = browser.run(_box(f"{kind} img"))
    assert wide == before[2] and -5 <= top < browser.run("innerHeight")


def _settle(browser: Browser) -> None:
    browser.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(0))))")


def _box(selector: str) -> str:
    return (
        f"(() => {{ const b = document.querySelector({json.dumps(selector)}).getBoundingClientRect();"
        " return [b.left, b.top, b.width, b.height] })()"
    )
