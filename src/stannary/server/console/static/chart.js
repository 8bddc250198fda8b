"use strict";
// Charts of the tables that stand below them: what a table has not, its chart has not. Without this script the tables are there.
(() => {
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const drawn = new Map();

  function points(figure) {
    return [...figure.querySelectorAll("tbody tr[data-x]")].map((row) => ({
      x: Number(row.dataset.x), value: Number(row.dataset.value), low: Number(row.dataset.low), high: Number(row.dataset.high),
      text: row.dataset.text,
    }));
  }

  function options(figure, rows, width) {
    const axis = { stroke: colour("--ink"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 } };
    const ends = { stroke: colour("--dim"), width: 1, dash: [3, 3], points: { show: false } };
    const whole = figure.dataset.whole === "true";
    const every = rows.map((row) => row.x);
    const inside = rows.every((row) => row.low >= 0 && row.high <= 1);
    return {
      width, height: 240, legend: { show: false }, cursor: { y: false, drag: { x: false, y: false } },
      scales: { x: { time: false, range: (_, low, high) => (low === high ? [low - 1, high + 1] : [low, high]) },
                y: inside ? { range: [0, 1] } : {} },
      axes: [{ ...axis, splits: whole && every.length <= 12 ? () => every : undefined, values: whole ? (_, at) => at.map((v) => `:${v}`) : undefined },
             { ...axis, size: 60 }],
      series: [{}, ends, ends, { stroke: colour("--link"), width: 2, points: { show: true, size: 8, fill: colour("--link") } }],
      bands: [{ series: [2, 1], fill: colour("--chart-band") }],
    };
  }

  function draw(figure) {
    const rows = points(figure);
    const place = figure.querySelector(".plot");
    const before = drawn.get(figure);
    if (before) before.destroy();
    place.hidden = false;
    const data = [rows.map((r) => r.x), rows.map((r) => r.low), rows.map((r) => r.high), rows.map((r) => r.value)];
    drawn.set(figure, new uPlot(options(figure, rows, place.clientWidth), data, place));
  }

  // The arrow keys go from point to point, and what is there is said.
  function keys(figure) {
    const place = figure.querySelector(".plot");
    const said = figure.querySelector("output");
    const rows = points(figure);
    let at = -1;
    place.addEventListener("keydown", (event) => {
      const to = { ArrowRight: at + 1, ArrowLeft: at < 0 ? rows.length - 1 : at - 1, Home: 0, End: rows.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      at = Math.min(Math.max(to, 0), rows.length - 1);
      const plot = drawn.get(figure);
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
