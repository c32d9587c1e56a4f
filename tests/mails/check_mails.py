"""Looks at HTML mails in Chromium, and says what is wrong with them.

Takes a picture of each at the width of a phone and of a desktop, light and dark, and once as a mail program shows it
that strips the style block. It decides nothing about words: that is for the tests in Rust.

    CHROMIUM=/usr/bin/chromium check_mails.py FOLDER

FOLDER holds *.html; the pictures come to lie beside them. Where a sample is called first-…, what people need at once
has to stand on the first screen of a phone. state-… is looked at on a phone alone, because another state is only other
words; so is hostile-…, of which axe-core has nothing to say either: its colours and headings are those of the others.
"""

import os
import re
import sys
from pathlib import Path

import axe_playwright_python
from playwright.sync_api import sync_playwright

PORTAL = "https://security.microsoft.com/"
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1200, "height": 900}

# Rules of axe-core that mean nothing for a mail: it is shown within a page of somebody else's, which has the landmarks.
MEANINGLESS = ["region", "landmark-one-main", "page-has-heading-one", "bypass"]

# What must stand on the first screen of a phone, by the beginning of a heading or of a fact.
AT_ONCE = ["Device", "User", "State", "WHAT TO DO NEXT", "HOW TO UNDO IT"]

# What is found where, counted in the page itself.
LOOK = """() => ({
    width: document.documentElement.scrollWidth,
    acting: [...document.querySelectorAll(
        'script,form,input,button,iframe,object,embed,img,svg,link,base,video,audio,meta[http-equiv]'
    )].map(e => e.outerHTML.slice(0, 80)),
    handlers: [...document.querySelectorAll('*')].flatMap(
        e => e.getAttributeNames().filter(name => name.startsWith('on')).map(name => e.tagName + ' ' + name)),
    links: [...document.querySelectorAll('[href],[src],[action],[background]')].map(
        e => e.getAttribute('href') ?? e.outerHTML.slice(0, 80)),
    elsewhere: [...document.querySelectorAll('[style*="url("]')].length,
    wide: [...document.querySelectorAll('body *')].filter(
        e => e.getBoundingClientRect().right > window.innerWidth + 1).map(e => e.outerHTML.slice(0, 80)),
    places: Object.fromEntries([...document.querySelectorAll('td,h2')].filter(e => !e.querySelector('td,h2')).map(
        e => [e.textContent.trim(), e.getBoundingClientRect().bottom])),
})"""


def axe(page):
    """The violations that axe-core finds."""
    script = Path(axe_playwright_python.__file__).parent / "axe.min.js"
    page.evaluate(script.read_text())
    rules = {rule: {"enabled": False} for rule in MEANINGLESS}
    found = page.evaluate("rules => axe.run(document, { rules })", rules)
    return [
        f"axe: {violation['id']}: {node['html'][:100]}: {node['failureSummary'].splitlines()[-1].strip()}"
        for violation in found["violations"]
        for node in violation["nodes"]
    ]


def check(context, file, screen, theme, stripped):
    """What is wrong with one mail on one screen."""
    requests = []
    page = context.new_page()
    page.on("request", lambda request: requests.append(request.url))
    page.set_viewport_size(screen)
    html = file.read_text()
    if stripped:
        html = re.sub(r"<style>.*?</style>", "", html, flags=re.S)
    page.set_content(html)
    name = f"{file.stem}.{screen['width']}.{'stripped' if stripped else theme}"
    page.screenshot(path=file.with_name(f"{name}.png"), full_page=True)
    if screen == PHONE and not stripped:
        page.screenshot(path=file.with_name(f"{name}.first.png"))
    seen = page.evaluate(LOOK)
    wrong = []
    if seen["width"] > screen["width"]:
        wrong.append(f"overflows: {seen['width']} px, {seen['wide'][:3]}")
    wrong += [f"acts: {element}" for element in seen["acting"] + seen["handlers"]]
    wrong += [f"leads elsewhere: {link}" for link in seen["links"] if not link.startswith(PORTAL)]
    wrong += [f"asks for {url}" for url in requests]
    if seen["elsewhere"]:
        wrong.append("a style asks for something from elsewhere")
    if file.stem.startswith("first-") and screen == PHONE:
        for what in AT_ONCE:
            bottom = seen["places"].get(what)
            if bottom is None or bottom > PHONE["height"]:
                wrong.append(f"`{what}` is not on the first screen: it ends at {bottom} px")
    if not file.stem.startswith("hostile-"):
        wrong += axe(page)
    page.close()
    return [f"{name}: {what}" for what in wrong]


def ways(file, theme):
    """On which screens a mail is looked at, and whether without its style block."""
    if file.stem.startswith("hostile-"):
        return [(PHONE, False)] if theme == "light" else []
    if file.stem.startswith("state-"):
        return [(PHONE, False)]
    both = [(PHONE, False), (DESKTOP, False)]
    return [*both, (PHONE, True)] if theme == "light" else both


def main(folder):
    files = sorted(Path(folder).glob("*.html"))
    wrong = [] if files else ["there are no samples"]
    shown = 0
    with sync_playwright() as tools:
        # Without its sandbox where that needs rights that root in a container has not; it sees our own files alone.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = tools.chromium.launch(executable_path=os.environ["CHROMIUM"], args=arguments)
        for theme in ["light", "dark"]:
            context = browser.new_context(color_scheme=theme, offline=True)
            for file in files:
                for screen, stripped in ways(file, theme):
                    wrong += check(context, file, screen, theme, stripped)
                    shown += 1
            context.close()
        browser.close()
    for what in wrong:
        print(what, file=sys.stderr)
    print(f"{len(files)} mails, {shown} pictures of whole ones in {folder}, {len(wrong)} problems")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
