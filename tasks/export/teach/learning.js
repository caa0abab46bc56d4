// Learning after every change, and answering with what was learned.

let isLearning = null;
let isStale = false;
let learnedAt = 0;

/** Learns the present lesson and answers all queries again; calls meanwhile become one more. */
function learn() {
  isStale = true;
  isLearning ??= (async () => {
    await ready;
    while (isStale) {
      isStale = false;
      await learnOnce();
    }
  })()
    .catch((error) => notice(`Learning failed: ${error.message}`))
    .finally(() => (isLearning = null));
  return isLearning;
}

async function learnOnce() {
  const classes = history.present.classes.filter((one) => one.pictures.length);
  const rows = classes.flatMap((one, label) => one.pictures.map(({ embedding }) => [embedding, label]));
  const [embeddings, labels] = [0, 1].map((column) => rows.map((row) => row[column]));
  const milliseconds = await model.learn(embeddings, labels, classes.length);
  const centres = classes.map((one) => centreOf(one.pictures, settings.embedding_dim));
  learned = { classes, centres, pictures: rows.length, milliseconds };
  learnedAt = performance.now();
  const all = queries;
  const probabilities = all.length ? await model.predict(all.map((one) => one.embedding)) : [];
  all.forEach((query, at) => (query.answer = answered(query.embedding, probabilities?.[at])));
  render();
  if (!waiting) sayLesson();
}

/** Learns within a batch of pictures, unless learning would take longer than looking at them. */
function learnInBatch() {
  if (performance.now() - learnedAt > 20 * (learned?.milliseconds ?? 0)) learn();
}

function answered(embedding, probabilities) {
  if (!probabilities || learned.classes.length < 2) return null;
  return answerOf(embedding, probabilities, learned, settings, history.present.threshold ?? usualThreshold);
}

function tryFiles(files) {
  return enqueue(async () => {
    let last = null;
    await embedFiles(files, (query) => {
      last = query;
      queries = [query, ...queries];
      selected = query;
      render();
    });
    await learn();
    if (last?.answer) announcement = `${last.source}: ${answerInWords(last.answer)}.`;
  });
}

function putAway(query) {
  const at = queries.indexOf(query);
  queries = queries.filter((one) => one !== query);
  if (selected === query) selected = queries[at] ?? queries.at(-1) ?? (camera.isOn ? LIVE : null);
  render();
}

function select(query) {
  selected = query;
  render();
}

/** Answers a frame of the camera. */
async function look(frame) {
  try {
    const embedding = await model.embed(frame);
    const probabilities = await model.predict([embedding]);
    const answer = learned ? answered(embedding, probabilities?.[0]) : null;
    Object.assign(LIVE, { embedding, thumbnail: frame.thumbnail, answer });
    if (selected === LIVE) renderAnswer();
  } catch (error) {
    notice(`The camera was stopped: ${error.message}`);
    if (camera.isOn) toggleCamera();
  }
}

function tryDrawing(drawing) {
  return enqueue(async () => {
    const query = await embedded(drawing, "drawing");
    queries = [query, ...queries];
    selected = query;
    await learn();
    if (query.answer) announcement = `${query.source}: ${answerInWords(query.answer)}.`;
  });
}
