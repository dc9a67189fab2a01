// The dashboard moves: the part of the page that has the figures is fetched again every three seconds. Without this
// script the page does so as a whole.
"use strict";

const PERIOD_MS = 3000;
const POINTS = 60;

const live = document.getElementById("live");
if (live) {
    const state = document.getElementById("live-state");
    const button = document.getElementById("pause");
    const seen = new Map();
    let paused = false;

    const draw = () => {
        for (const tile of live.querySelectorAll(".tile")) {
            const name = tile.querySelector("h3").textContent;
            const points = seen.get(name) ?? [];
            points.push(Number(tile.dataset.number));
            if (points.length > POINTS) points.shift();
            seen.set(name, points);
            const most = Math.max(...points), least = Math.min(...points);
            const height = value => most === least ? 12 : 22 - 20 * (value - least) / (most - least);
            const from = POINTS - points.length;
            const line = points.map((value, at) => `${(100 * (from + at) / (POINTS - 1)).toFixed(1)},${height(value).toFixed(1)}`);
            tile.querySelector("polyline").setAttribute("points", line.join(" "));
        }
    };

    const look = async () => {
        if (paused || document.hidden || live.contains(document.activeElement)) return;
        try {
            const answer = await fetch(live.querySelector(".tiles").dataset.next, { headers: { Accept: "text/html" }, redirect: "manual" });
            // The session is over: the page itself leads to the login.
            if (answer.type === "opaqueredirect") return location.reload();
            if (!answer.ok) throw new Error(answer.status);
            // Written by this server's templates, which escape what they are given.
            live.innerHTML = await answer.text();
            state.textContent = "";
            draw();
        } catch {
            state.textContent = "The server does not answer; it is asked again.";
        }
    };

    draw();
    setInterval(look, PERIOD_MS);
    button.hidden = false;
    button.addEventListener("click", () => {
        paused = !paused;
        button.textContent = paused ? "Go on" : "Pause";
        state.textContent = paused ? "Paused." : "";
    });
}
