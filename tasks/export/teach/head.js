// A head file: what was taught, for this page and for the bundle's Python client.

const HEAD_KIND = "headstart head";
const MOST_NAME_LETTERS = 200;

/** The head of a lesson. Classes without pictures are left out: there is nothing to keep. */
function writeHead(lesson, settings) {
  const classes = lesson.classes.filter((one) => one.pictures.length);
  const rows = classes.flatMap((one, label) => one.pictures.map((picture) => ({ picture, label })));
  const embeddings = new Float32Array(rows.length * settings.embedding_dim);
  rows.forEach(({ picture }, row) => {
    embeddings.set(picture.embedding, row * settings.embedding_dim);
  });
  const meta = {
    format: 1,
    kind: HEAD_KIND,
    encoder_sha256: settings.encoder_sha256,
    embedded_by: settings.embedded_by,
    embedded_by_sha256: settings.embedded_by_sha256, // left out where the page does not know it
    bundle: settings.name,
    classes: classes.map((one) => one.name),
    sources: rows.map(({ picture }) => picture.source),
    threshold: lesson.threshold,
  };
  return writeNpz({
    embeddings: { type: "<f4", shape: [rows.length, settings.embedding_dim], data: embeddings },
    labels: {
      type: "<i8",
      shape: [rows.length],
      data: BigInt64Array.from(rows, ({ label }) => BigInt(label)),
    },
    meta: bytesArray(new TextEncoder().encode(JSON.stringify(meta))),
  });
}

/** Reads a head: {classes: [{name, pictures}], threshold, note}; throws an Error with a reason. */
async function readHead(buffer, settings) {
  const { embeddings, labels, meta } = await readNpz(buffer, ["embeddings", "labels", "meta"]);
  if (embeddings?.type !== "<f4" || labels?.type !== "<i8" || meta?.type !== "|u1") {
    throw new Error("it lacks embeddings, labels or meta of the right type");
  }
  const about = aboutHead(meta, settings);
  const dim = settings.embedding_dim;
  const rows = labels.data.length;
  if (embeddings.shape.length !== 2 || embeddings.shape[0] !== rows || embeddings.shape[1] !== dim) {
    throw new Error(`found embeddings (${embeddings.shape}), needed (${rows}, ${dim})`);
  }
  if (!embeddings.data.every(Number.isFinite)) {
    throw new Error("it holds embeddings that are no numbers");
  }
  const classes = about.classes.map((name) => ({ name, pictures: [] }));
  for (let row = 0; row < rows; row += 1) {
    const label = Number(labels.data[row]);
    if (!classes[label]) throw new Error(`found label ${label} of ${classes.length} classes`);
    const source = about.sources?.[row];
    classes[label].pictures.push({
      embedding: embeddings.data.slice(row * dim, (row + 1) * dim),
      source: typeof source === "string" ? source : "",
      thumbnail: null,
    });
  }
  const other = about.embedded_by !== settings.embedded_by;
  return {
    classes,
    threshold: Number.isFinite(about.threshold) ? about.threshold : null,
    note: other ? `It was taught with ${about.embedded_by}, this page uses ${settings.embedded_by}.` : "",
  };
}

function aboutHead(meta, settings) {
  let about;
  try {
    about = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(meta.data));
  } catch {
    throw new Error("its meta is no JSON");
  }
  if (about?.kind !== HEAD_KIND || about.format !== 1) {
    throw new Error(`found kind ${about?.kind}, format ${about?.format}, needed ${HEAD_KIND}, 1`);
  }
  if (about.encoder_sha256 !== settings.encoder_sha256) {
    throw new Error(
      `it was made with another encoder (bundle ${String(about.bundle).slice(0, 80)}); ` +
        "teach its classes again here, or open it with its own bundle",
    );
  }
  const [found, own] = [about.embedded_by_sha256, settings.embedded_by_sha256]; // older: without
  if (about.embedded_by === settings.embedded_by && found && own && found !== own) {
    throw new Error(
      `it was made with another ${settings.embedded_by}; teach its classes again here, or open it ` +
        "with its own bundle",
    );
  }
  const names = about.classes;
  const isNamed = (name) => typeof name === "string" && name && [...name].length <= MOST_NAME_LETTERS;
  if (!Array.isArray(names) || !names.every(isNamed) || new Set(names).size !== names.length) {
    throw new Error("its class names are not all different texts");
  }
  return about;
}

function bytesArray(data) {
  return { type: "|u1", shape: [data.length], data };
}
