"use strict";
{
  const slides = [...document.querySelectorAll(".sheet li")];
  const slider = document.getElementById("slider");
  const stage = document.getElementById("stage");
  const words = document.getElementById("words");
  const shown = stage.querySelector("img");
  const lines = [...stage.querySelectorAll("path")];

  const show = (place) => {
    const slide = slides[Math.min(Math.max(place, 0), slides.length - 1)];
    const picture = slide.querySelector("img");
    const paths = slide.querySelectorAll("path");
    shown.src = picture.src;
    shown.alt = picture.alt;
    lines.forEach((line, n) => line.setAttribute("d", paths[n] ? paths[n].getAttribute("d") : ""));
    words.textContent = picture.alt;
    slider.value = slides.indexOf(slide) + 1;
    slider.setAttribute("aria-valuetext", picture.alt);
    for (const each of slides) each.classList.toggle("current", each === slide);
  };

  slider.addEventListener("input", () => show(slider.value - 1));
  stage.addEventListener("click", () => slider.focus());
  stage.addEventListener("wheel", (event) => {
    if (document.activeElement !== slider || event.ctrlKey) return;
    event.preventDefault();
    show(slider.value - 1 + Math.sign(event.deltaY));
  }, { passive: false });
  document.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="#slice-"]');
    const name = link && link.getAttribute("href").slice(1);
    const place = slides.findIndex((slide) => slide.id === name);
    if (place < 0) return;
    event.preventDefault();
    show(place);
    document.querySelector(".series").scrollIntoView({ block: "start" });
    slider.focus({ preventScroll: true });
  });

  document.getElementById("viewer").hidden = false;
  const top = slides.findIndex((slide) => slide.classList.contains("first"));
  show(Math.max(top, 0));
}
