// The dashboard's own few lines of script. Every page works without them; with them lists follow
// what is typed, pages are exchanged in part, new organizations appear by themselves, and a form is
// sent once.
//
// A page is fetched from its own address, whole, and its named regions ([data-region]) take the place
// of those that are shown. There is no second kind of answer that could show something else.
(() => {
  'use strict';

  const TYPING_PAUSE_MS = 180;
  const POLL_FAILURES_MAX = 10;
  const POLL_PAUSE_MAX_MS = 300_000;
  const YEAR_SECONDS = 31_536_000;

  document.documentElement.classList.add('js');

  // The server writes times in the zone that this cookie names.
  try {
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    if (/^[A-Za-z0-9_+\/-]{1,64}$/.test(zone)) {
      const secure = location.protocol === 'https:' ? '; Secure' : '';
      document.cookie = `billing.zone=${zone}; Path=/; Max-Age=${YEAR_SECONDS}; SameSite=Lax${secure}`;
    }
  } catch { /* UTC it is. */ }

  let asked = 0;
  let underWay = new AbortController();

  // Fetches a page of ours; null where another page came, which is the sign-in.
  async function fetchPage(address, signal) {
    const answer = await fetch(address, { credentials: 'same-origin', signal });
    const wanted = new URL(address, location.href).pathname;
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    if (new URL(answer.url).pathname !== wanted) return null;
    return new DOMParser().parseFromString(await answer.text(), 'text/html');
  }

  // What had the focus, so that its successor gets it.
  function focusKey(region) {
    const focused = document.activeElement;
    if (!focused || !region.contains(focused)) return null;
    if (focused.id) return (next) => next.ownerDocument.getElementById(focused.id);
    const href = focused.getAttribute('href');
    return (next) => [...next.querySelectorAll('[href]')].find((link) => link.getAttribute('href') === href);
  }

  function exchange(page) {
    for (const region of document.querySelectorAll('[data-region]')) {
      const next = page.getElementById(region.id);
      if (!next || next.isEqualNode(region)) continue;
      const successor = focusKey(region);
      const adopted = document.adoptNode(next);
      region.replaceWith(adopted);
      const focus = successor && successor(adopted);
      if (focus) focus.focus({ preventScroll: true });
    }
    const news = page.querySelector('[data-news]');
    const shown = document.getElementById('news');
    if (news && shown && shown.dataset.news !== news.dataset.news) {
      shown.dataset.news = news.dataset.news;
      shown.textContent = news.dataset.news;
    }
    document.title = page.title;
  }

  // Makes a form say what the fetched page's form says, but for the field that is typed in.
  function followForms(page) {
    for (const form of document.querySelectorAll('form[data-live]')) {
      for (const field of form.elements) {
        const next = field.id && page.getElementById(field.id);
        if (next && field !== document.activeElement) field.value = next.value;
      }
    }
  }

  // Goes to an address without leaving the page. `history`: 'push', 'replace' or 'keep'.
  async function go(address, history) {
    underWay.abort();
    underWay = new AbortController();
    const mine = ++asked;
    let page;
    try {
      page = await fetchPage(address, underWay.signal);
    } catch (error) {
      if (error.name === 'AbortError') return;
      page = null;
    }
    if (mine !== asked) return;
    if (!page) { location.assign(address); return; }
    if (history === 'push') window.history.pushState(null, '', address);
    if (history === 'replace') window.history.replaceState(null, '', address);
    exchange(page);
    followForms(page);
  }

  function addressOf(form) {
    const filled = [...new FormData(form)].filter(([, value]) => value !== '');
    const query = new URLSearchParams(filled).toString();
    return form.getAttribute('action') + (query ? `?${query}` : '');
  }

  let typing;
  document.addEventListener('input', (event) => {
    const form = event.target.form;
    if (!form || !form.matches('form[data-live]')) return;
    clearTimeout(typing);
    const pause = event.target.matches('select') ? 0 : TYPING_PAUSE_MS;
    typing = setTimeout(() => go(addressOf(form), 'replace'), pause);
  });

  document.addEventListener('submit', (event) => {
    const form = event.target;
    if (form.matches('form[data-live]')) {
      event.preventDefault();
      clearTimeout(typing);
      go(addressOf(form), 'push');
    } else if (form.method === 'post') {
      // The second of a double click is not sent.
      if (form.dataset.sent) { event.preventDefault(); return; }
      form.dataset.sent = 'yes';
      form.setAttribute('aria-busy', 'true');
    }
  });
  // Who comes back by the back button may send again.
  window.addEventListener('pageshow', () => {
    for (const form of document.querySelectorAll('form[data-sent]')) {
      delete form.dataset.sent;
      form.removeAttribute('aria-busy');
    }
  });

  document.addEventListener('click', (event) => {
    const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
    const link = event.target.closest('a[data-swap]');
    if (plain && link && !event.defaultPrevented) {
      event.preventDefault();
      go(link.href, 'push').then(() => {
        const region = document.querySelector('[data-region][tabindex]');
        if (region && !region.contains(document.activeElement)) region.focus();
        if (region && region.getBoundingClientRect().top < 0) region.scrollIntoView();
      });
    }
    const menu = document.querySelector('details.account[open]');
    if (menu && !menu.contains(event.target)) menu.open = false;
  });
  window.addEventListener('popstate', () => go(location.href, 'keep'));
  document.addEventListener('keydown', (event) => {
    const menu = document.querySelector('details.account[open]');
    if (event.key === 'Escape' && menu) {
      menu.open = false;
      menu.querySelector('summary').focus();
    }
  });

  // Looks again every so many seconds while the page is seen; ever more rarely where nobody answers,
  // and after ten failures in a row no more.
  const pollMs = 1000 * Number(document.body.dataset.poll || 0);
  let failures = 0;
  async function poll() {
    // Whoever is choosing rows keeps what is chosen.
    const isChoosing = document.querySelector("[data-region] input:checked");
    if (document.hidden || isChoosing) { setTimeout(poll, pollMs); return; }
    const before = asked;
    try {
      const page = await fetchPage(location.href, AbortSignal.timeout(pollMs));
      if (!page) { location.reload(); return; }
      // Whoever went on meanwhile looks at something else.
      if (asked === before) exchange(page);
      failures = 0;
    } catch {
      failures += 1;
    }
    if (failures < POLL_FAILURES_MAX) setTimeout(poll, Math.min(pollMs * 2 ** failures, POLL_PAUSE_MAX_MS));
  }
  if (pollMs > 0) setTimeout(poll, pollMs);
})();
