// Loaded before the page: theme, navigation without reloads, and the keyboard.
(() => {
  const S = window.stepline;
  S.tables = new Set();
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const cookie = (name, value) => {
    document.cookie = `${name}=${value}; path=/; max-age=31536000; SameSite=Lax`;
  };
  const paint = () => {
    root.dataset.theme = S.theme === "auto" ? (dark.matches ? "dark" : "light") : S.theme;
  };
  S.toggleTheme = () => {
    S.theme = root.dataset.theme === "dark" ? "light" : "dark";
    cookie("stepline_theme", S.theme);
    paint();
  };
  S.setLanguage = (language) => {
    cookie("stepline_lang", language);
    location.reload();
  };
  dark.addEventListener("change", paint);
  paint();

  const here = () => location.pathname + location.search;
  const main = () => document.querySelector(".sl-main");
  const openNav = (open) => document.querySelector(".sl-app")?.classList.toggle("nav-open", open);
  const show = (path) => {
    main()?.classList.add("leaving");
    openNav(false);
    emitEvent("stepline_open", path);
  };
  S.go = (path) => {
    if (path !== here()) history.pushState({}, "", path);
    show(path);
  };
  S.replace = (path) => history.replaceState({}, "", path);
  S.shown = (title, path) => {
    document.title = title;
    main()?.classList.remove("leaving");
    document.querySelectorAll(".sl-nav a.item").forEach((a) => {
      const mine = a.getAttribute("href");
      const current = mine === path || (mine !== "/" && path.startsWith(mine + "/"));
      current ? a.setAttribute("aria-current", "page") : a.removeAttribute("aria-current");
    });
  };
  S.openNav = () => openNav(true);
  addEventListener("popstate", () => show(here()));
  document.addEventListener("click", (event) => {
    if (event.target.matches?.(".sl-app.nav-open")) return openNav(false);
    if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target.closest("a[href^='/']");
    if (!link || link.target || link.hasAttribute("download") || link.dataset.full !== undefined) return;
    event.preventDefault();
    S.go(link.getAttribute("href"));
    scrollTo(0, 0);
  });

  const PLACES = { o: "/", t: "/tasks", q: "/queues", w: "/workers", f: "/failures", d: "/dead-letters", n: "/new", s: "/scheduled", u: "/users", y: "/system" };
  let leader = -Infinity; // when `g` was pressed
  document.addEventListener("keydown", (event) => {
    if (event.metaKey || event.ctrlKey || event.altKey) return;
    if (event.target.closest("input, textarea, select, [contenteditable]") && event.target.type !== "checkbox") {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (document.querySelector(".q-dialog__inner")) return;
    const table = [...S.tables].at(-1);
    if (performance.now() - leader < 1200 && PLACES[event.key]) {
      leader = -Infinity;
      event.preventDefault();
      return S.go(PLACES[event.key]);
    }
    const actions = {
      "/": () => document.querySelector(".sl-field.search")?.focus(),
      "?": () => emitEvent("stepline_help"),
      g: () => (leader = performance.now()),
      j: () => table?.move(1),
      k: () => table?.move(-1),
      x: () => table?.mark(),
      o: () => table?.enter(),
      p: () => document.querySelector("[data-key='p']")?.click(),
      n: () => S.go("/new"),
      Escape: () => (document.querySelector(".nav-open") ? openNav(false) : table?.clearPicked()),
    };
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
})();
