"use strict";
// The rules of layout.py and placement.py for a page whose modules open and close. Layers and order come from
// Python and never change; here columns, heights and wires are computed anew. A test compares the two.
function locate(data, open) {
  const { GAP, MIN, MAX, PAD, BEND, LEAF, STRAIGHT, MARGIN, HEADER, LANE, RADIUS } = data.rules;
  const { groups, levels, boxes, modules } = data;

  const boxOf = (item) => (item.kind === "box" ? boxes[item.index] : modules[item.index]);
  const folded = (item) => item.kind === "box" || (item.kind === "group" && !open.has(item.index));

  function extent(item, inside) {
    if (folded(item)) {
      const b = boxOf(item);
      return { width: b.width, above: b.above, below: b.below, enter: {}, leave: b.leave };
    }
    if (item.kind !== "group") return { width: 0, above: BEND, below: BEND, enter: {}, leave: {} };
    const { placed } = inside[item.index];
    const level = levels[item.index];
    const height = placed.height + HEADER + PAD, anchor = height / 2, enter = {}, leave = {};
    level.items.forEach((port, n) => {
      if (port.kind === "entry") enter[port.ref] = placed.y[n] + HEADER - anchor;
      if (port.kind === "exit") leave[port.ref] = placed.y[n] + HEADER - anchor;
    });
    const width = Math.max(placed.width, groups[item.index].header);
    return { width, above: anchor, below: height - anchor, enter, leave };
  }

  const leaves = (extents, link) => extents[link.source].leave[link.ref] ?? 0;
  const enters = (extents, link) => extents[link.target].enter[link.ref] ?? 0;

  function heights(level, extents) {
    const y = extents.map(() => 0);
    for (const row of level.layers) {
      let at = -(row.reduce((sum, i) => sum + extents[i].above + extents[i].below + GAP, 0) - GAP) / 2;
      for (const i of row) {
        y[i] = at + extents[i].above;
        at += extents[i].above + extents[i].below + GAP;
      }
    }
    const before = extents.map(() => []), after = extents.map(() => []), strong = extents.map(() => false);
    for (const link of level.links) if (!level.items[link.source].leaf) strong[link.target] = true;
    for (const link of level.links) {
      const { source: a, target: b } = link, offset = leaves(extents, link) - enters(extents, link);
      const solid = (i) => level.items[i].kind === "box" || level.items[i].kind === "group";
      const weight = solid(a) || solid(b) ? 1 : STRAIGHT;
      after[a].push([b, -offset, weight]);
      if (!(level.items[a].leaf && strong[b])) before[b].push([a, offset, weight]);
    }
    for (let round = extents.length < 1500 ? 8 : 4; round > 0; round--) {
      for (const row of level.layers) settle(level, extents, row, before, y);
      for (const row of [...level.layers].reverse()) settle(level, extents, row, after, y);
    }
    return y;
  }

  function settle(level, extents, row, pulls, y) {
    const pools = [], offsets = [];
    let offset = 0;
    row.forEach((i, n) => {
      const item = level.items[i];
      if (n > 0) {
        const bends = item.kind === "bend" && level.items[row[n - 1]].kind === "bend";
        offset += extents[row[n - 1]].below + extents[i].above + (bends ? 2 : GAP);
      }
      offsets.push(offset);
      let total = 0, wish = 0, mass = item.leaf ? LEAF : item.kind === "bend" ? 8 : 4;
      for (const [j, shift, weight] of pulls[i]) {
        total += weight;
        wish += weight * (y[j] + shift);
      }
      if (total > 0) wish /= total;
      else [wish, mass] = [y[i], LEAF / 4];
      let pool = { mean: wish - offset, mass, count: 1 };
      while (pools.length && pools[pools.length - 1].mean > pool.mean) {
        const last = pools.pop();
        const sum = last.mass + pool.mass;
        pool = { mean: (pool.mean * pool.mass + last.mean * last.mass) / sum, mass: sum, count: pool.count + last.count };
      }
      pools.push(pool);
    });
    let at = 0;
    for (const { mean, count } of pools) for (let k = 0; k < count; k++, at++) y[row[at]] = mean + offsets[at];
  }

  function place(level, extents) {
    let y = heights(level, extents);
    const top = extents.length ? Math.min(...extents.map((e, i) => y[i] - e.above)) : 0;
    y = y.map((v) => v - top);
    const height = extents.length ? Math.max(...extents.map((e, i) => y[i] + e.below)) : 0;
    const column = [], steep = level.layers.map(() => 0), x = [], right = [];
    level.layers.forEach((row, c) => row.forEach((i) => (column[i] = c)));
    for (const link of level.links) {
      const rise = y[link.source] + leaves(extents, link) - y[link.target] - enters(extents, link);
      steep[column[link.source]] = Math.max(steep[column[link.source]], Math.abs(rise));
    }
    let at = 0;
    level.layers.forEach((row, c) => {
      if (c === 0 && row.some((i) => level.items[i].kind !== "entry")) at += PAD;
      const end = at + Math.max(...row.map((i) => extents[i].width));
      const widest = Math.max(0, ...row.filter((i) => level.items[i].leaf).map((i) => extents[i].width));
      for (const i of row) [x[i], right[i]] = [level.items[i].leaf ? end - widest : at, end];
      at = end;
      if (c < level.layers.length - 1) at += Math.min(Math.max(MIN, 24 + 0.2 * steep[c]), MAX);
    });
    const last = level.layers[level.layers.length - 1] ?? [];
    if (last.some((i) => level.items[i].kind !== "exit")) at += PAD;
    return { x, y, right, width: at, height };
  }

  const n1 = (v) => String(Math.round(v * 10) / 10);
  function path([x0, y0, x1, y1], left, right, arrow) {
    let text = `M${n1(x0)} ${n1(y0)}`;
    const middle = (left + right) / 2;
    if (Math.abs(y1 - y0) < 0.5) text += `L${n1(x1)} ${n1(y1)}`;
    else text += `H${n1(left)}C${n1(middle)} ${n1(y0)} ${n1(middle)} ${n1(y1)} ${n1(right)} ${n1(y1)}H${n1(x1)}`;
    if (arrow) text += `M${n1(x1 - 7)} ${n1(y1 - 4)}L${n1(x1 - 1)} ${n1(y1)}L${n1(x1 - 7)} ${n1(y1 + 4)}`;
    return text;
  }

  function wire(level, link, [ox, oy], { placed, extents }, frame) {
    const { source: a, target: b } = link, source = level.items[a], target = level.items[b];
    const y0 = oy + placed.y[a] + leaves(extents, link);
    const y1 = oy + placed.y[b] + enters(extents, link) + link.lane * LANE;
    const start = placed.x[a] + (source.kind === "bend" ? 0 : extents[a].width);
    let end = placed.x[b];
    const arrow = folded(target);
    if (arrow) {
      const size = boxOf(target);
      end += size.inset;
      const rise = link.lane * LANE;
      if (size.round && link.lane) end += Math.abs(link.lane) < 3 ? RADIUS - Math.sqrt(RADIUS ** 2 - rise ** 2) : 6;
    }
    if (frame && target.kind === "exit") end = frame.width;
    return path([ox + start, y0, ox + end, y1], ox + placed.right[a], ox + placed.x[b], arrow);
  }

  const hidden = (g) => {
    for (; g > 0; g = groups[g].parent) if (!open.has(g)) return true;
    return false;
  };
  const shown = groups.map((_, g) => g).filter((g) => !hidden(g));
  const inside = {}, result = { places: {}, frames: {}, paths: {} };
  for (const g of [...shown].reverse()) {
    const extents = levels[g].items.map((item) => extent(item, inside));
    inside[g] = { placed: place(levels[g], extents), extents };
  }
  const origin = { 0: [MARGIN - PAD, MARGIN] };
  for (const g of shown) {
    const level = levels[g], [ox, oy] = origin[g], { placed, extents } = inside[g];
    level.items.forEach((item, i) => {
      const at = [ox + placed.x[i], oy + placed.y[i]];
      if (folded(item)) result.places[boxOf(item).key] = at;
      else if (item.kind === "group") {
        const e = extents[i];
        result.frames[item.index] = { x: at[0], y: at[1] - e.above, width: e.width, height: e.above + e.below };
        origin[item.index] = [at[0], at[1] - e.above + HEADER];
      }
    });
    level.links.forEach((link, n) => {
      result.paths[`${g}:${n}`] = wire(level, link, origin[g], inside[g], result.frames[g]);
    });
  }
  result.width = inside[0].placed.width + 2 * (MARGIN - PAD);
  result.height = inside[0].placed.height + 2 * MARGIN;
  return result;
}
