// What was taught, as snapshots that never change; and the way back through them.
//
// A lesson: {classes: [{key, name, pictures: [{embedding, source, thumbnail}]}], threshold}; a
// threshold of null is the bundle's own, as in a head file.

class History {
  constructor(lesson) {
    this.present = lesson;
    this.past = [];
    this.future = [];
  }

  /**
   * Makes a change.
   * @param {function} change from a lesson to the next one.
   * @param {string} words what it does, for the button that takes it back.
   * @param {*} batch changes of one batch, one after the other, are taken back together.
   */
  change(change, words, batch = null) {
    const next = change(this.present);
    if (next === this.present) return false;
    const last = this.past.at(-1);
    const goesOn = batch !== null && last?.batch === batch && !this.future.length;
    if (!goesOn) this.past.push({ lesson: this.present, words, batch });
    else last.words = words;
    this.future = [];
    this.present = next;
    return true;
  }

  undo() {
    return this.move(this.past, this.future);
  }

  redo() {
    return this.move(this.future, this.past);
  }

  move(from, to) {
    const step = from.pop();
    if (!step) return null;
    to.push({ lesson: this.present, words: step.words, batch: null });
    this.present = step.lesson;
    return step.words;
  }
}

let lastKey = 0;

function newClass(name, pictures = []) {
  lastKey += 1;
  return { key: lastKey, name, pictures };
}

/** A name as heads hold it. */
function tidyName(text) {
  const tidy = text.normalize("NFC").replace(/\s+/gu, " ").trim();
  return [...tidy].slice(0, MOST_NAME_LETTERS).join("").trim();
}

/** The first of "class 1", "class 2" ... that is free. */
function freeName(lesson) {
  for (let number = lesson.classes.length + 1; ; number += 1) {
    if (!findClass(lesson, `class ${number}`)) return `class ${number}`;
  }
}

function findClass(lesson, name) {
  return lesson.classes.find((one) => one.name === name);
}

const changes = {
  add: (one) => (lesson) => ({ ...lesson, classes: [...lesson.classes, one] }),
  forget: (key) => (lesson) => ({
    ...lesson,
    classes: lesson.classes.filter((one) => one.key !== key),
  }),
  rename: (key, name) => withClass(key, (one) => ({ ...one, name })),
  learn: (key, picture) =>
    withClass(key, (one) => ({ ...one, pictures: [...one.pictures, picture] })),
  remove: (key, picture) =>
    withClass(key, (one) => ({
      ...one,
      pictures: one.pictures.filter((other) => other !== picture),
    })),
  answerUnknownBelow: (threshold) => (lesson) => ({ ...lesson, threshold }),
  replace: (next) => () => next,
};

function withClass(key, change) {
  return (lesson) =>
    lesson.classes.some((one) => one.key === key)
      ? {
          ...lesson,
          classes: lesson.classes.map((one) => (one.key === key ? change(one) : one)),
        }
      : lesson;
}

/** The mean of a class's embeddings, each of length one. */
function centreOf(pictures, dim) {
  const centre = new Float64Array(dim);
  for (const { embedding } of pictures) {
    const length = norm(embedding) || 1;
    for (let at = 0; at < dim; at += 1) centre[at] += embedding[at] / length / pictures.length;
  }
  return centre;
}

/** The mean cosine between an embedding and those that a centre was made of. */
function likeness(embedding, centre) {
  let product = 0;
  for (let at = 0; at < embedding.length; at += 1) product += embedding[at] * centre[at];
  return product / (norm(embedding) || 1);
}

function norm(vector) {
  let sum = 0;
  for (const value of vector) sum += value * value;
  return Math.sqrt(sum);
}
