// Shows the state of the page, and connects its buttons, keys and drops.

function render() {
  const lesson = history.present;
  classList.render(lesson, camera.isOn);
  document.body.classList.toggle("empty", !lesson.classes.length);
  queryList.render(queries, selected);
  renderAnswer();
  renderUnknown(lesson.threshold ?? usualThreshold);
  for (const [id, steps] of [
    ["undo", history.past],
    ["redo", history.future],
  ]) {
    const step = steps.at(-1);
    byId(id).disabled = !step;
    byId(id).title = step ? `${id === "undo" ? "Undo" : "Redo"}: ${step.words}` : "";
  }
  byId("save").disabled = !lesson.classes.some((one) => one.pictures.length);
}

function renderAnswer() {
  const taught = history.present.classes.filter((one) => one.pictures.length);
  const isLive = selected === LIVE && camera.isOn;
  const query = isLive ? null : queries.find((one) => one === selected);
  const answer = (isLive ? LIVE : query)?.answer ?? null;
  byId("video").hidden = !isLive;
  byId("query").hidden = !query;
  byId("nothing").hidden = isLive || Boolean(query);
  if (query && byId("query").dataset.source !== query.shown) {
    byId("query").src = byId("query").dataset.source = query.shown;
  }
  byId("query").alt = query?.source ?? "";
  byId("to-live").hidden = !camera.isOn || isLive;
  const wanted = ["Teach two classes first.", "Teach one more class first."][taught.length];
  const hint = wanted ?? "Now try a picture.";
  answerView.render(answer, taught, hint);
  byId("live-words").textContent = answer ? answerInWords(answer) : hint;
}

function renderUnknown(threshold) {
  const about = settings.unknown;
  byId("unknown").hidden = !about;
  if (!about) return;
  const range = byId("threshold");
  range.min = about.score === "similarity" ? -1 : 0;
  range.max = 1;
  const isOn = threshold > NEVER;
  range.disabled = !isOn;
  byId("unknown-on").checked = isOn;
  range.value = isOn ? threshold : about.threshold;
  byId("threshold-text").textContent = Number(range.value).toFixed(3);
  byId("threshold-kind").textContent = about.score === "similarity" ? "similarity" : "probability";
  byId("unknown-words").textContent =
    `At ${about.threshold.toFixed(3)}, which was measured with ${about.way} classes of ` +
    `${counted(about.shot, "picture")}: ${percent(about.false_accept)} of pictures of other classes ` +
    `are given a name all the same, ${percent(about.false_reject)} of pictures of taught classes are not.`;
}

function lessonInWords() {
  const { classes } = history.present;
  if (!classes.length) return "Nothing taught yet.";
  if (!learned?.pictures) return `${counted(classes.length, "class")} without pictures.`;
  const time = learned.milliseconds < 0.05 ? "less than 0.1" : learned.milliseconds.toFixed(1);
  return (
    `Learned ${counted(learned.classes.length, "class")} from ` +
    `${counted(learned.pictures, "picture")} in ${time} ms.`
  );
}

function sayLesson() {
  say(`${announcement} ${lessonInWords()}`.trim());
  announcement = "";
}

// ---- heads

async function loadHead(file) {
  let head;
  try {
    head = await readHead(await file.arrayBuffer(), settings);
  } catch (error) {
    notice(`${file.name} was not loaded: ${error.message}.`);
    return;
  }
  const classes = head.classes.map(({ name, pictures }) => newClass(name, pictures));
  announcement = `Loaded ${file.name}.`;
  change(changes.replace({ classes, threshold: head.threshold }), `loaded ${file.name}`);
  savedLesson = history.present;
  if (head.note) notice(head.note);
  await isLearning;
}

function saveHead() {
  saveFile(writeHead(history.present, settings), `${settings.name}-head.npz`);
  savedLesson = history.present;
  const empty = history.present.classes.filter((one) => !one.pictures.length);
  if (empty.length) notice(`Not in the file, for want of pictures: ${empty.map((one) => one.name).join(", ")}.`);
  say("Saved. The file opens here and in Python.");
}

function step(direction) {
  const words = history[direction]();
  if (!words) return;
  announcement = `${direction === "undo" ? "Undone" : "Redone"}: ${words}.`;
  render();
  learn();
}

async function toggleCamera() {
  const isOn = camera.isOn;
  try {
    if (isOn) camera.stop();
    else await ready.then(() => camera.start());
  } catch (error) {
    camera.stop();
    notice(`No camera: ${error.message}.`);
  }
  byId("camera").textContent = camera.isOn ? "Stop camera" : "Start camera";
  byId("camera").setAttribute("aria-pressed", String(camera.isOn));
  document.body.classList.toggle("filming", camera.isOn);
  select(camera.isOn ? LIVE : selected === LIVE ? (queries[0] ?? null) : selected);
}

// ---- buttons, keys, drops

byId("undo").onclick = () => step("undo");
byId("redo").onclick = () => step("redo");
byId("save").onclick = saveHead;
byId("load").onclick = () => chooseFiles("pick-head", ([{ file }]) => enqueue(() => loadHead(file)));
byId("choose-folder").onclick = () => chooseFiles("pick-folder", teachFolders);
byId("choose-query").onclick = () => chooseFiles("pick-files", tryFiles);
byId("camera").onclick = toggleCamera;
byId("to-live").onclick = () => select(LIVE);
byId("draw-query").onclick = () => sketch.open("Draw something to try", true, tryDrawing);

byId("new-class").onsubmit = (event) => {
  event.preventDefault();
  const input = byId("class-name");
  const name = tidyName(input.value) || freeName(history.present);
  const known = findClass(history.present, name);
  if (known) notice(`There is a class ${name} already; add the pictures to it.`);
  input.value = "";
  classList.focus(known?.key ?? addClass(name));
};

byId("unknown-on").onchange = (event) =>
  change(changes.answerUnknownBelow(event.target.checked ? null : NEVER), "changed when to answer unknown");
byId("threshold").oninput = (event) =>
  change(
    changes.answerUnknownBelow(Number(event.target.value)),
    "changed when to answer unknown",
    "threshold",
  );

takeDrops(byId("folders"), teachFolders);
takeDrops(byId("stage"), tryFiles);
takeDrops(document.body, tryFiles);

document.addEventListener("paste", (event) => {
  const files = pastedFiles(event.clipboardData);
  if (!files.length) return;
  event.preventDefault();
  const key = classList.keyOf(document.activeElement);
  if (key) teach(key, files);
  else tryFiles(files);
});

document.addEventListener("keydown", (event) => {
  const isText = event.target.matches?.("input[type=text]");
  if (isText || !(event.ctrlKey || event.metaKey) || byId("sketch").open) return;
  const key = event.key.toLowerCase();
  if (key === "z") step(event.shiftKey ? "redo" : "undo");
  else if (key === "y") step("redo");
  else return;
  event.preventDefault();
});

window.addEventListener("beforeunload", (event) => {
  const isSaved = history.present === savedLesson;
  if (!isSaved && history.present.classes.some((one) => one.pictures.length)) event.preventDefault();
});

// While the stage is out of sight, the camera's picture floats.
new IntersectionObserver(([stage]) => {
  document.body.classList.toggle("stage-away", !stage.isIntersecting);
}).observe(byId("stage"));

// ---- start

const ready = model.start();
tasks = ready.then(
  () => {
    document.body.dataset.ready = "yes";
    say(`Ready. ${lessonInWords()}`);
  },
  (error) => {
    say("This browser cannot run the model.");
    notice(`The model did not start: ${error.message}. Open the page in a browser of today.`);
  },
);
byId("encoder-sha256").textContent = settings.encoder_sha256;
byId("draw-query").hidden = !settings.drawing;
say("Starting the model", true);
render();
