'use strict';
// The list of edits (index.html), drawn from data.js, and the keys of both pages. What a file says
// is only ever set as text.
const PAGE = 50;
const field = document.getElementById('query');

// The search as it stood, for the way back from an edit; some browsers keep nothing for files.
const kept = {
  set(value) { try { sessionStorage.setItem('search', value); } catch {} },
  get() { try { return sessionStorage.getItem('search') ?? ''; } catch { return ''; } },
};

const make = (name, kind, ...inner) => {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  made.append(...inner);
  return made;
};

function list() {
  const form = document.getElementById('search');
  const results = document.getElementById('results');
  const more = document.getElementById('more');
  const fold = text => text.normalize('NFKD').replace(/\p{M}/gu, '').toLowerCase();
  const edits = registry.edits.map(edit => {
    const names = fold(`${edit.id}\n${edit.subject}`);
    const rest = [edit.relation, edit.old ?? '', edit.new, ...edit.tags, ...edit.owner, ...edit.words];
    return {edit, names, text: `${names}\n${fold(rest.join('\n'))}`};
  });
  const orders = {
    worst: edit => edit.needs.length ? registry.needs.indexOf(edit.needs[0]) : registry.needs.length,
    newest: edit => -Date.parse(edit.changed ?? '1970-01-01'),
    fires: edit => -(edit.fires ?? 0),
  };
  let found = [], shown = 0;

  const passes = (edit, chosen) =>
    (!chosen.status || edit.status === chosen.status)
    && (!chosen.tag || edit.tags.includes(chosen.tag))
    && (!chosen.model || edit.models.includes(chosen.model))
    && (!chosen.needs || edit.needs.includes(chosen.needs));

  const row = edit => {
    const pills = edit.status === 'active' ? [] : [make('span', `pill ${edit.status}`, edit.status)];
    pills.push(...edit.needs.map(need => make('span', 'pill need', registry.words[need])));
    pills.push(...edit.tags.map(tag => make('span', 'pill', tag)));
    const about = [edit.id];
    if (edit.asked) about.push(`${edit.passed} of ${edit.asked} answers as expected`);
    if (edit.fires !== null) about.push(`fired ${edit.fires} ×`);
    const link = make('a', '',
      make('span', '', make('strong', '', edit.subject || edit.id), make('small', '', about.join(' · '))),
      make('span', '', edit.new && `${edit.old ?? '(nothing)'} → ${edit.new}`, make('small', '', edit.relation)),
      make('span', 'pills', ...pills));
    link.href = `edits/${edit.id}.html`;
    return make('li', '', link);
  };

  const draw = () => {
    const next = found.slice(shown, shown + PAGE);
    results.append(...next.map(row));
    shown += next.length;
    more.hidden = shown >= found.length;
    more.textContent = `Show ${Math.min(PAGE, found.length - shown)} more`;
  };

  const search = () => {
    const chosen = Object.fromEntries([...new FormData(form)].filter(([, value]) => value));
    const words = fold(chosen.q ?? '').split(/\s+/).filter(Boolean);
    const hits = edits.filter(({edit, text}) =>
      passes(edit, chosen) && words.every(word => text.includes(word)));
    const order = orders[chosen.order];
    const named = ({names}) => words.length && words.every(word => names.includes(word)) ? 0 : 1;
    const place = order ? ({edit}) => order(edit) : named;
    found = hits.map(hit => [place(hit), hit.edit]).sort(([a], [b]) => a - b).map(([, edit]) => edit);
    shown = 0;
    results.replaceChildren();
    draw();
    const all = edits.length;
    document.getElementById('found').textContent =
      found.length === all ? `${all} edit${all === 1 ? '' : 's'}.` : `${found.length} of ${all} edits.`;
    const state = new URLSearchParams(chosen).toString();
    kept.set(state && `#${state}`);
    return state;
  };

  // An address says what was searched, or (#ID) which edit to open.
  const go = () => {
    const said = location.hash.slice(1);
    if (edits.some(({edit}) => edit.id === said)) {
      location.replace(`edits/${said}.html`);
      return;
    }
    const chosen = new URLSearchParams(said);
    for (const control of form.elements) control.value = chosen.get(control.name) ?? '';
    search();
  };
  const changed = () => {
    const state = search();
    history.replaceState(null, '', state ? `#${state}` : location.pathname);
  };

  const links = () => [...results.querySelectorAll('a')];
  const move = step => {
    const all = links();
    const at = all.indexOf(document.activeElement);
    if (at + step >= all.length && !more.hidden) {
      draw();
      return move(step);
    }
    if (at < 0 && step < 0) return;
    (at + step < 0 ? field : all[Math.min(at + step, all.length - 1)])?.focus();
  };
  document.addEventListener('keydown', event => {
    const listed = event.target === field || results.contains(event.target);
    const typed = event.target === field || event.target.tagName === 'SELECT';
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === '/' && !typed) field.focus();
    else if (event.key === 'ArrowDown' && (listed || !typed)) move(1);
    else if (event.key === 'ArrowUp' && results.contains(event.target)) move(-1);
    else if (event.key === 'Enter' && event.target === field) links()[0]?.click();
    else if (event.key === 'Escape' && event.target !== field) field.focus();
    else if (event.key === 'Escape' && field.value) { field.value = ''; changed(); }
    else return;
    event.preventDefault();
  });
  form.addEventListener('input', changed);
  form.addEventListener('submit', event => event.preventDefault());
  more.addEventListener('click', () => {
    const first = shown;
    draw();
    links()[first]?.focus();
  });
  addEventListener('hashchange', go);
  go();
}

function edit() {
  const back = document.getElementById('back');
  back.hash = kept.get();
  document.addEventListener('keydown', event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === 'Escape' || event.key === '/') {
      event.preventDefault();
      back.click();
    }
  });
}

if (field) list();
else edit();
