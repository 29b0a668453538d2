(function () {
  "use strict";
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const root = document.documentElement;
  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const drawn = new Map();
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;

  function short(value) {
    if (value === null || value === undefined) return "–";
    const size = Math.abs(value);
    if (size !== 0 && (size >= 1e6 || size < 1e-3)) return value.toExponential(2).replace("e+", "e");
    return Number(value.toPrecision(4)).toLocaleString("en", { maximumSignificantDigits: 4, useGrouping: size >= 1e4 });
  }

  function series(one, index) {
    const ink = colour("--line-" + (1 + (index % 6)));
    const out = { label: one.name, stroke: ink, width: 2, spanGaps: true, points: { show: false }, value: (u, v) => (v === null || v === undefined ? "" : short(v)) };
    if (one.style === "dashed") { out.dash = [6, 5]; out.width = 1.5; }
    if (one.style === "marked") out.points = { show: true, size: 7, fill: ink, stroke: ink };
    if (one.style === "points") { out.paths = () => null; out.points = { show: true, size: 4, width: 0, fill: ink + "99", stroke: ink }; }
    if (one.style === "bars") { out.paths = uPlot.paths.bars({ size: [0.92, 80] }); out.fill = ink + "66"; out.width = 1; }
    return out;
  }

  function axis(label, side, whole) {
    const ink = colour("--soft"), line = colour("--grid");
    const out = {
      label: label, stroke: ink, labelFont: "12px system-ui, sans-serif", font: "12px system-ui, sans-serif", labelSize: 20,
      grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1, size: 5 },
      values: (u, splits) => splits.map((v) => (v === null ? "" : short(v))),
    };
    if (whole) out.incrs = [1, 2, 5].flatMap((d) => [...Array(12).keys()].map((e) => d * 10 ** e)).sort((a, b) => a - b);
    out.size = side === "y" ? 62 : 36;
    return out;
  }

  function mark(box, plot) {
    box.dataset.low = plot.scales.x.min;
    box.dataset.high = plot.scales.x.max;
  }

  function build(box, log) {
    const about = figures[box.dataset.figure];
    const before = drawn.get(box);
    if (before) before.destroy();
    const bars = about.series.some((s) => s.style === "bars");
    const width = Math.max(220, box.clientWidth);
    const plot = new uPlot({
      width: width, height: Math.round(Math.min(280, Math.max(220, width * 0.55))),
      scales: { x: about.share ? { time: false, range: (u, low, high) => (low === 0 && high === 1 ? [0, 1] : [low, high]) } : { time: false },
        y: about.share ? { range: [0, 1] } : log ? { distr: 3 } : bars ? { range: (u, low, high) => [0, high * 1.06 || 1] } : {} },
      axes: [axis(about.x, "x", about.whole), axis(about.y, "y", false)],
      series: [{ label: about.x, value: (u, v) => (v === null || v === undefined ? "" : short(v)) }, ...about.series.map(series)],
      legend: { live: true }, cursor: { drag: { x: true, y: false, setScale: true }, points: { size: 7 } },
      hooks: { setScale: [(u, key) => { if (key === "x") mark(box, u); }] },
    }, about.data, box);
    box.dataset.log = log ? "1" : "";
    mark(box, plot);
    drawn.set(box, plot);
    return plot;
  }

  function zoom(box, factor, shift) {
    const plot = drawn.get(box), x = plot.data[0];
    if (!x.length) return;
    const whole = [x[0], x[x.length - 1]], now = plot.scales.x, span = (now.max - now.min) * factor;
    const least = (whole[1] - whole[0]) / 1e4 || 1e-9;
    const middle = (now.min + now.max) / 2 + shift * (now.max - now.min);
    let low = middle - Math.max(span, least) / 2, high = middle + Math.max(span, least) / 2;
    if (shift && low < whole[0]) { high += whole[0] - low; low = whole[0]; }
    if (shift && high > whole[1]) { low -= high - whole[1]; high = whole[1]; }
    plot.setScale("x", { min: Math.max(low, whole[0]), max: Math.min(high, whole[1]) });
  }

  function reset(box) {
    const plot = drawn.get(box);
    plot.setData(plot.data);
  }

  function controls(box) {
    const figure = box.closest("figure"), about = figures[box.dataset.figure];
    const title = figure.querySelector("h3").textContent;
    const bar = document.createElement("div");
    bar.className = "tools";
    const add = (mark, words, act) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = mark;
      button.title = words;
      button.setAttribute("aria-label", words + ": " + title);
      button.addEventListener("click", () => act(button));
      bar.append(button);
    };
    add("+", "Zoom in", () => zoom(box, 0.5, 0));
    add("−", "Zoom out", () => zoom(box, 2, 0));
    add("←", "Earlier part", () => zoom(box, 1, -0.25));
    add("→", "Later part", () => zoom(box, 1, 0.25));
    add("all", "Show all", () => reset(box));
    if (about.log) add("log", "Logarithmic scale", (button) => {
      const log = !box.dataset.log;
      build(box, log);
      button.setAttribute("aria-pressed", String(log));
    });
    figure.querySelector("figcaption").append(bar);
    box.title = "Drag to zoom, double-click to show all";
  }

  function start(box) {
    if (drawn.has(box) || !box.clientWidth) return;
    build(box, false);
    controls(box);
  }

  const boxes = [...document.querySelectorAll(".plot")];
  boxes.forEach(start);
  document.querySelectorAll("details.fold").forEach((fold) =>
    fold.addEventListener("toggle", () => fold.querySelectorAll(".plot").forEach(start)));

  let width = root.clientWidth;
  addEventListener("resize", () => {
    if (root.clientWidth === width) return;
    width = root.clientWidth;
    drawn.forEach((plot, box) => build(box, Boolean(box.dataset.log)));
  });
  const again = () => drawn.forEach((plot, box) => build(box, Boolean(box.dataset.log)));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  addEventListener("beforeprint", () => { root.dataset.print = "1"; again(); });
  addEventListener("afterprint", () => { delete root.dataset.print; again(); });

  const links = new Map([...document.querySelectorAll("nav a")].map((a) => [a.hash.slice(1), a]));
  const seen = new IntersectionObserver((entries) => entries.forEach((entry) => {
    if (!entry.isIntersecting) return;
    links.forEach((a) => a.removeAttribute("aria-current"));
    links.get(entry.target.id).setAttribute("aria-current", "true");
  }), { rootMargin: "-10% 0px -80% 0px" });
  document.querySelectorAll("main > section").forEach((section) => seen.observe(section));
  root.dataset.ready = still ? "still" : "1";
})();
