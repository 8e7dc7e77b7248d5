// Only a convenience: the page says all it has to say without this.
(() => {
  "use strict";
  addEventListener("beforeprint", () => {
    for (const one of document.querySelectorAll("details:not([open])")) { one.open = true; one.dataset.shut = ""; }
  });
  addEventListener("afterprint", () => {
    for (const one of document.querySelectorAll("details[data-shut]")) { one.open = false; delete one.dataset.shut; }
  });
  const place = document.getElementById("save");
  const held = JSON.parse(document.getElementById("journal").textContent);
  const packed = held.encoding !== "text";
  if (packed && !("DecompressionStream" in window)) return;
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Save the journal";
  button.addEventListener("click", async () => {
    let blob = new Blob([packed ? Uint8Array.from(atob(held.data), (c) => c.charCodeAt(0)) : held.data]);
    if (packed) blob = await new Response(blob.stream().pipeThrough(new DecompressionStream("gzip"))).blob();
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = held.name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
  place.before(button);
})();
