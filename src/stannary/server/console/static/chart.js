"use strict";
// Charts of the tables that stand beside them: what a table has not, its chart has not. Without this script the tables are there.
(() => {
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const drawn = new Map();

  function points(figure) {
    const rows = [...figure.querySelectorAll("tbody tr[data-x]")].map((row) => ({
      x: Number(row.dataset.x), value: Number(row.dataset.value), low: Number(row.dataset.low), high: Number(row.dataset.high),
      parts: (row.dataset.parts || "").split(" ").map(Number), text: row.dataset.text,
    }));
    return rows.sort((a, b) => a.x - b.x);
  }

  // A day of UTC: so many after the first one.
  function day(figure, at) {
    const first = new Date(`${figure.dataset.start}T00:00:00Z`);
    return new Date(first.getTime() + at * 86400000).toISOString().slice(5, 10);
  }

  function across(figure, rows) {
    const { whole, start, days } = figure.dataset;
    const every = rows.map((row) => row.x);
    const values = start ? (_, at) => at.map((v) => (Number.isInteger(v) ? day(figure, v) : ""))
      : whole === "true" ? (_, at) => at.map((v) => `:${v}`) : undefined;
    const range = start ? () => [-0.6, Number(days) - 0.4] : (_, low, high) => (low === high ? [low - 1, high + 1] : [low, high]);
    return {
      scale: { time: false, range },
      axis: { values, splits: whole === "true" && every.length <= 12 ? () => every : undefined,
              incrs: start ? [1, 2, 3, 5, 7, 10, 14, 30] : undefined },
    };
  }

  // One value each, with its interval as a band.
  function band(figure, rows) {
    const ends = { stroke: colour("--dim"), width: 1, dash: [3, 3], points: { show: false } };
    const inside = !figure.dataset.start && rows.every((row) => row.low >= 0 && row.high <= 1);
    return {
      y: inside ? { range: [0, 1] } : figure.dataset.start ? { range: (_, low, high) => [0, (high || 1) * 1.1] } : {},
      series: [ends, ends, { stroke: colour("--link"), width: 2, points: { show: true, size: 8, fill: colour("--link") } }],
      bands: [{ series: [2, 1], fill: colour("--chart-band") }],
      data: [rows.map((r) => r.x), rows.map((r) => r.low), rows.map((r) => r.high), rows.map((r) => r.value)],
    };
  }

  // Counts on top of each other: each is painted from the ground up, the highest first.
  function stack(figure, rows) {
    const names = figure.dataset.series.split(" ");
    const count = Number(figure.dataset.days);
    const sums = names.map(() => new Array(count).fill(0));
    for (const row of rows) {
      let sum = 0;
      row.parts.forEach((part, at) => { sum += part; sums[at][row.x] = sum; });
      row.value = sum;
    }
    const paths = uPlot.paths.bars({ size: [0.8, 40] });
    return {
      y: { range: (_, low, high) => [0, Math.max(1, high * 1.05)] },
      series: names.map((name) => ({ fill: colour(`--${name}`), width: 0, paths, points: { show: false } })).reverse(),
      bands: [], whole: true,
      data: [[...Array(count).keys()], ...sums.reverse()],
    };
  }

  function draw(figure) {
    const rows = points(figure);
    const place = figure.querySelector(".plot");
    const said = figure.querySelector("output");
    const before = drawn.get(figure);
    if (before) before.plot.destroy();
    place.hidden = false;
    const line = { stroke: colour("--ink"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 } };
    const x = across(figure, rows);
    const made = figure.dataset.series ? stack(figure, rows) : band(figure, rows);
    const plot = new uPlot({
      width: place.clientWidth, height: 240, legend: { show: false }, cursor: { y: false, points: { show: !made.whole }, drag: { x: false, y: false } },
      scales: { x: x.scale, y: made.y },
      axes: [{ ...line, ...x.axis }, { ...line, size: 60, incrs: made.whole ? [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6] : undefined }],
      series: [{}, ...made.series], bands: made.bands,
      hooks: { setCursor: [(u) => {
        const row = u.cursor.idx == null ? undefined : rows.find((item) => item.x === made.data[0][u.cursor.idx]);
        if (row && said.textContent !== row.text) said.textContent = row.text;
      }] },
    }, made.data, place);
    drawn.set(figure, { plot, rows });
  }

  // The arrow keys go from point to point, and what is there is said.
  function keys(figure) {
    const place = figure.querySelector(".plot");
    const said = figure.querySelector("output");
    let at = -1;
    place.addEventListener("keydown", (event) => {
      const { plot, rows } = drawn.get(figure);
      const to = { ArrowRight: at + 1, ArrowLeft: at < 0 ? rows.length - 1 : at - 1, Home: 0, End: rows.length - 1 }[event.key];
      if (to === undefined || !rows.length) return;
      event.preventDefault();
      at = Math.min(Math.max(to, 0), rows.length - 1);
      plot.setCursor({ left: plot.valToPos(rows[at].x, "x"), top: plot.valToPos(rows[at].value, "y") });
      said.textContent = rows[at].text;
    });
  }

  function all() {
    document.querySelectorAll("figure.chart").forEach(draw);
  }

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("figure.chart").forEach(keys);
    all();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", all);
    let wait = 0;
    addEventListener("resize", () => { clearTimeout(wait); wait = setTimeout(all, 150); });
  });
})();
