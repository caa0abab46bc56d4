// Files that are chosen, dropped or pasted, and the folders that they lie in.

const MOST_FILES = 5000;

/**
 * The files of a drop, with folders opened. What is left out is told.
 * @returns {Promise<[{file: File, folder: string}]>} `folder` is empty for a file by itself.
 */
async function droppedFiles(transfer) {
  // Entries must be taken before the first wait: the transfer is emptied afterwards.
  const entries = [...transfer.items]
    .filter((item) => item.kind === "file")
    .map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile())
    .filter((entry) => entry);
  const found = [];
  const unread = [];
  for (const entry of entries) await openEntry(entry, "", found, unread);
  tellOfFiles(unread, `Skipped ${counted(unread.length, "file")}`);
  return upToMost(found);
}

/** Adds the files of an entry to `found`, and what cannot be read to `unread`. */
async function openEntry(entry, folder, found, unread) {
  if (found.length > MOST_FILES) return; // one more than is taken tells that there are more
  try {
    if (entry instanceof File) {
      found.push({ file: entry, folder });
    } else if (entry.isFile) {
      if (folder && entry.name.startsWith(".")) return; // such as .DS_Store
      found.push({ file: await new Promise((done, fail) => entry.file(done, fail)), folder });
    } else {
      const reader = entry.createReader();
      for (;;) {
        const some = await new Promise((done, fail) => reader.readEntries(done, fail));
        if (!some.length) return;
        some.sort((one, other) => one.name.localeCompare(other.name));
        for (const inner of some) await openEntry(inner, entry.name, found, unread);
      }
    }
  } catch (error) {
    unread.push({ name: entry.name, reason: error.message });
  }
}

function upToMost(found) {
  if (found.length > MOST_FILES) {
    notice(`Only the first ${MOST_FILES} files were taken; give the others afterwards.`);
  }
  return found.slice(0, MOST_FILES);
}

/** The files of a chosen folder; each with the folder that holds it. */
function chosenFiles(list) {
  const found = [...list]
    .map((file) => {
      const folders = (file.webkitRelativePath || "").split("/").slice(0, -1);
      return { file, folder: folders.at(-1) ?? "" };
    })
    .filter(({ file, folder }) => !(folder && file.name.startsWith(".")));
  return upToMost(found);
}

/** The pictures in a clipboard. */
function pastedFiles(transfer) {
  return upToMost([...(transfer?.files ?? [])].map((file) => ({ file, folder: "" })));
}

/** Lets the user choose; `done` gets what `chosenFiles` makes of it. */
function chooseFiles(inputId, done) {
  const input = document.getElementById(inputId);
  input.value = "";
  input.onchange = () => done(chosenFiles(input.files));
  input.click();
}

/** Makes an element take drops; `done` gets the files. */
function takeDrops(element, done) {
  let depth = 0;
  const show = (change) => {
    depth = change ? Math.max(0, depth + change) : 0;
    element.classList.toggle("over", depth > 0);
  };
  const isFiles = (event) => event.dataTransfer?.types.includes("Files");
  element.addEventListener("dragenter", (event) => isFiles(event) && show(1));
  element.addEventListener("dragleave", (event) => isFiles(event) && show(-1));
  element.addEventListener("dragover", (event) => isFiles(event) && event.preventDefault());
  element.addEventListener("drop", async (event) => {
    show(0);
    if (!isFiles(event) || event.defaultPrevented) return;
    event.preventDefault(); // and the elements around this one leave it alone
    done(await droppedFiles(event.dataTransfer));
  });
}

function saveFile(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
