"use strict";
// Answers of the page -> CSV in the columns of the form; nothing leaves the page but that file.

/** One cell; quoted where a comma, a quote or a line break would end it. */
function cell(value) {
  const text = String(value).replace(/\r\n?|\n/g, " ");
  return /[",;]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
}

/** Columns and rows of cells by column name -> the text of a CSV file. */
function csvFromRows(columns, rows) {
  const lines = [columns, ...rows.map((row) => columns.map((name) => row[name] ?? ""))];
  return lines.map((line) => line.map(cell).join(",") + "\n").join("");
}

/** The viewBox that shows one slice of a sheet. */
function boxOfSlice(index, sheet) {
  const x = (index % sheet.across) * sheet.columns;
  const y = Math.floor(index / sheet.across) * sheet.rows;
  return [x, y, sheet.columns, sheet.rows].join(" ");
}

/** What a form says, by column; ticks are 'x'. */
function rowFromForm(form, round) {
  const row = { case: form.dataset.case, round };
  for (const input of form.elements) {
    if (!input.name) continue;
    const name = input.dataset.column;
    if (input.type === "checkbox") row[name] = input.checked ? "x" : "";
    else if (input.type !== "radio") row[name] = input.value.trim();
    else if (input.checked) row[name] = input.value;
  }
  return row;
}

function start() {
  const { columns, round, file, store } = document.body.dataset;
  const names = columns.split(",");
  const forms = [...document.forms];
  const rows = () => forms.map((form) => rowFromForm(form, round));
  const started = (row) => names.slice(2).some((name) => row[name]);

  const remember = () => {
    const kept = Object.fromEntries(rows().map((row) => [row.case, row]));
    try { localStorage.setItem(store, JSON.stringify(kept)); } catch { /* private window */ }
    const done = rows().filter((row) => row.answer).length;
    document.querySelector("#done").textContent = `${done} of ${forms.length} answered`;
  };
  const recall = () => {
    let kept = {};
    try { kept = JSON.parse(localStorage.getItem(store) ?? "{}"); } catch { /* private window */ }
    for (const form of forms) {
      for (const input of form.elements) {
        const value = kept[form.dataset.case]?.[input.dataset.column];
        if (!input.name || value === undefined) continue;
        if (input.type === "checkbox") input.checked = value === "x";
        else if (input.type === "radio") input.checked = input.value === value;
        else input.value = value;
      }
    }
  };
  const save = () => {
    const text = csvFromRows(names, rows().filter(started));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.download = file;
    link.click();
    URL.revokeObjectURL(link.href);
  };

  for (const viewer of document.querySelectorAll(".viewer")) {
    const article = viewer.closest("article");
    const sheet = Object.fromEntries(
      ["across", "columns", "rows", "count"].map((name) => [name, Number(viewer.dataset[name])]));
    const slider = viewer.querySelector("input[type=range]");
    const show = () => {
      const index = Number(slider.value) - 1;
      for (const film of viewer.querySelectorAll("svg")) {
        film.setAttribute("viewBox", boxOfSlice(index, sheet));
      }
      viewer.querySelector("output").textContent = `slice ${index + 1} of ${sheet.count}`;
    };
    slider.addEventListener("input", show);
    viewer.querySelector(".panels").addEventListener("wheel", (event) => {
      event.preventDefault();
      slider.value = Number(slider.value) - Math.sign(event.deltaY);
      show();
    }, { passive: false });
    for (const figure of article.querySelectorAll("figure[data-slice]")) {
      figure.addEventListener("click", () => {
        slider.value = figure.dataset.slice;
        show();
        viewer.scrollIntoView({ block: "nearest" });
      });
    }
    viewer.querySelector(".veil")?.addEventListener("change", (event) => {
      viewer.classList.toggle("unmarked", !event.target.checked);
    });
  }
  for (const form of forms) form.addEventListener("submit", (event) => event.preventDefault());
  recall();
  remember();
  document.addEventListener("input", remember);
  document.querySelector("#save").addEventListener("click", save);
  document.body.classList.add("scripted");
}

start();
