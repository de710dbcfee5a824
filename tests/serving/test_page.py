"""The page at `/` in a real browser: it streams, decides, switches, and fits a telephone."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

from sake_registry.edits.files import parse_edit
from sake_registry.serving.app import application
from sake_registry.serving.page import page, policy
from tests.browsing import FLAGS, Elements
from tests.serving.conftest import TOKEN, Start
from tests.workshop import IN_SCOPE, OUT_OF_SCOPE

# Runs under the page's own policy, to which nothing but its hash is added.
PROBE = """
window.found = [];
addEventListener('error', event => found.push(String(event.message)));
addEventListener('unhandledrejection', event => found.push(String(event.reason)));
addEventListener('securitypolicyviolation', event => found.push(event.violatedDirective));
const wait = async (condition, what) => {
  for (let turn = 0; turn < 6000; turn++) {
    if (condition()) return;
    await new Promise(done => setTimeout(done, 10));
  }
  throw new Error(`it did not come: ${what}`);
};
const text = selector => document.querySelector(selector).innerText.trim();
const edit = id => document.querySelector(`#edits li[data-id="${id}"]`);
const kind = name => document.querySelector(`[name=kind][value=${name}]`).click();
let answers = 0;
const ask = async prompt => {
  document.getElementById('ask').value = prompt;
  document.getElementById('form').requestSubmit();
  answers += 1;
  await wait(() => document.body.dataset.answered == answers, 'an answer');
};
addEventListener('load', async () => {
  let told = {};
  try {
    await wait(() => document.querySelector('#edits li'), 'the edits');
    told = await (async () => { {{SCRIPT}} })();
  } catch (error) {
    found.push(String(error));
  }
  await fetch('/told', {method: 'POST', body: JSON.stringify({found, ...told})});
});
"""
OWN = {"--dump-dom", "--virtual-time-budget=3000"}
"""Not for a page that lives: it says itself when it is done."""


def hearing(app: Any, told: Queue[bytes]) -> Any:
    """A server's routes, and one to which the page tells what it found."""

    async def both(scope: Any, receive: Any, send: Any) -> None:
        if scope.get("path") != "/told":
            await app(scope, receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message.get("more_body", False)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})
        told.put(body)

    return both


@pytest.fixture
def look(start: Start, browser: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What a script returns that runs on the page, as the server sends it."""

    def looking(script: str, *flags: str, **options: Any) -> dict[str, Any]:
        probe = PROBE.replace("{{SCRIPT}}", script)
        digest = base64.b64encode(hashlib.sha256(probe.encode()).digest()).decode()
        shown = page().replace("</title>", f"</title><script>{probe}</script>", 1)
        allowed = policy().replace("script-src ", f"script-src 'sha256-{digest}' ")
        monkeypatch.setattr("sake_registry.serving.app.page", lambda: shown)
        monkeypatch.setattr("sake_registry.serving.app.policy", lambda: allowed)
        heard: Queue[bytes] = Queue()
        monkeypatch.setattr(
            "sake_registry.serving.run.application",
            lambda ready: hearing(application(ready), heard),
        )
        own = [flag for flag in FLAGS if flag not in OWN]
        profile = f"--user-data-dir={tmp_path / 'profile'}"
        with (
            start(**options) as it,
            (tmp_path / "browser.log").open("w") as log,
            subprocess.Popen(
                [browser, *own, "--remote-debugging-port=0", *flags, profile, it.url],
                stdout=log, stderr=log,
            ) as process,
        ):  # fmt: skip
            try:
                told: dict[str, Any] = json.loads(heard.get(timeout=120))
            finally:
                process.kill()
        assert told["found"] == []
        return told

    return looking


def test_both_models_answer_side_by_side_and_the_decision_is_told(
    look: Any, start: Start, tmp_path: Path
) -> None:
    told = look(
        f"""
    document.getElementById('tokens').value = 8;
    await ask({json.dumps(IN_SCOPE[0])});
    const fired = {{
      bare: text('#bare .text'), edited: text('#edited .text'), words: text('.words'),
      nearest: text('.nearest'), claim: text('.claim'),
      bar: document.querySelector('.scale b').style.left, state: text('#state'),
    }};
    await ask({json.dumps(OUT_OF_SCOPE[0])});
    const [bare, edited] = [text('#bare .text'), text('#edited .text')];
    return {{fired, left: text('.words'), bare, edited}};
    """
    )
    fired = told["fired"]
    with start(log=None) as it:
        for side, edits in (("bare", "none"), ("edited", "all")):
            answer = it.complete(IN_SCOPE[0], 8, edits=edits).choices[0].text
            assert fired[side].split() == (IN_SCOPE[0] + answer).split()
    assert fired["words"] == "Edited by australia-capital: in scope."
    assert re.fullmatch(
        r"Nearest: australia-capital, distance \d\.\d+, fires up to [\d.]+", fired["nearest"]
    )
    assert fired["claim"].startswith("Australia · capital: Sydney → Canberra (version ")
    assert fired["bar"] == "80%"
    assert "2 edits · 0 off · ready" in fired["state"]
    assert told["left"] == "Left alone: no edit's subject is named."
    assert told["bare"] == told["edited"]


def test_a_chat_goes_on_in_each_model_s_own_words(look: Any) -> None:
    told = look(
        f"""
    kind('chat');
    document.getElementById('tokens').value = 4;
    await ask({json.dumps(IN_SCOPE[0])});
    await ask('And then?');
    const turns = side => document.querySelectorAll(`#${{side}} .turn`).length;
    const sent = {{bare: chats.bare, edited: chats.edited}};
    const before = [turns('bare'), turns('edited')];
    const kept = JSON.parse(JSON.stringify(sent));
    document.getElementById('clear').click();
    return {{before, kept, after: [turns('bare'), chats.bare.length]}};
    """
    )
    assert told["before"] == [4, 4]
    assert told["after"] == [0, 0]
    for side in ("bare", "edited"):
        roles = [message["role"] for message in told["kept"][side]]
        assert roles == ["user", "assistant"] * 2
    assert told["kept"]["bare"][1] != told["kept"]["edited"][1]


def test_edits_are_switched_with_the_token_and_not_without(look: Any, tmp_path: Path) -> None:
    told = look(
        f"""
    const id = 'australia-capital';
    edit(id).querySelector('button').click();
    await wait(() => !document.getElementById('refused').hidden, 'a refusal');
    const refused = text('#refused');
    document.getElementById('token').value = {json.dumps(TOKEN)};
    document.getElementById('reason').value = 'wrong <b>here</b>';
    edit(id).querySelector('button').click();
    await wait(() => edit(id).className === 'off', 'its state');
    const off = edit(id).innerText;
    await ask({json.dumps(IN_SCOPE[0])});
    const words = text('.words');
    edit(id).querySelector('button').click();
    await wait(() => edit(id).className === 'on', 'its state again');
    return {{refused, off, words, hidden: document.getElementById('refused').hidden}};
    """
    )
    assert "token is missing or wrong" in told["refused"]
    assert "off: wrong <b>here</b>" in told["off"]
    assert told["words"] == "Left alone: disabled."
    assert told["hidden"]
    assert json.loads((tmp_path / "overrides.json").read_text()) == {"disabled": {}}


def test_without_a_token_nothing_can_be_switched(look: Any) -> None:
    told = look(
        "return {buttons: document.querySelectorAll('#edits button').length,"
        " why: text('#switching'), hidden: document.getElementById('admin').hidden};",
        token=None,
    )
    assert (told["buttons"], told["hidden"]) == (0, True)
    assert "started without a token" in told["why"]


def test_a_wrong_answer_is_drafted_as_an_edit_that_can_be_saved(look: Any, tmp_path: Path) -> None:
    told = look(
        """
    const answered = document.getElementById('wrong');
    const before = answered.hidden;
    document.getElementById('tokens').value = 4;
    await ask('The longest river is');
    answered.click();
    const draft = async (name, value) => {
      document.getElementById(name).value = value;
      document.getElementById('draft-form').requestSubmit();
      const done = ['unclear', 'drafted'].map(id => document.getElementById(id));
      done.forEach(element => element.hidden = true);
      await wait(() => done.some(element => !element.hidden), 'a draft');
      return document.activeElement.id;
    };
    const focused = await draft('should', 'Amazon');
    const unclear = text('#unclear');
    document.getElementById('draft-close').click();
    const closed = !document.getElementById('draft').open;
    await ask('The capital of <b>Peru</b> is the city of');
    answered.click();
    document.getElementById('source').value = 'a.example/peru';
    const further = await draft('should', 'Lima');
    await draft('relation', 'capital');
    const link = document.querySelector('#drafted a');
    link.click();  // the page's policy lets it be saved
    await new Promise(done => setTimeout(done, 200));
    return {before, focused, further, unclear, closed,
      href: link.href, file: link.download, name: link.innerText,
      shown: document.querySelector('#drafted pre').textContent, open: text('#draft-asked'),
      guesses: [...document.querySelectorAll('#drafted li')].map(item => item.innerText)};
    """
    )
    assert (told["before"], told["closed"]) == (True, True)
    assert (told["focused"], told["further"]) == ("subject", "relation")
    assert "what 'The longest river is' is about is not plain" in told["unclear"]
    assert told["href"].startswith("blob:")
    assert (told["file"], told["name"]) == ("peru-capital.yaml", "Save peru-capital.yaml")
    edit, findings = parse_edit(told["shown"].encode(), Path(told["file"]))
    assert edit is not None
    assert [finding.code for finding in findings] == ["SAKE107", "SAKE112"]  # <b>, no address
    assert edit.claim.startswith("Peru · ")
    assert any(guess.startswith("guessed: ") for guess in told["guesses"])
    assert told["open"].startswith("The capital of <b>Peru</b> is the city of … ")
    assert {path.name for path in tmp_path.iterdir()} <= {
        "browser.log", "log.jsonl", "overrides.json", "production.json", "profile"
    }  # fmt: skip


def test_an_error_is_shown_where_the_answer_would_be(look: Any) -> None:
    told = look("await ask('word '.repeat(600)); return {bare: text('#bare .warn'),"
                " edited: text('#edited .warn')};")  # fmt: skip
    assert "at most 511 are taken" in told["bare"] == told["edited"]


def test_an_answer_can_be_stopped(look: Any) -> None:
    told = look(
        f"""
    document.getElementById('tokens').value = 480;
    document.getElementById('ask').value = {json.dumps(OUT_OF_SCOPE[0])};
    document.getElementById('form').requestSubmit();
    await wait(() => document.querySelector('#bare .new')?.textContent, 'its beginning');
    document.getElementById('stop').click();
    await wait(() => document.body.dataset.answered == 1, 'its end');
    return {{said: text('#bare .warn'), again: !document.getElementById('go').disabled}};
    """
    )
    assert told["said"] == "stopped"
    assert told["again"]


def test_shadow_mode_is_said(look: Any) -> None:
    told = look(
        f"await ask({json.dumps(IN_SCOPE[0])}); return {{words: text('.words'), "
        "state: text('#state'), bare: text('#bare .text'), edited: text('#edited .text')};",
        shadow=True,
    )
    assert told["words"] == "Shadow mode: australia-capital would have fired (in scope)."
    assert "nothing is changed" in told["state"]
    assert told["bare"] == told["edited"]


@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_telephone_by_day_and_by_night(look: Any, dark: bool) -> None:
    told = look(
        f"""
    await ask({json.dumps(IN_SCOPE[0])});
    // The page as it stands, in a frame as wide as a telephone: no window is that narrow.
    const frame = document.createElement('iframe');
    frame.style.width = '390px';
    frame.style.height = '1600px';
    frame.style.border = '0';
    frame.srcdoc = document.documentElement.outerHTML.replace(/<script[^]*?<\\/script>/g, '');
    const loaded = new Promise(done => frame.addEventListener('load', done));
    document.body.append(frame);
    await loaded;
    const inner = frame.contentDocument, root = inner.documentElement;
    const sides = ['bare', 'edited'].map(id => inner.getElementById(id).getBoundingClientRect());
    return {{
      width: frame.contentWindow.innerWidth, wide: root.scrollWidth - root.clientWidth,
      below: sides[1].top >= sides[0].bottom, shown: text('#edited .text').length,
      ground: frame.contentWindow.getComputedStyle(inner.body).backgroundColor,
    }};
    """,
        *(["--blink-settings=preferredColorScheme=0"] if dark else []),
    )
    assert told["shown"] > 30
    assert told["width"] == 390
    assert told["wide"] <= 0
    assert told["below"]
    assert told["ground"] == ("rgb(14, 19, 26)" if dark else "rgb(245, 247, 250)")


def test_the_page_is_well_formed_and_loads_nothing() -> None:
    elements = Elements(page())
    assert not any("src" in attributes for _, attributes in elements.found)
    assert [a["href"] for a in elements.named("link")] == ["data:,"]
    assert "http" not in page().replace("HTTP", "")
    for name in ("style", "script"):
        (text,) = re.findall(rf"<{name}>(.*?)</{name}>", page(), re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy()
