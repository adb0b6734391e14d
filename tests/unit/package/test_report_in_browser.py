"""The page in headless Chromium: nothing is asked of a network, nothing is wider than the window, pictures are seen."""

import html
import json
import re
import shutil
import subprocess

import pytest

pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install matplotlib")
pytest.importorskip("jinja2", reason="jinja2 is not installed: pip install jinja2")

from report_runs import grouped_run, plain_run

from fairseq_ghat.report.page import render
from fairseq_ghat.report.sections import sections

NAMES = ("chromium", "chromium-headless-shell", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason=f"there is no browser: none of {', '.join(NAMES)}")

# Writes what the browser made of the page into it, where --dump-dom shows it.
LOOK = """<script>
addEventListener("load", () => {
  const seen = {
    headings: [...document.querySelectorAll("h2")].map(each => each.textContent),
    images: [...document.images].map(each => [each.naturalWidth, each.getBoundingClientRect().width, each.alt.length]),
    requests: performance.getEntriesByType("resource").map(each => each.name).filter(name => !/^data:/.test(name)),
    widths: [document.documentElement.scrollWidth, innerWidth],
  };
  const result = document.createElement("pre");
  result.id = "seen";
  result.textContent = JSON.stringify(seen);
  document.body.append(result);
});
</script></body>"""


@pytest.mark.parametrize("width", [400, 1400])
def test_page(tmp_path, width):
    runs = [plain_run(), grouped_run(), grouped_run("ght-ps", 4, 29.0, "GHT-PS")]
    parts = sections(runs, "ghat-report page.html plain ght ght-ps")
    content = render("A title", parts, "Made by us.")
    policy = "default-src 'none';"
    assert policy in content  # a request would be an error in the console
    content = content.replace(policy, f"{policy} script-src 'unsafe-inline';").replace("</body>", LOOK)
    (tmp_path / "page.html").write_text(content, encoding="utf-8")
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},900", f"file://{tmp_path}/page.html"]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert "CONSOLE" not in shown.stderr, shown.stderr
    match = re.search(r'<pre id="seen">(.*?)</pre>', shown.stdout)
    assert match, shown.stderr
    seen = json.loads(html.unescape(match[1]))
    assert seen["headings"] == [part.heading for part in parts] and seen["requests"] == []
    assert len(seen["images"]) == 8
    for natural, width_shown, text in seen["images"]:
        assert natural > 300 and width_shown > 300 and text > 30
    scroll_width, window = seen["widths"]
    assert scroll_width <= window == width
