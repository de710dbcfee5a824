"""The style and the script of the HTML reports, all static: nothing of a run goes into them.

`BASE` and `OPEN_FOLDS` are every page's; `STYLE` and `SCRIPT` are the benchmark's.
"""

from __future__ import annotations

from sake_bench.reports.charts import METHODS
from sake_bench.reports.scores import SCOPES, SUCCESSES


def _tabs() -> str:
    """Which panel a chosen tab shows, without script; on paper everything is shown."""
    rules = []
    for scope in SCOPES:
        rules.append(f"#scope-{scope}:checked~.panels>.panel-{scope}{{display:block}}")
    for success in SUCCESSES:
        rules.append(f"#success-{success}:checked~.panels .success-{success}{{display:block}}")
    for ident in [f"scope-{s}" for s in SCOPES] + [f"success-{s}" for s in SUCCESSES]:
        label = f"~.bars label[for={ident}]"
        rules.append(
            f"#{ident}:checked{label}{{background:var(--accent);color:var(--on-accent);"
            "border-color:var(--accent)}"
        )
        rules.append(
            f"#{ident}:focus-visible{label}{{outline:3px solid var(--s4);outline-offset:2px}}"
        )
    hidden = ",".join([".panel", *(f".success-{s}" for s in SUCCESSES)])
    return f"@media screen{{{hidden}{{display:none}}\n" + "\n".join(rules) + "}\n"


SWATCHES = "\n".join(f".swatch.s{i}{{background:var(--s{i})}}" for i in range(len(METHODS) + 1))

BASE = """\
:root{--accent:#0b4f86;--on-accent:#ffffff;--page:#f5f7fa;--soft:#eef2f6;--line:#d5dbe3}
@media screen and (prefers-color-scheme:dark){:root{--accent:#8cc8fa;--on-accent:#0b1220;\
--page:#0e131a;--soft:#1d2531;--line:#303b4a}}
*{box-sizing:border-box}
html{scroll-behavior:smooth;scroll-padding-top:4rem}
@media (prefers-reduced-motion:reduce){html{scroll-behavior:auto}}
body{margin:0;background:var(--page);color:var(--ink);\
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,"Noto Sans",\
"DejaVu Sans",sans-serif}
header,main{max-width:1120px;margin:0 auto;padding:0 24px}
header{padding-top:48px;padding-bottom:20px}
.over{margin:0;color:var(--muted);font-size:14px}
h1{font-size:clamp(28px,4vw,42px);line-height:1.15;margin:.2em 0 .4em;letter-spacing:-.02em}
h2{font-size:26px;line-height:1.2;margin:0 0 .6em;letter-spacing:-.01em}
h3{font-size:19px;margin:1.6em 0 .3em}
h4{font-size:18px;margin:2.2em 0 .4em}
h5{font-size:15px;margin:1.6em 0 .3em}
.lead{font-size:18px;max-width:78ch;margin:0 0 1.6em}
p{max-width:84ch}
a{color:var(--accent)}
code{font-size:.9em;background:var(--soft);padding:.1em .35em;border-radius:4px}
nav{position:sticky;top:0;z-index:2;background:var(--page);border-bottom:1px solid var(--line);\
padding:10px max(24px,calc((100vw - 1072px)/2));display:flex;gap:6px 20px;overflow-x:auto;\
white-space:nowrap;font-size:14px}
nav a{text-decoration:none}
nav a:hover{text-decoration:underline}
section{background:var(--ground);border:1px solid var(--line);border-radius:14px;\
padding:28px;margin:24px 0}
.tiles-head{margin:0 0 .7em}
.tiles{list-style:none;display:grid;grid-template-columns:repeat(auto-fit,minmax(160px,1fr));\
gap:14px;margin:0;padding:0}
.tile{background:var(--ground);border:1px solid var(--line);border-top:4px solid var(--accent);\
border-radius:12px;padding:14px 16px;display:flex;flex-direction:column;font-size:13px;\
color:var(--muted)}
.tile.lower{border-top-style:dashed}
.tile-name{font-weight:600;font-size:14px;color:var(--ink)}
.tile-value{font-size:34px;line-height:1.25;font-weight:650;color:var(--ink);\
letter-spacing:-.02em;font-variant-numeric:tabular-nums}
.tile-value small{font-size:16px;font-weight:500;color:var(--muted)}
.tile-sentence{margin-top:.6em;line-height:1.4}
.tab{position:absolute;opacity:0;width:1px;height:1px;margin:0}
.tabs{position:relative}
.bars{display:flex;flex-wrap:wrap;gap:12px 32px;padding-bottom:4px}
.tab-list{display:flex;flex-wrap:wrap;gap:8px;align-items:center}
.bar-name{font-size:14px;color:var(--muted);margin-right:4px}
.tab-label{border:1px solid var(--line);border-radius:999px;padding:5px 14px;cursor:pointer;\
font-size:14px}
.tab-label:hover{border-color:var(--accent)}
figure{margin:1em 0 1.4em}
figcaption,.protocol,.below{color:var(--muted);font-size:14px}
.protocol span,.below span{display:block}
.scroll{overflow-x:auto}
.scroll:focus-visible{outline:2px solid var(--s4);outline-offset:2px}
.scroll>svg{min-width:640px}
table{border-collapse:collapse;width:100%;font-size:14px;font-variant-numeric:tabular-nums}
th,td{padding:8px 12px;text-align:right;vertical-align:top;border-bottom:1px solid var(--line)}
thead th{vertical-align:bottom;border-bottom:2px solid var(--line)}
thead th[scope=colgroup]{text-align:center;color:var(--muted);font-weight:500}
tr:first-child>th:first-child,tbody th{text-align:left}
tbody th{font-weight:600}
th small,td small{font-weight:400;color:var(--muted);font-size:12px;white-space:nowrap}
tbody th small,tbody td small,thead th[scope=col] small{display:block}
tbody tr[data-row=sake]>*{background:var(--soft)}
.published th,.published td{color:var(--muted);font-style:italic;font-weight:400}
.published tr:first-child>*{border-top:2px solid var(--line)}
.rail{display:block;height:4px;margin-top:5px;min-width:70px;background:var(--line);\
border-radius:2px}
.level{display:block;height:4px;background:var(--accent);border-radius:2px}
.unseen{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
details{margin:.6em 0}
summary{cursor:pointer;font-weight:500}
.picked>.choice>summary{display:none}
.picked>.choice:not([open]){display:none}
.pick{display:flex;gap:10px;align-items:center;font-size:14px;margin:1em 0;flex-wrap:wrap}
.pick select{font:inherit;color:var(--ink);background:var(--ground);max-width:100%;\
border:1px solid var(--line);border-radius:8px;padding:6px 10px}
.boxes{display:grid;grid-template-columns:repeat(auto-fit,minmax(340px,1fr));gap:20px}
.box{background:var(--soft);border-radius:10px;padding:18px 20px}
.box h3{margin-top:0}
dl{margin:0;font-size:14px}
dl div{padding:5px 0}
dt{font-weight:600;overflow-wrap:anywhere}
dd{margin:0;overflow-wrap:anywhere}
#environment dl,.method dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(240px,1fr));\
gap:2px 24px}
.method{border-top:1px solid var(--line);padding:2px 0 10px}
.method:first-of-type{border-top:0}
.method h3{margin:.8em 0 .2em}
.method h3 small{font-weight:400;font-size:14px;color:var(--muted);margin-left:10px}
.method p{margin:.3em 0}
.swatch{display:inline-block;width:12px;height:12px;border-radius:3px;margin-right:9px}
li{overflow-wrap:anywhere}
@media (max-width:640px){header,main{padding-left:14px;padding-right:14px}section{padding:18px}}
@media print{body{background:#fff;font-size:11pt}nav,.bars,.pick,.tab{display:none}\
header,main{max-width:none;padding:0}section{border:0;padding:0;margin:18pt 0}\
figure,tr,.tile,.method{break-inside:avoid}h2,h3,h4,h5{break-after:avoid}\
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}.scroll{overflow:visible}\
.scroll>svg{min-width:0}table{font-size:8.5pt}th,td{padding:3pt 5pt}}
"""
STYLE = BASE + _tabs() + SWATCHES + "\n"

OPEN_FOLDS = """\
addEventListener('beforeprint', () => {
  for (const fold of document.querySelectorAll('.fold')) fold.open = true;
});
"""
SCRIPT = (
    """
'use strict';
for (const picker of document.querySelectorAll('.picker')) {
  const choices = [...picker.querySelectorAll(':scope > .choice')];
  if (choices.length < 2) continue;
  const select = document.createElement('select');
  choices.forEach((choice, i) => {
    const option = document.createElement('option');
    option.value = String(i);
    option.textContent = choice.querySelector('summary').textContent;
    select.append(option);
  });
  const show = () => choices.forEach((choice, i) => { choice.open = i === Number(select.value); });
  const label = document.createElement('label');
  label.className = 'pick';
  label.append(picker.dataset.label, select);
  picker.prepend(label);
  picker.classList.add('picked');
  select.addEventListener('change', show);
  show();
}
"""
    + OPEN_FOLDS
)
