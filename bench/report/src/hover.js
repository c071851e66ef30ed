// Shows the values under the pointer. The report is complete without it. No markup is made here:
// names go into the page as text.
"use strict";
(function () {
  const tip = document.getElementById("tip");
  const units = {
    count: [[1e12, " T"], [1e9, " G"], [1e6, " M"], [1e3, " k"], [1, ""]],
    bytes: [[1e12, " TB"], [1e9, " GB"], [1e6, " MB"], [1e3, " kB"], [1, " B"]],
    latency: [[1e6, " s"], [1e3, " ms"], [1, " \u00b5s"], [1e-3, " ns"]],
  };

  // As `Axis::description` writes it.
  function axisOf(text) {
    const [scale, quantity, ...numbers] = text.split(" ");
    const [low, high, from, to] = numbers.map(Number);
    return { scale, quantity, low, high, from, to };
  }

  function valueAt(axis, pixel) {
    const share = (pixel - axis.from) / (axis.to - axis.from);
    if (axis.scale === "log") return axis.low * Math.pow(axis.high / axis.low, share);
    return axis.low + (axis.high - axis.low) * share;
  }

  function shown(axis, pixel) {
    const value = valueAt(axis, pixel);
    if (axis.quantity === "time") return "second " + Math.floor(value);
    if (axis.quantity === "nines") return Number((100 - 100 * Math.pow(10, -value)).toPrecision(8)) + " %";
    const reached = units[axis.quantity].find(unit => value >= unit[0]);
    const [factor, unit] = reached || [1, ""];
    return Number((value / factor).toPrecision(3)) + unit;
  }

  for (const svg of document.querySelectorAll("svg[data-x]")) {
    const x = axisOf(svg.dataset.x);
    const y = axisOf(svg.dataset.y);
    const lines = Array.from(svg.querySelectorAll("path[data-name]"), path => ({
      name: path.dataset.name,
      points: (path.getAttribute("d").match(/[\d.]+/g) || []).map(Number),
    }));
    svg.addEventListener("pointerleave", () => { tip.hidden = true; });
    svg.addEventListener("pointermove", event => {
      const box = svg.getBoundingClientRect();
      const pointer = (event.clientX - box.left) * svg.viewBox.baseVal.width / box.width;
      const rows = [];
      let place = pointer;
      for (const line of lines) {
        let best = 0;
        let nearest = 12;
        for (let index = 0; line.points.length > index; index += 2) {
          const distance = Math.abs(line.points[index] - pointer);
          if (nearest > distance) {
            nearest = distance;
            best = index;
          }
        }
        if (nearest === 12) continue;
        place = line.points[best];
        rows.push(line.name + ": " + shown(y, line.points[best + 1]));
      }
      tip.hidden = rows.length === 0;
      tip.textContent = [shown(x, place)].concat(rows).join("\n");
      tip.style.left = Math.min(event.clientX + 14, window.innerWidth - tip.offsetWidth - 8) + "px";
      tip.style.top = event.clientY + 14 + "px";
    });
  }
})();
