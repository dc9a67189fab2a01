// The pages of the documentation work without this. With it they have a search, a switch between dark and light, and
// buttons that copy code. Runs in the head, so that a page is never shown in the wrong colours.
"use strict";

const kept = {
    get() { try { return localStorage.getItem("theme"); } catch { return null; } },
    set(theme) { try { localStorage.setItem("theme", theme); } catch { /* then it is for this page */ } },
};
const root = document.documentElement;
if (kept.get() === "dark" || kept.get() === "light") root.dataset.theme = kept.get();

document.addEventListener("DOMContentLoaded", () => {
    setUpTheme(document.getElementById("theme"));
    setUpSearch(document.getElementById("search"), document.getElementById("found"));
    document.querySelectorAll("figure.code").forEach(setUpCopying);
});

function setUpTheme(button) {
    if (!button) return;
    const system = matchMedia("(prefers-color-scheme: dark)");
    const isDark = () => (root.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
    const show = () => { button.textContent = isDark() ? "Light" : "Dark"; };
    button.setAttribute("aria-label", "Switch between dark and light");
    button.addEventListener("click", () => {
        root.dataset.theme = isDark() ? "light" : "dark";
        kept.set(root.dataset.theme);
        show();
    });
    system.addEventListener("change", show);
    button.hidden = false;
    show();
}

function setUpCopying(figure) {
    const code = figure.querySelector(":scope > pre");
    if (!code || !navigator.clipboard) return;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
        setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
    figure.append(button);
}

// The index is asked for once, when somebody begins to search; the searching is done here.
function setUpSearch(form, found) {
    if (!form) return;
    const input = form.querySelector("input");
    let index = null;
    const load = () => index ??= fetch(form.dataset.index).then(answer => answer.json()).then(rows => rows.map(
        ([url, page, heading, text]) => ({ url, page, heading, text, low: text.toLowerCase(), names: (page + " " + heading).toLowerCase() })
    )).catch(() => { index = null; return []; });

    const update = async () => {
        const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
        const rows = await load();
        if (words.join(" ") !== input.value.toLowerCase().split(/\s+/).filter(Boolean).join(" ")) return;
        found.hidden = words.length === 0;
        if (words.length > 0) show(found, words, search(rows, words));
    };
    input.addEventListener("focus", load);
    input.addEventListener("input", update);
    form.addEventListener("submit", event => {
        event.preventDefault();
        found.querySelector("a")?.click();
    });
    // Arrow keys go through what was found; Escape goes back.
    form.addEventListener("keydown", event => {
        const links = [...found.querySelectorAll("a")];
        const at = links.indexOf(document.activeElement);
        if (event.key === "Escape") {
            found.hidden = true;
            input.focus();
        } else if (event.key === "ArrowDown" && at + 1 < links.length) {
            links[at + 1].focus();
        } else if (event.key === "ArrowUp" && at >= 0) {
            (at > 0 ? links[at - 1] : input).focus();
        } else {
            return;
        }
        event.preventDefault();
    });
    document.addEventListener("keydown", event => {
        if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
        if (/^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
        event.preventDefault();
        input.focus();
    });
    document.addEventListener("click", event => { if (!form.contains(event.target)) found.hidden = true; });
    form.hidden = false;
}

// Rows in which every word occurs: best those that have them in their names.
function search(rows, words) {
    const hits = [];
    for (const row of rows) {
        let score = 0;
        for (const word of words) {
            const points = (row.names.split(/[^\p{L}\p{N}]+/u).includes(word) ? 20 : row.names.includes(word) ? 10 : 0)
                + (row.low.includes(word) ? 1 : 0);
            if (points === 0) { score = 0; break; }
            score += points;
        }
        if (score > 0) hits.push([score, row]);
    }
    return hits.sort((one, other) => other[0] - one[0]).slice(0, 20).map(([, row]) => row);
}

function show(found, words, rows) {
    const said = document.createElement("p");
    said.textContent = rows.length === 0 ? "Nothing found" : rows.length === 20 ? "The 20 best" : `${rows.length} found`;
    const list = document.createElement("ol");
    for (const row of rows) {
        const link = document.createElement("a");
        link.href = row.url;
        link.append(row.heading ? `${row.page}: ${row.heading}` : row.page);
        const about = document.createElement("small");
        about.append(...excerpt(row, words[0]));
        link.append(about);
        const item = document.createElement("li");
        item.append(link);
        list.append(item);
    }
    found.replaceChildren(said, list);
}

function excerpt(row, word) {
    const at = row.low.indexOf(word);
    if (at < 0) return [row.text.slice(0, 110)];
    const start = Math.max(0, at - 40);
    const mark = document.createElement("mark");
    mark.textContent = row.text.slice(at, at + word.length);
    return [(start > 0 ? "…" : "") + row.text.slice(start, at), mark, row.text.slice(at + word.length, at + word.length + 70)];
}
