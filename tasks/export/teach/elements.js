// Elements and messages. Text from outside is only ever set as text, never parsed.

/** An element; `properties` that start with "aria-" or "data-" become attributes. */
function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (/^(aria|data)-|^role$/.test(name)) made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children);
  return made;
}

function button(text, label, onclick, className = "") {
  const made = element("button", { type: "button", textContent: text, className, onclick });
  if (label !== text) made.setAttribute("aria-label", label);
  return made;
}

/** Makes `wanted` the children of `parent`; those that stay are not touched, nor lose the focus. */
function reconcile(parent, wanted) {
  const keep = new Set(wanted);
  for (const child of [...parent.children]) if (!keep.has(child)) child.remove();
  wanted.forEach((child, at) => {
    if (parent.children[at] !== child) parent.insertBefore(child, parent.children[at] ?? null);
  });
}

/** Says what is going on; a screen reader waits for what comes of a busy page. */
function say(text, isBusy = false) {
  const status = document.getElementById("status");
  status.setAttribute("aria-busy", String(isBusy));
  status.classList.toggle("busy", isBusy);
  document.getElementById("status-text").textContent = text;
}

/** Tells of something that went wrong or otherwise than asked; stays until it is dismissed. */
function notice(text) {
  const line = element("div", { className: "notice" });
  const close = button("Dismiss", "Dismiss", () => line.remove(), "plain");
  line.append(element("span", { textContent: text }), close);
  const notices = document.getElementById("notices");
  notices.append(line);
  while (notices.children.length > 4) notices.firstElementChild.remove();
}

/** One notice for all files that were skipped, or treated in a way to know of. */
function tellOfFiles(faults, words) {
  if (!faults.length) return;
  const some = faults.slice(0, 5).map(({ name, reason }) => `${name} (${reason})`);
  const more = faults.length > some.length ? ` and ${faults.length - some.length} more` : "";
  notice(`${words}: ${some.join(", ")}${more}.`);
}

function counted(count, word) {
  const plural = word.endsWith("s") ? `${word}es` : `${word}s`;
  return `${count} ${count === 1 ? word : plural}`;
}

function percent(share) {
  const value = 100 * share;
  if (value > 0 && value < 0.5) return "< 1 %";
  if (value < 100 && value >= 99.5) return "> 99 %";
  return `${Math.round(value)} %`;
}
