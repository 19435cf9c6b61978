"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const data = JSON.parse($("data").textContent);
  const stage = $("stage"), world = $("world"), slider = $("step");
  const boxes = new Map(), frames = new Map(), wires = new Map(), numbers = new Map(), describe = new Map();
  for (const el of world.querySelectorAll("[data-box]")) boxes.set(el.dataset.box, el);
  for (const el of world.querySelectorAll("[data-frame]")) frames.set(+el.dataset.frame, el);
  for (const el of world.querySelectorAll("[data-wire]")) wires.set(el.dataset.wire, el);
  for (const el of world.querySelectorAll("[data-ref]")) {
    const key = el.classList[0] + el.dataset.ref;
    numbers.set(key, [...(numbers.get(key) ?? []), el]);
  }
  for (const box of data.boxes) describe.set(box.key, box);
  for (const [group, box] of Object.entries(data.modules)) describe.set(box.key, { ...box, opens: +group });

  // Wires of an edge: its last piece in each level, and the shared bends that lead there.
  const wiresOfEdge = data.edges.map(() => []);
  data.levels.forEach((level, g) => {
    const into = new Map();
    level.links.forEach((link, n) => { if (level.items[link.target].kind === "bend") into.set(link.target, n); });
    level.links.forEach((link, n) => {
      for (const edge of link.edges) {
        let at = n;
        while (at !== undefined) {
          wiresOfEdge[edge].push(`${g}:${at}`);
          at = into.get(level.links[at].source);
        }
      }
    });
  });
  const keyOfNode = new Map(data.boxes.filter((b) => b.node >= 0 && b.kind !== "link").map((b) => [b.node, b.key]));
  const groupOf = new Map(data.boxes.map((b) => [b.key, b.group]));

  // --- view: pan and zoom ---------------------------------------------------------------------------------------
  const view = { x: 0, y: 0, k: 1 }, READABLE = 0.7;
  const open = new Set(data.groups.map((_, g) => g).filter((g) => g > 0 && data.groups[g].open));
  let place = locate(data, open);
  let fitted = true;  // until a person moves the drawing, it follows the size of its window
  function look(byHand = true) {
    fitted &&= !byHand;
    world.setAttribute("transform", `translate(${view.x} ${view.y}) scale(${view.k})`);
  }

  /** Shows everything, or at first only as much as can be read from a distance. */
  function fit(smallest = 0.02) {
    const { clientWidth: w, clientHeight: h } = stage;
    view.k = Math.min(1.6, Math.max(smallest, Math.min(w / place.width, h / place.height)));
    view.x = Math.max(0, (w - place.width * view.k) / 2);
    view.y = Math.max(0, (h - place.height * view.k) / 2);
    fitted = true;
    look(false);
  }
  function zoom(factor, x = stage.clientWidth / 2, y = stage.clientHeight / 2) {
    const k = Math.min(6, Math.max(0.02, view.k * factor)), f = k / view.k;
    Object.assign(view, { k, x: x - (x - view.x) * f, y: y - (y - view.y) * f });
    look();
  }
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    const { left, top } = stage.getBoundingClientRect();
    zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0016)), event.clientX - left, event.clientY - top);
  }, { passive: false });
  let drag = null, moved = false;
  stage.addEventListener("pointerdown", (event) => {
    if (event.button === 0) [drag, moved] = [{ x: event.clientX, y: event.clientY }, false];
  });
  window.addEventListener("pointermove", (event) => {
    if (!drag) return;
    const dx = event.clientX - drag.x, dy = event.clientY - drag.y;
    if (!moved && Math.hypot(dx, dy) < 4) return;
    moved = true;
    stage.classList.add("dragging");
    view.x += dx;
    view.y += dy;
    drag = { x: event.clientX, y: event.clientY };
    look();
  });
  for (const end of ["pointerup", "pointercancel"]) window.addEventListener(end, () => {
    drag = null;
    stage.classList.remove("dragging");
  });
  function reveal(el) {
    const a = el.getBoundingClientRect(), b = stage.getBoundingClientRect();
    const m = Math.min(40, Math.max(0, (b.width - a.width) / 2)), before = `${view.x} ${view.y}`;
    if (a.left < b.left + m) view.x += b.left + m - a.left;
    else if (a.right > b.right - m) view.x -= a.right - b.right + m;
    if (a.top < b.top + m) view.y += b.top + m - a.top;
    else if (a.bottom > b.bottom - m) view.y -= a.bottom - b.bottom + m;
    if (before !== `${view.x} ${view.y}`) look();
  }

  // --- modules ----------------------------------------------------------------------------------------------------
  function arrange() {
    place = locate(data, open);
    const at = (el, spot) => {
      if (!spot) return el.setAttribute("display", "none");
      el.removeAttribute("display");
      el.setAttribute("transform", `translate(${spot[0].toFixed(1)} ${spot[1].toFixed(1)})`);
    };
    for (const [key, el] of boxes) at(el, place.places[key]);
    for (const [g, el] of frames) {
      const f = place.frames[g];
      at(el, f && [f.x, f.y]);
      if (f) {
        el.firstElementChild.setAttribute("width", f.width.toFixed(1));
        el.firstElementChild.setAttribute("height", f.height.toFixed(1));
      }
    }
    for (const [key, el] of wires) {
      const d = place.paths[key];
      if (d) {
        el.setAttribute("d", d);
        el.removeAttribute("display");
      } else el.setAttribute("display", "none");
    }
    $("open-all").disabled = open.size === data.groups.length - 1;
    $("fold-all").disabled = open.size === 0;
  }
  const corner = (g) => {
    const f = place.frames[g];
    if (f) return [f.x, f.y];
    const spot = place.places[data.modules[g].key];
    return spot && [spot[0], spot[1] - data.modules[g].above];
  };
  function toggle(g, wanted = !open.has(g)) {
    const before = corner(g);
    if (wanted) open.add(g);
    else open.delete(g);
    arrange();
    const after = corner(g);
    if (before && after) {
      view.x += (before[0] - after[0]) * view.k;
      view.y += (before[1] - after[1]) * view.k;
      look();
    }
    const el = wanted ? frames.get(g).querySelector(".header") : boxes.get(data.modules[g].key);
    el.focus({ preventScroll: true });
    if (!wanted) reveal(el);
  }
  function all(wanted) {
    open.clear();
    if (wanted) for (let g = 1; g < data.groups.length; g++) open.add(g);
    arrange();
    fit(READABLE);
  }
  /** The box that stands for a node now: its own, or that of the folded module around it. */
  function standsFor(key) {
    let shown = key;
    for (let g = groupOf.get(key) ?? 0; g > 0; g = data.groups[g].parent) if (!open.has(g)) shown = data.modules[g].key;
    return shown;
  }

  // --- details ----------------------------------------------------------------------------------------------------
  let selected = null;
  function mark(key) {
    for (const el of world.querySelectorAll(".selected")) el.classList.remove("selected");
    for (const el of world.querySelectorAll(".near")) el.classList.remove("near");
    selected = key;
    if (!key) return;
    boxes.get(key).classList.add("selected");
    const node = describe.get(key).node;
    data.edges.forEach(([ref, target], e) => {
      if (target === key || (node >= 0 && +ref.split(":")[0] === node))
        for (const w of wiresOfEdge[e]) wires.get(w).classList.add("near");
    });
  }
  function entry(list, name, text, kind = "") {
    if (!text) return;
    const dt = document.createElement("dt"), dd = document.createElement("dd");
    dt.textContent = name;
    dd.textContent = text;
    dd.className = kind;
    list.append(dt, dd);
  }
  function details(key, move = true) {
    const box = describe.get(key), panel = $("details"), list = panel.querySelector("dl");
    let id = box.node;
    if (id < 0) id = +(data.edges.find(([, target]) => target === key)?.[0].split(":")[0] ?? -1);
    if (id < 0) return;
    const node = { ...data.nodes[id], id, ...(box.kind === "output" && { kind: "output" }) };
    $("keys").hidden = true;
    mark(key);
    list.replaceChildren();
    panel.querySelector("h2").textContent = key.startsWith("out:") ? key.slice(4) : node.label;
    entry(list, "kind", node.kind);
    entry(list, "formula", node.formula && `${node.label} = ${node.formula}`, "mono");
    entry(list, "attributes", node.attributes, "mono");
    entry(list, "shape", node.shape === "()" ? "scalar" : node.shape, "mono");
    entry(list, "dtype", node.dtype, "mono");
    const later = (kind, text) => text && (now < last && !computed.has(kind + node.id) ? "not computed yet" : text);
    entry(list, "value", later("value", node.value), "value");
    entry(list, "gradient", later("gradient", node.gradient), "gradient");
    for (const [input, rule] of node.rules ?? []) entry(list, `local ∂ ${input}`, rule, "mono");
    entry(list, "module", node.module, "mono");
    entry(list, "source", node.source, "mono");
    panel.hidden = false;
    if (!move) return;
    panel.scrollTop = 0;
    if (fitted) fit(READABLE);
    reveal(boxes.get(key));
  }
  function close() {
    $("details").hidden = $("keys").hidden = true;
    $("help").setAttribute("aria-expanded", "false");
    if (fitted) fit(READABLE);
    const was = selected;
    mark(null);
    if (was && document.activeElement === $("close")) boxes.get(was).focus({ preventScroll: true });
  }
  function act(el) {
    const box = describe.get(el.dataset.box);
    if (box?.opens) toggle(box.opens);
    else if (box) details(box.key);
    else toggle(+el.parentNode.dataset.frame);
  }
  world.addEventListener("click", (event) => {
    const el = event.target.closest("[data-box], .header");
    if (el && !moved) act(el);
  });
  stage.addEventListener("click", (event) => {
    if (!event.target.closest("[data-box], .header") && !moved) close();
  });
  world.addEventListener("focusin", (event) => {
    if (event.target.matches(":focus-visible")) reveal(event.target);
  });

  // --- steps: forward, then backward --------------------------------------------------------------------------------
  const steps = data.steps, last = steps.length, turn = steps.findIndex((s) => s.phase === "backward");
  const forward = turn < 0 ? last : turn;
  slider.max = last;
  $("passes").children[0].style.width = `${(100 * forward) / last}%`;
  $("passes").children[1].hidden = turn < 0;
  const computed = new Set();  // "value7": the walk has come to the value of node 7
  let now = -1, timer = 0;
  function show(step) {
    now = Math.min(last, Math.max(0, step));
    slider.value = now;
    const stepping = now < last;
    stage.classList.toggle("stepping", stepping);
    for (const el of world.querySelectorAll(".done, .on, .went, .came, .now, .fresh"))
      el.classList.remove("done", "on", "went", "came", "now", "fresh");
    computed.clear();
    for (let n = 0; stepping && n < now; n++) apply(steps[n], n === now - 1);
    const step_ = steps[now - 1];
    const text = now === 0 ? "nothing is computed yet" : now === last ? "done" : step_.text;
    $("caption").textContent = now === last ? (turn < 0 ? "all values" : "all values and gradients") : text;
    $("caption").title = text;
    const phase = stepping && step_ ? step_.phase : "";
    $("caption").className = phase;
    slider.className = now > forward ? "backward" : "forward";
    slider.setAttribute("aria-valuetext", `${now} of ${last}: ${$("caption").textContent}`);
    $("count").textContent = `${now} / ${last}`;
    if (!$("details").hidden && selected) details(selected, false);
    $("back").disabled = now === 0;
    $("next").disabled = now === last;
  }
  function apply(step, current) {
    const touch = (el, ...names) => el.classList.add(...names, ...(current ? ["now"] : []));
    for (const node of step.nodes ?? []) if (keyOfNode.has(node)) done(keyOfNode.get(node));
    for (const key of step.boxes ?? []) done(key);
    if (step.edge !== undefined)
      for (const w of wiresOfEdge[step.edge]) {
        wires.get(w).classList.remove("went");
        touch(wires.get(w), step.phase === "forward" ? "went" : "came");
      }
    const appear = (kind, refs) => {
      for (const ref of (refs ?? []).map((r) => r.join(":"))) {
        computed.add(kind + ref.split(":")[0]);
        for (const el of numbers.get(kind + ref) ?? []) el.classList.add("on", ...(current ? ["fresh"] : []));
        for (const el of numbers.get("stub" + ref) ?? []) el.classList.add(kind === "value" ? "went" : "came");
      }
    };
    appear("value", step.show);
    appear("gradient", step.grad);
    function done(key) {
      touch(boxes.get(key), "done");
      const outer = standsFor(key), leaf = ["input", "parameter", "constant"].includes(describe.get(key).kind);
      if (outer !== key && !leaf) touch(boxes.get(outer), "done");
    }
  }
  function follow() {
    const el = world.querySelector(".box.now:not([display])") ?? world.querySelector(".edge.now:not([display])");
    if (el && now < last) reveal(el);
  }
  function go(step) {
    show(step);
    follow();
  }
  function play(wanted = !timer) {
    clearInterval(timer);
    timer = 0;
    if (wanted) {
      if (now >= last) go(0);
      timer = setInterval(() => {
        go(now + 1);
        if (now >= last) play(false);
      }, Math.max(60, Math.min(900, 90000 / last)));
    }
    $("play").textContent = timer ? "❚❚" : "▶";
    $("play").setAttribute("aria-label", timer ? "pause" : "play");
  }

  // --- controls -----------------------------------------------------------------------------------------------------
  function theme() {
    const dark = getComputedStyle(document.documentElement).colorScheme === "dark";
    document.documentElement.dataset.theme = dark ? "light" : "dark";
  }
  function help() {
    const hidden = !$("keys").hidden;
    close();
    $("keys").hidden = hidden;
    $("help").setAttribute("aria-expanded", String(!hidden));
  }
  const click = (id, action) => $(id).addEventListener("click", action);
  click("open-all", () => all(true));
  click("fold-all", () => all(false));
  click("zoom-in", () => zoom(1.3));
  click("zoom-out", () => zoom(1 / 1.3));
  click("fit", () => fit());
  click("theme", theme);
  click("help", help);
  click("close", close);
  click("back", () => (play(false), go(now - 1)));
  click("next", () => (play(false), go(now + 1)));
  click("play", () => play());
  slider.addEventListener("input", () => (play(false), go(+slider.value)));
  if (data.groups.length === 1) $("open-all").hidden = $("fold-all").hidden = $("modules-rule").hidden = true;

  /** The visible box next to one: along a wire, or above or below it. */
  function neighbour(key, arrow) {
    const spot = place.places[key], seen = (k) => place.places[k] && k !== key;
    let keys = [];
    if (arrow === "ArrowLeft" || arrow === "ArrowRight") {
      for (const [ref, target] of data.edges) {
        const pair = [standsFor(keyOfNode.get(+ref.split(":")[0])), standsFor(target)];
        if (arrow === "ArrowLeft") pair.reverse();
        if (pair[0] === key) keys.push(pair[1]);
      }
    } else {
      const sign = arrow === "ArrowDown" ? 1 : -1;
      keys = Object.keys(place.places).filter((k) => sign * (place.places[k][1] - spot[1]) > 4);
    }
    const far = ([x, y]) => Math.abs(x - spot[0]) * (arrow === "ArrowUp" || arrow === "ArrowDown" ? 3 : 0.1) + Math.abs(y - spot[1]);
    return keys.filter(seen).sort((a, b) => far(place.places[a]) - far(place.places[b]))[0];
  }
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const el = event.target, key = event.key, item = el.closest?.("[data-box], .header");
    const native = el.matches?.("button, input");
    const keys = { "+": () => zoom(1.3), "=": () => zoom(1.3), "-": () => zoom(1 / 1.3), 0: () => fit(), t: theme, "?": help, Escape: close,
      n: () => (play(false), go(now + 1)), b: () => (play(false), go(now - 1)) };
    if (key === "Enter" && item) act(item);
    else if (key === " " && !el.matches?.("button")) play();
    else if (key.startsWith("Arrow") && !native) {
      const to = el.dataset?.box && neighbour(el.dataset.box, key);
      if (to) boxes.get(to).focus({ preventScroll: true });
      else if (!el.dataset?.box) {
        view.x += 60 * ((key === "ArrowLeft") - (key === "ArrowRight"));
        view.y += 60 * ((key === "ArrowUp") - (key === "ArrowDown"));
        look();
      }
    } else if (keys[key]) keys[key]();
    else return;
    event.preventDefault();
  });
  new ResizeObserver(() => fitted && stage.clientWidth && fit(READABLE)).observe(stage);
  arrange();
  fit(READABLE);
  show(last);
})();
