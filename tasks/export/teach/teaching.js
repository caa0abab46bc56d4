// What the page holds, and how pictures and classes come into it.

const byId = (id) => document.getElementById(id);
const settings = JSON.parse(byId("settings").textContent);
const NEVER = -1; // a threshold that no score lies below
const limitPx = settings.limits.maximum_image_side_px;
const usualThreshold = settings.unknown?.threshold ?? NEVER;

const model = new Model(settings.embedding_dim);
const history = new History({ classes: [], threshold: null });
const classList = new ClassList(byId("classes"), {
  choose: (key) => chooseFiles("pick-files", (files) => teach(key, files)),
  teach: (key, files) => teach(key, files),
  forget: (key) => forget(key),
  rename: (key, text) => rename(key, text),
  remove: (key, picture) =>
    change(changes.remove(key, picture), `removed a picture of ${nameOf(key)}`),
  take: (key, batch) => take(key, batch),
  draw: (key) => draw(key),
});
const answerView = new AnswerView((key) => teachCurrent(key));
const queryList = new QueryList(byId("queries"), { show: (query) => select(query), remove: putAway });
const camera = new Camera(byId("video"), limitPx, look);
const sketch = new Sketch(byId("sketch"));

const LIVE = { source: "camera", answer: null }; // stands for the camera among the queries
let queries = [];
let selected = null;
let learned = null; // what the worker holds: {classes, centres, pictures, milliseconds}
let savedLesson = history.present;
let tasks = Promise.resolve(); // batches of pictures, one after the other
let waiting = 0;
let announcement = ""; // said before the lesson, the next time that it is

function change(how, words, batch = null) {
  if (!history.change(how, words, batch)) return false;
  render();
  learn();
  return true;
}

function enqueue(task) {
  waiting += 1;
  tasks = tasks
    .then(task)
    .catch((error) => notice(`That did not work: ${error.message}`))
    .finally(() => {
      waiting -= 1;
      if (!waiting) sayLesson();
    });
  return tasks;
}

/** Embeds files one by one; `done` gets each picture, and ends the batch by returning false. */
async function embedFiles(files, done) {
  const skipped = [];
  const scaled = [];
  for (const [at, { file }] of files.entries()) {
    say(`Looking at picture ${at + 1} of ${files.length}`, true);
    try {
      const picture = await embedded(await decodePicture(file, limitPx), file.name || "pasted picture");
      if (picture.note) scaled.push({ name: file.name, reason: picture.note });
      if (done(picture) === false) break;
    } catch (error) {
      skipped.push({ name: file.name, reason: error.message });
    }
  }
  tellOfFiles(skipped, `Skipped ${counted(skipped.length, "file")}`);
  tellOfFiles(scaled, `Larger than ${limitPx} px a side`);
}

async function embedded(decoded, source) {
  const { thumbnail, shown, note } = decoded;
  return { embedding: await model.embed(decoded), source, thumbnail, shown, note };
}

/** Adds pictures to a class. */
function teach(key, files) {
  const batch = Symbol("files");
  return enqueue(async () => {
    let count = 0;
    await embedFiles(files, ({ embedding, source, thumbnail }) => {
      count += 1;
      const words = `added ${counted(count, "picture")} to ${nameOf(key)}`;
      const picture = { embedding, source, thumbnail };
      if (!history.change(changes.learn(key, picture), words, batch)) {
        notice("Its class was forgotten meanwhile; the other pictures are left out.");
        return false;
      }
      render();
      learnInBatch();
      return true;
    });
    await learn();
  });
}

/** Files dropped beside the classes: a class for each folder, and one for what lies loose. */
function teachFolders(files) {
  const groups = Map.groupBy
    ? Map.groupBy(files, ({ folder }) => folder)
    : files.reduce((map, one) => map.set(one.folder, [...(map.get(one.folder) ?? []), one]), new Map());
  for (const [folder, members] of groups) {
    const name = tidyName(folder) || tidyName(byId("class-name").value) || freeName(history.present);
    if (!folder) byId("class-name").value = "";
    teach(findClass(history.present, name)?.key ?? addClass(name), members);
  }
}

function addClass(name) {
  const one = newClass(name);
  change(changes.add(one), `added class ${name}`);
  return one.key;
}

function forget(key) {
  const name = nameOf(key);
  change(changes.forget(key), `forgot ${name}`);
  byId("class-name").focus();
}

function rename(key, text) {
  const name = tidyName(text);
  const other = findClass(history.present, name);
  if (other?.key === key) return false;
  if (!name || other) {
    notice(name ? `There is a class ${name} already; choose another name.` : "A class needs a name.");
    return false;
  }
  return change(changes.rename(key, name), `renamed ${nameOf(key)} to ${name}`);
}

function take(key, batch) {
  const frame = waiting < 3 ? camera.frame() : null;
  if (!frame) return;
  enqueue(async () => {
    const { embedding, source, thumbnail } = await embedded(frame, "from the camera");
    change(changes.learn(key, { embedding, source, thumbnail }), `took pictures of ${nameOf(key)}`, batch);
    await isLearning;
  });
}

function draw(key) {
  const name = nameOf(key);
  sketch.open(`Draw ${name}`, false, (drawing) =>
    enqueue(async () => {
      const { embedding, source, thumbnail } = await embedded(drawing, "drawing");
      change(changes.learn(key, { embedding, source, thumbnail }), `drew ${name}`);
      await isLearning;
    }),
  );
}

/** Teaches the picture that is being tried as one of a class. */
function teachCurrent(key) {
  const current = selected;
  if (!current?.embedding) return;
  const { embedding, source } = current;
  const thumbnail = current.thumbnail ?? null;
  change(changes.learn(key, { embedding, source, thumbnail }), `taught ${source} as ${nameOf(key)}`);
}

function nameOf(key) {
  return history.present.classes.find((one) => one.key === key)?.name ?? "a class";
}
