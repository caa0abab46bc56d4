// Runs the graphs, away from the page, one request at a time. `ort` stands before this text.

let sessions = null;
let rule = null;

const requests = {
  /** Unpacks the runtime and opens the graphs. */
  async start({ parts }) {
    const [loader, binary] = await Promise.all([unpack(parts.loader), unpack(parts.binary)]);
    ort.env.logLevel = "error";
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmBinary = binary;
    ort.env.wasm.wasmPaths = {
      mjs: URL.createObjectURL(new Blob([loader], { type: "text/javascript" })),
    };
    const options = { executionProviders: ["wasm"], graphOptimizationLevel: "all" };
    const opened = {};
    for (const name of ["encoder", "adapt", "predict"]) {
      opened[name] = await ort.InferenceSession.create(await unpack(parts[name]), options);
    }
    sessions = opened;
    return {};
  },

  /** Embeds one picture: RGBA without transparency, row by row. */
  async embed({ pixels, width, height }) {
    const colours = new Uint8Array(width * height * 3);
    for (let from = 0, to = 0; from < pixels.length; from += 4, to += 3) {
      colours[to] = pixels[from];
      colours[to + 1] = pixels[from + 1];
      colours[to + 2] = pixels[from + 2];
    }
    const images = new ort.Tensor("uint8", colours, [1, height, width, 3]);
    const { embeddings } = await sessions.encoder.run({ images });
    return { embedding: embeddings.data.slice() };
  },

  /** Learns classes 0 .. way - 1 from embeddings, and keeps the rule for `predict`. */
  async learn({ embeddings, labels, way, dim }) {
    const started = performance.now();
    rule = null;
    if (labels.length) {
      rule = await sessions.adapt.run({
        embeddings: new ort.Tensor("float32", embeddings, [labels.length, dim]),
        labels: new ort.Tensor("int64", BigInt64Array.from(labels, BigInt), [labels.length]),
        classes: new ort.Tensor("int64", BigInt64Array.from({ length: way }, (_, c) => BigInt(c)), [
          way,
        ]),
      });
    }
    return { milliseconds: performance.now() - started };
  },

  /** Probabilities `(row, way)` by the rule learned last; null before. */
  async predict({ embeddings, rows, dim }) {
    if (!rule || !rows) return { probabilities: null };
    const { probabilities } = await sessions.predict.run({
      embeddings: new ort.Tensor("float32", embeddings, [rows, dim]),
      weight: rule.weight,
      bias: rule.bias,
    });
    return { probabilities: probabilities.data.slice() };
  },
};

async function unpack(text) {
  const bytes = Uint8Array.fromBase64
    ? Uint8Array.fromBase64(text)
    : Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(plain).arrayBuffer());
}

let turn = Promise.resolve();
self.onmessage = ({ data: { id, request, content } }) => {
  turn = turn.then(async () => {
    try {
      self.postMessage({ id, result: await requests[request](content) });
    } catch (error) {
      self.postMessage({ id, fault: String(error?.message ?? error) });
    }
  });
};
