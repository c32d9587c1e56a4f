"""Draws what arrives in Teams and in Slack, for docs/CHANNELS.md. By hand, never by a test:

    .venv/channels/bin/python tests/channels/pictures.py

The card is drawn by Microsoft's own renderer, the package `adaptivecards` of npm, installed below .venv. Slack publishes no
renderer: its blocks are drawn by this script, which knows the few kinds that Cordon posts. Needs the built programs (as
scripts/check-channels leaves them), npm, Chromium, and Pillow in the same environment (pip install pillow). What is in both
pictures comes from a simulated tenant. To standard output it writes what the webhook got.
"""

import html
import json
import pathlib
import shutil
import subprocess
import tempfile

import test_channels
from PIL import Image
from test_channels import ISOLATED, ROOT

IMAGES = ROOT / "docs" / "images"
RENDERER = "adaptivecards@3.0.6"

TEAMS = """
<!doctype html><meta charset="utf-8"><style>
body { margin: 0; padding: 16px; background: #f5f5f5; font: 14px "Segoe UI", "Noto Sans", sans-serif; }
.ac-adaptiveCard { background: #fff; border: 1px solid #e0e0e0; border-radius: 6px; max-width: 620px; }
.ac-pushButton { border: 1px solid #d1d1d1; border-radius: 4px; background: #fff; padding: 6px 12px; font-weight: 600; }
</style><div id="card"></div><script>%s</script><script>
const card = new AdaptiveCards.AdaptiveCard();
card.hostConfig = new AdaptiveCards.HostConfig({
    fontFamily: '"Segoe UI", "Noto Sans", sans-serif',
    spacing: { small: 6, default: 8, medium: 14, large: 20, extraLarge: 28, padding: 14 },
    containerStyles: {
        default: { foregroundColors: { default: { default: "#242424", subtle: "#616161" } } },
        emphasis: { backgroundColor: "#f0f0f0" }, attention: { backgroundColor: "#fdf3f4" },
        warning: { backgroundColor: "#fff9f5" }, good: { backgroundColor: "#f1faf1" },
    },
    textStyles: { heading: { size: "default", weight: "bolder" } },
    actions: { actionsOrientation: "horizontal", buttonSpacing: 8 },
});
card.parse(%s);
document.getElementById("card").appendChild(card.render());
</script>
"""

SLACK = """
<!doctype html><meta charset="utf-8"><style>
body { margin: 0; padding: 16px; max-width: 640px; color: #1d1c1d; font: 15px/1.46 Lato, "Noto Sans", sans-serif; }
.who { font-weight: 900; } .app { background: #e8e8e8; font-size: 10px; padding: 1px 3px; border-radius: 2px; }
h2 { font-size: 18px; margin: 6px 0; } p { margin: 6px 0; white-space: pre-wrap; }
pre { background: #f8f8f8; border: 1px solid #ddd; border-radius: 4px; padding: 8px; font-size: 12px; white-space: pre-wrap; }
a { color: #1264a3; text-decoration: none; }
</style><p><span class="who">Cordon</span> <span class="app">APP</span></p>%s
"""


def text(one):
    """A text object, or an element of a rich text."""
    said = html.escape(one.get("text", "") if isinstance(one.get("text"), str) else one.get("url", ""))
    if one.get("type") == "link":
        said = f'<a href="#">{said}</a>'
    style = one.get("style", {})
    for name, tag in (("bold", "b"), ("italic", "i"), ("code", "code")):
        if style.get(name):
            said = f"<{tag}>{said}</{tag}>"
    return said


def element(one):
    """A part of a rich text."""
    inner = "".join(text(part) if part["type"] in ("text", "link") else element(part) for part in one["elements"])
    match one["type"]:
        case "rich_text_preformatted":
            return f"<pre>{inner}</pre>"
        case "rich_text_section":
            return f"<p>{inner}</p>"
    raise ValueError(f"a kind that this script does not draw: {one['type']}")


def block(one):
    match one["type"]:
        case "header":
            return f"<h2>{text(one['text'])}</h2>"
        case "rich_text":
            return "".join(element(part) for part in one["elements"])
    raise ValueError(f"a kind that this script does not draw: {one['type']}")


def renderer():
    """The renderer's script, installed where it is not there yet."""
    folder = ROOT / ".venv" / "pictures"
    script = folder / "node_modules" / "adaptivecards" / "dist" / "adaptivecards.min.js"
    if not script.exists():
        subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", folder, RENDERER], check=True)
    return script.read_text()


def draw(page, name, height):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder) / "page.html"
        source.write_text(page)
        subprocess.run(
            [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={folder}/profile",
             f"--window-size=680,{height}", f"--screenshot={IMAGES / name}", source.as_uri()],
            check=True, capture_output=True,
        )
    # Few colours make a small file.
    image = Image.open(IMAGES / name).convert("RGB").quantize(48)
    image.save(IMAGES / name, optimize=True)


def main():
    """The first message about the device that is isolated, as both got it."""
    site = test_channels.Site()
    try:
        site.cordon("run", "--once", settings=site.tenant)
        told = site.taken()
    finally:
        site.stop()
    IMAGES.mkdir(parents=True, exist_ok=True)
    card = next(post.json for post in told.posts["teams"] if ISOLATED in json.dumps(post.json))
    draw(TEAMS % (renderer(), json.dumps(card["attachments"][0]["content"])), "channel-teams.png", 1010)
    message = next(post.json for post in told.posts["slack"] if ISOLATED in json.dumps(post.json))
    draw(SLACK % "".join(block(one) for one in message["blocks"]), "channel-slack.png", 1240)
    hook = next(post.json for post in told.posts["soar"] if ISOLATED in json.dumps(post.json))
    print(json.dumps(hook, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
