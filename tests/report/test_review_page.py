"""The page of photographs to correct: whole without a network, safe from hostile names, and worked by keys and clicks.

What needs no page of its script runs in node, the rest in a headless Chromium; each is skipped where it is absent.
"""

import json
import re
import shutil
import subprocess
from urllib.parse import unquote

import pytest

from ccd_fast.datasets import Source
from ccd_fast.report import review

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NODE = shutil.which("node")
HOSTILE = ["</script><b>", 'a, "b"', "[1]", "path", " née & co".strip(), "'; DROP"]
PIXEL = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"


def photo(path, given, names=HOSTILE[:4]):
    classes = [{"name": name, "given": name in given, "student": 60, "labels": 20} for name in names]
    return {"path": path, "picture": PIXEL, "why": "<i>unsure</i>", "classes": classes}


@pytest.fixture
def data():
    photos = [photo(f"{name}.jpg", [HOSTILE[0]]) for name in ("a b", 'c,"d"', "e</script>", "f")]
    known = [["told.jpg", HOSTILE[1], "*"]]
    return {"key": "k", "file": "x.csv", "names": HOSTILE, "known": known, "photos": photos}


def in_node(data, script):
    """Run the page's script with ``data``, then some more of it that prints JSON."""
    source = review.resources.files("ccd_fast.report").joinpath("review.js").read_text(encoding="utf-8")
    whole = f"{source}\nconst data = {json.dumps(data)};\n{script}"
    done = subprocess.run([NODE, "-"], input=whole, capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout)


def told(tmp_path, data, text):
    """Read a file of corrections as ``train --known`` does: +1, -1 or 0 by path and class."""
    for each in [*data["photos"], {"path": "told.jpg"}]:
        (tmp_path / each["path"].replace("/", "_")).write_bytes(b"")
    (tmp_path / "classes.txt").write_text("\n".join(HOSTILE) + "\n", encoding="utf-8")
    (tmp_path / "known.csv").write_text(text, encoding="utf-8", newline="")
    source = Source("folder", tmp_path, tmp_path / "classes.txt", known=tmp_path / "known.csv")
    images = source.load("train")
    return dict(zip(images.paths, source.entries(images).tolist(), strict=True))


@pytest.fixture
def flat(data):
    """The same, with a name that can be a file's."""
    data["photos"][2]["path"] = "e<script>.jpg"
    return data


def test_no_name_is_markup_and_only_the_page_s_own_script_may_run(data):
    page = review.render("<b>run</b>", data)
    assert "<b>run" not in page
    assert page.count("</script>") == 2
    assert json.loads(re.search(r'id="data">(.*?)</script>', page, re.S)[1]) == data
    assert "default-src 'none'" in page
    assert not re.search(r'(src|href)="(?!data:)', page)


@pytest.mark.skipif(NODE is None, reason="no node is installed")
def test_the_file_of_corrections_says_what_was_flipped_and_nothing_of_what_nobody_looked_at(flat, tmp_path):
    script = """
      const state = restored(data, {});
      const off = flipped(data.photos[0], state[0], data.names[0]);
      state[0] = {...flipped(data.photos[0], off, data.names[3]), done: true};
      state[1] = {...flipped(data.photos[1], state[1], data.names[5]), done: true};
      state[2] = flipped(data.photos[2], state[2], data.names[1]);
      console.log(JSON.stringify([table(data, state, false), table(data, state, true)]));"""
    shown, all_of_it = in_node(flat, script)
    assert told(tmp_path, flat, shown) == {
        "a b.jpg": [-1, -1, -1, 1, 0, 0],
        'c,"d".jpg': [1, -1, -1, -1, 0, 1],
        "e<script>.jpg": [0] * 6,
        "f.jpg": [0] * 6,
        "told.jpg": [-1, 1, -1, -1, -1, -1],
    }
    assert told(tmp_path, flat, all_of_it)["a b.jpg"] == [-1, -1, -1, 1, -1, -1]


@pytest.mark.skipif(NODE is None, reason="no node is installed")
def test_what_the_browser_kept_is_taken_up_where_it_fits_and_nothing_else(data):
    script = """
      const kept = {"f.jpg": {on: [data.names[5], "gone", data.names[1]], more: [data.names[5], "gone"], done: true},
                    "elsewhere.jpg": {on: [], done: true}, "a b.jpg": {on: 3, more: null, done: "yes"}};
      const state = restored(data, kept);
      console.log(JSON.stringify([state[3], state[0], state[1], changed(data.photos[3], state[3])]));"""
    f, hurt, other, differs = in_node(data, script)
    assert f == {"on": [HOSTILE[5], HOSTILE[1]], "more": [HOSTILE[5]], "done": True}
    assert hurt == {"on": [], "more": [], "done": False}
    assert other == {"on": [HOSTILE[0]], "more": [], "done": False}
    assert differs


BY_HAND = """<script>addEventListener('load', async () => {
  let file = null;
  URL.createObjectURL = (blob) => { file = blob; return '#'; };
  const press = (key) => document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true}));
  const card = (k) => document.querySelectorAll('.photo')[k];
  const here = () => [...document.querySelectorAll('.photo')].indexOf(document.querySelector('.here'));
  const places = [];
  press('1'); press('4'); press('Enter'); places.push(here());
  const chips = () => card(1).querySelectorAll('.chip').length, before = chips();
  press('/'); document.getElementById('what').value = NAMES[5]; document.getElementById('adding').close('add');
  while (chips() === before) await new Promise((done) => setTimeout(done, 20));  // the dialog tells of it later
  press('Enter'); places.push(here());
  press('ArrowRight'); places.push(here()); press('ArrowLeft'); press('2');
  card(3).querySelectorAll('.chip')[0].click(); card(3).querySelector('.accept').click();
  press(' '); const large = document.getElementById('large').open; press(' ');
  document.getElementById('download').click();
  const result = {places, large, text: await file.text(), count: document.getElementById('count').textContent,
    done: document.querySelectorAll('.photo.done').length, title: card(2).querySelector('.why').textContent,
    pictures: [...document.images].filter((i) => i.src).every((i) => i.naturalWidth > 0),
    requests: performance.getEntriesByType('resource').map((r) => r.name.slice(0, 30)),
    wide: document.documentElement.scrollWidth - innerWidth};
  document.title = encodeURIComponent(JSON.stringify(result)); })</script>"""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
@pytest.mark.parametrize("width", [390, 1366])
def test_keys_and_clicks_correct_the_photographs_in_a_browser(flat, tmp_path, width):
    def dump(text):
        (tmp_path / "page.html").write_text(text, encoding="utf-8")
        command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
        command += [f"--window-size={width},900", f"--user-data-dir={tmp_path / 'profile'}"]
        command += ["--virtual-time-budget=20000", "--host-resolver-rules=MAP * ~NOTFOUND"]
        command += [(tmp_path / "page.html").as_uri()]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)

    page = review.render("run", flat)
    plain = dump(page)
    assert "CONSOLE" not in plain.stderr, plain.stderr  # its own rules let its own script run
    assert plain.stdout.count('class="photo') == 4
    hand = BY_HAND.replace("NAMES", json.dumps(HOSTILE).replace("<", "\\u003c"))
    probed = dump(re.sub('<meta http-equiv="Content-Security-Policy".*?>', lambda _: hand, page))
    found = json.loads(unquote(re.search("<title>(.*?)</title>", probed.stdout)[1]))
    assert found["places"] == [1, 2, 3]
    assert found["large"]
    assert (found["count"], found["done"]) == ("3 of 4 done, 3 corrected", 3)
    assert found["title"] == "<i>unsure</i>"
    assert found["pictures"]
    assert all(name.startswith("data:") for name in found["requests"])
    assert found["wide"] <= 0
    assert told(tmp_path, flat, found["text"]) == {
        "a b.jpg": [-1, -1, -1, 1, 0, 0],
        'c,"d".jpg': [1, -1, -1, -1, 0, 1],
        "e<script>.jpg": [0] * 6,
        "f.jpg": [-1, -1, -1, -1, 0, 0],
        "told.jpg": [-1, 1, -1, -1, -1, -1],
    }
