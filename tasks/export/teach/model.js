// The worker seen from the page: a promise for each request.

class Model {
  constructor(dim) {
    this.dim = dim;
    this.waiting = new Map();
    this.last = 0;
  }

  /** Starts the worker with what lies in the page. */
  async start() {
    const text = (id) => document.getElementById(id).textContent;
    const parts = {};
    for (const name of ["loader", "binary", "encoder", "adapt", "predict"]) {
      parts[name] = text(`part-${name}`);
    }
    const packed = new Blob([bytesOfBase64(text("part-ort"))]);
    const runtime = packed.stream().pipeThrough(new DecompressionStream("gzip"));
    const script = new Blob([await new Response(runtime).blob(), "\n", text("worker")], {
      type: "text/javascript",
    });
    this.worker = new Worker(URL.createObjectURL(script));
    this.worker.onmessage = ({ data }) => this.settle(data);
    this.worker.onerror = (event) => this.fail(event.message || "the worker did not start");
    await this.ask("start", { parts });
  }

  /** @returns {Promise<Float32Array>} the embedding of one picture. */
  async embed({ data, width, height }) {
    const pixels = data.data;
    const content = { pixels, width, height };
    return (await this.ask("embed", content, [pixels.buffer])).embedding;
  }

  /** Learns from rows of embeddings; the milliseconds that it took. */
  async learn(embeddings, labels, way) {
    const rows = this.joined(embeddings);
    const content = { embeddings: rows, labels, way, dim: this.dim };
    return (await this.ask("learn", content, [rows.buffer])).milliseconds;
  }

  /** One array of probabilities for each embedding; null where nothing was learned. */
  async predict(embeddings) {
    const rows = this.joined(embeddings);
    const content = { embeddings: rows, rows: embeddings.length, dim: this.dim };
    const { probabilities } = await this.ask("predict", content, [rows.buffer]);
    if (!probabilities) return null;
    const way = probabilities.length / embeddings.length;
    return embeddings.map((_, row) => probabilities.slice(row * way, (row + 1) * way));
  }

  joined(embeddings) {
    const rows = new Float32Array(embeddings.length * this.dim);
    embeddings.forEach((embedding, row) => rows.set(embedding, row * this.dim));
    return rows;
  }

  ask(request, content, transfer = []) {
    return new Promise((resolve, reject) => {
      const id = ++this.last;
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, request, content }, transfer);
    });
  }

  settle({ id, result, fault }) {
    const { resolve, reject } = this.waiting.get(id);
    this.waiting.delete(id);
    if (fault === undefined) resolve(result);
    else reject(new Error(fault));
  }

  fail(reason) {
    for (const { reject } of this.waiting.values()) reject(new Error(reason));
    this.waiting.clear();
  }
}

function bytesOfBase64(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}
