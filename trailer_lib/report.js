"use strict";
// The dots are small for a finger: the nearest one within 24 pixels is meant.
const plot = document.getElementById("scatter");
const said = document.getElementById("said");
const dots = [...plot.querySelectorAll("circle.film")];
function tell(event) {
  let nearest = null, least = 24;
  for (const dot of dots) {
    const box = dot.getBoundingClientRect();
    const apart = Math.hypot(box.x + box.width / 2 - event.clientX, box.y + box.height / 2 - event.clientY);
    if (apart < least) [nearest, least] = [dot, apart];
  }
  if (!nearest) return;
  for (const dot of dots) dot.classList.toggle("on", dot === nearest);
  said.textContent = nearest.querySelector("title").textContent;
}
plot.addEventListener("pointermove", tell);
plot.addEventListener("pointerdown", tell);
