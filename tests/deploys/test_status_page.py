"""The page as a browser shows it, and where it is written."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pyinfra.api import DeployError

from deploys import status_page
from deploys.status_findings import DOWN, Containers, Finding
from deploys.status_page import asked_for, page, write
from deploys.status_report import Report
from facts.pulse import SILENT, BootReport, Event
from tests.browser import Browser, find
from tests.deploys.pages import AT, USUAL, fleet, history

# What is seen of texts and symbols, and their contrast with what is behind them (WCAG 2.2, 1.4.3).
CONTRASTS = """(() => {
    const channels = colour => colour.match(/[\\d.]+/g).map(Number);
    const light = colour => {
        const [r, g, b] = channels(colour)
            .map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = element => {
        for (let each = element; each; each = each.parentElement) {
            const colour = getComputedStyle(each).backgroundColor;
            if ((channels(colour)[3] ?? 1) === 1) return colour;
        }
    };
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
    const add = (element, words) => {
        if (!element.checkVisibility()) return;
        const [dark, bright] = [getComputedStyle(element).color, behind(element)]
            .map(light).sort((a, b) => a - b);
        found.push([words, (bright + 0.05) / (dark + 0.05)]);
    };
    while (texts.nextNode()) {
        const element = texts.currentNode.parentElement, words = texts.currentNode.data.trim();
        if (words && !element.closest('svg')) add(element, words);
    }
    for (const each of document.querySelectorAll('.symbol, .days use')) add(each, each.getAttribute('class'));
    return found;
})()"""
SEEN = """[...document.querySelectorAll('bdi')].filter(each => {
    const box = each.getBoundingClientRect();
    return each.checkVisibility() && box.width > 0 && box.left >= 0 && box.right <= innerWidth;
}).map(each => each.innerText)"""
BACKGROUND = "getComputedStyle(document.body).backgroundColor"
# The names and versions in the table that take more than one line.
WRAPPED = """[...document.querySelectorAll('tbody bdi, td[data-label=Version]')].filter(each => {
    const range = document.createRange();
    range.selectNodeContents(each);
    return new Set([...range.getClientRects()].map(box => box.top)).size > 1;
}).map(each => each.innerText)"""
OVERFLOW = "document.documentElement.scrollWidth - innerWidth"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = find()
    if program is None:
        pytest.skip("there is no browser: apt-get install chromium, or Chrome")
    with Browser(program, tmp_path_factory.mktemp("browser")) as opened:
        yield opened


def is_quiet(browser: Browser, path: Path) -> None:
    """Nothing is asked of any network, and nothing is complained of."""
    asked = [each["request"]["url"] for each in browser.said("Network.requestWillBeSent")]
    assert asked == [path.as_uri()]
    assert browser.said("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown") == []


@pytest.mark.parametrize("number", [1, 50])
def test_page(browser: Browser, tmp_path: Path, number: int) -> None:
    """In the light and in the dark, on a desk and on a phone, with scripts and without."""
    reports = fleet(number)
    path = tmp_path / "status.html"
    path.write_text(page(reports, ["containers/db:3: no --name"], AT))
    backgrounds, texts = set(), set()
    for dark, width, script in (
        (False, 1280, True),
        (True, 390, False),
        (False, 390, True),
        (False, 1201, False),  # the narrowest table
        (True, 1280, False),
    ):
        browser.open(path, width, dark=dark, script=script)
        is_quiet(browser, path)
        assert browser.ask(OVERFLOW) <= 0
        assert {each.host.removeprefix("@ssh/") for each in reports} <= set(browser.ask(SEEN))
        assert browser.ask(WRAPPED) == []
        contrasts = browser.ask(CONTRASTS)
        assert len(contrasts) > 20
        assert [each for each in contrasts if each[1] < 4.5] == []
        backgrounds.add(browser.ask(BACKGROUND))
        texts.add(browser.ask("document.querySelector('main').innerText") if width == 1280 else "")
    assert len(backgrounds) == 2
    assert len(texts) == 2, "the same with scripts as without"
    said = "\n".join(texts)
    if number == 1:
        assert "Docker answered after 41 s; console: nobody; containers: 2 of 2 ran" in said
        assert browser.ask("document.querySelectorAll('table').length") == 0
    else:
        assert browser.ask("document.querySelectorAll('tbody tr').length") == 50
        assert "next: pyinfra .. deploys/recover.py --limit mini04" in said
        assert "20.10.24+dfsg1" in said
    assert "containers/db:3: no --name" in said


HOSTILE = (
    "</title></script><script>document.title = 'x'</script>",
    "<img src=x onerror=\"document.title='x'\">",
    "\"'><svg onload=\"document.title='x'\">",
    "{{ 7 * 7 }} \u202egpj.exe\u2066\x1b]0;x\x07",
    "a" * 200,
)


def hostile(word: str) -> Report:
    event = Event("2026-11-20T08:00:00Z", SILENT, word)
    boot = BootReport("2026-11-21T08:00:00Z", 9, word, 1, 2, (word,))
    return replace(
        USUAL,
        host=word,
        state=DOWN,
        faults=(Finding(word, word),),
        warnings=(Finding(word, word),),
        docker={"silence": None, "version": word, "seconds": 60},
        containers=Containers((word,), (), {word: word}, (), (word,)),
        history=history(60, event, boots=(boot,)),
        pulse={"loaded": True, "state": word, "reason": word},
        colima={"installed": word, "lima": word, "qemu": word, "outdated": False},
    )


@pytest.mark.parametrize("words", [HOSTILE, ["".join(HOSTILE)]])
def test_what_others_wrote_is_text(browser: Browser, tmp_path: Path, words: list[str]) -> None:
    """Also without the policy, which alone would let nothing run."""
    path = tmp_path / "status.html"
    text = page(list(map(hostile, words)), words, AT)
    path.write_text(re.sub(r"<meta http-equiv=[^>]*>", "", text), encoding="utf-8")
    for width in (1280, 390):
        browser.open(path, width)
        is_quiet(browser, path)
        assert browser.ask(OVERFLOW) <= 0
    assert browser.ask("document.title") != "x"
    assert browser.ask("document.querySelectorAll('script, img, [onload], [onerror]').length") == 0
    browser.ask("document.querySelectorAll('details').forEach(each => each.open = true)")
    said, hosts = browser.ask("document.body.innerText"), browser.ask(SEEN)
    for word in words:
        shown = re.sub("[\u202e\u2066\x1b\x07]", "?", word)
        assert shown in hosts
        assert said.count(shown) > 7


def test_what_is_typed_is_code() -> None:
    why = replace(USUAL, warnings=(Finding("a `ssh <b>\x1b` c"),), faults=(Finding("`d`"),), state=DOWN)
    text = page([why], ["`e` ` f"], AT)
    assert "a <code>ssh &lt;b&gt;?</code> c" in text
    assert "<li><code>d</code>" in text
    assert "<code>e</code> ` f" in text


def test_those_that_are_down_have_no_version() -> None:
    cells = re.findall('data-label="Version">([^<]*)<', page(fleet(7), (), AT))
    assert sorted(cells) == ["20.10.24+dfsg1", "29.1.3", "29.1.3", "29.1.3", *3 * ["\N{EN DASH}"]]


def test_times_are_in_one_zone() -> None:
    text = page(fleet(1), (), AT)
    assert "28 November 2026, 21:41</time>; all times are CET (UTC+01:00)" in text
    assert "19 Nov 21:41: Docker answered after 41 s" in text  # in the details, which say 20:41:07Z
    assert "all times are UTC<" in page(fleet(1), (), AT.astimezone(timezone.utc))


def test_those_with_the_same_trouble_stand_together() -> None:
    lost = [Report(name, "unreachable", (Finding("no connection", "deploy.py"),)) for name in ("a", "b")]
    text = page([*lost, USUAL], (), AT)
    assert "1 of 3 Macs healthy" in text
    assert text.count("no connection") == 1
    assert "pyinfra .. deploy.py --limit a --limit b" in text


def asked(monkeypatch: pytest.MonkeyPatch, html: object) -> Path | None:
    given: Any = SimpleNamespace(get_override_data=lambda: {"html": html})
    monkeypatch.setattr(status_page, "inventory", given)
    return asked_for()


def test_a_page_that_cannot_be_written_is_not_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert asked(monkeypatch, None) is None
    assert asked(monkeypatch, f"{tmp_path}/status.html") == tmp_path / "status.html"
    (tmp_path / "taken.html").mkdir()
    for path, why in (
        (f"{tmp_path}/none/status.html", f"there is no directory {tmp_path}/none"),
        (f"{tmp_path}/taken.html", "it cannot be written there"),
        (f"{tmp_path}/status.htm", "a path on this machine that ends in .html"),
    ):
        with pytest.raises(DeployError, match=re.escape(f"HTML: {path!r}; {why}")):
            asked(monkeypatch, path)


def test_a_page_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "status.html"
    path.write_text("the old one")
    path.chmod(0o600)
    before = os.umask(0o027)
    with path.open() as reader:
        write(path, fleet(1), ())
        # Who reads the old one has it whole.
        assert reader.read() == "the old one"
    os.umask(before)
    assert path.read_text().endswith("</html>\n")
    assert path.stat().st_mode & 0o777 == 0o640
    assert capsys.readouterr().err == f"The page is {path}\n"

    def fail(*_: Any) -> str:
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(DeployError, match="cannot be written: No space left"):
        write(path, fleet(1), ())
    assert list(tmp_path.iterdir()) == [path]
    write(None, fleet(1), ())
