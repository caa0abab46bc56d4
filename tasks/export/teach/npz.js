// NumPy's .npz: a zip of .npy arrays, of the few types that a head file needs.

const LARGEST_FILE = 512 * 2 ** 20; // and the most that the arrays of one may unpack to
const NPY_TYPES = { "<f4": Float32Array, "<i8": BigInt64Array, "|u1": Uint8Array };

/** A stored (uncompressed) zip. `arrays`: {name: {type, shape, data}}. */
function writeNpz(arrays) {
  const pieces = [];
  const index = [];
  let offset = 0;
  for (const [name, array] of Object.entries(arrays)) {
    const label = new TextEncoder().encode(`${name}.npy`);
    const content = npy(array);
    const entry = zipEntry(content, label.length);
    pieces.push(zipHead(0x04034b50, entry), label, content);
    index.push(zipHead(0x02014b50, entry, offset), label);
    offset += 30 + label.length + content.length;
  }
  const indexBytes = index.reduce((sum, piece) => sum + piece.length, 0);
  const end = new DataView(new ArrayBuffer(22));
  end.setUint32(0, 0x06054b50, true);
  end.setUint16(8, index.length / 2, true);
  end.setUint16(10, index.length / 2, true);
  end.setUint32(12, indexBytes, true);
  end.setUint32(16, offset, true);
  return new Blob([...pieces, ...index, end], { type: "application/octet-stream" });
}

/**
 * Reads the arrays of these names, and nothing else: {name: {type, shape, data}}; throws an Error
 * that says what is wrong.
 */
async function readNpz(buffer, names) {
  if (buffer.byteLength > LARGEST_FILE) throw new Error("it is larger than any head");
  const view = new DataView(buffer);
  const arrays = {};
  let total = 0;
  try {
    for (const { name, method, checksum, packed, size, at } of zipIndex(view)) {
      const array = names.find((one) => `${one}.npy` === name);
      if (!array) continue;
      total += size;
      if (total > LARGEST_FILE) throw new Error("it unpacks to more than any head holds");
      const start = at + 30 + view.getUint16(at + 26, true) + view.getUint16(at + 28, true);
      const stored = new Uint8Array(buffer, start, packed);
      const content = method === 0 ? stored : await inflated(stored, method, size);
      if (content.length !== size || crc32(content) !== checksum) {
        throw new Error("it is damaged: an array is not what was saved");
      }
      arrays[array] = npyArray(content);
    }
  } catch (error) {
    if (error instanceof RangeError) throw new Error("it is damaged or cut short");
    throw error;
  }
  return arrays;
}

function npy({ type, shape, data }) {
  const sizes = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  let header = `{'descr': '${type}', 'fortran_order': False, 'shape': (${sizes}), }`;
  header = `${header.padEnd(Math.ceil((header.length + 11) / 64) * 64 - 11)}\n`;
  const bytes = new Uint8Array(10 + header.length + data.byteLength);
  bytes.set([0x93, ...new TextEncoder().encode("NUMPY"), 1, 0]);
  new DataView(bytes.buffer).setUint16(8, header.length, true);
  bytes.set(new TextEncoder().encode(header), 10);
  bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), 10 + header.length);
  return bytes;
}

function npyArray(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const isLong = view.getUint8(6) > 1;
  const start = (isLong ? 12 : 10) + (isLong ? view.getUint32(8, true) : view.getUint16(8, true));
  const header = new TextDecoder().decode(bytes.subarray(isLong ? 12 : 10, start));
  const type = /'descr':\s*'([^']*)'/.exec(header)?.[1];
  const sizes = /'shape':\s*\(([\d,\s]*)\)/.exec(header)?.[1];
  if (!Object.hasOwn(NPY_TYPES, type ?? "") || sizes === undefined) {
    throw new Error(`it holds an array of type ${type ?? "that is not told"}`);
  }
  const shape = sizes.split(",").filter((size) => size.trim()).map(Number);
  const Typed = NPY_TYPES[type];
  const count = shape.reduce((product, size) => product * size, 1);
  if (bytes.length - start !== count * Typed.BYTES_PER_ELEMENT) {
    throw new Error("it is damaged: an array is not as long as it says");
  }
  const data = new Typed(bytes.slice(start).buffer);
  const isColumnFirst = /'fortran_order':\s*True/.test(header) && shape.length === 2;
  return { type, shape, data: isColumnFirst ? rowFirst(data, shape) : data };
}

function rowFirst(data, [rows, columns]) {
  return data.map((_, at) => data[(at % columns) * rows + Math.floor(at / columns)]);
}

function* zipIndex(view) {
  let end = view.byteLength - 22;
  while (end >= 0 && view.getUint32(end, true) !== 0x06054b50) end -= 1;
  if (end < 0) throw new Error("it is no .npz file");
  let at = view.getUint32(end + 16, true);
  for (let left = view.getUint16(end + 10, true); left > 0; left -= 1) {
    const nameBytes = view.getUint16(at + 28, true);
    yield {
      name: new TextDecoder().decode(new Uint8Array(view.buffer, at + 46, nameBytes)),
      method: view.getUint16(at + 10, true),
      checksum: view.getUint32(at + 16, true),
      packed: view.getUint32(at + 20, true),
      size: view.getUint32(at + 24, true),
      at: view.getUint32(at + 42, true),
    };
    at += 46 + nameBytes + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
  }
}

/** What a compressed member holds; stops where it holds more than it says. */
async function inflated(stored, method, size) {
  if (method !== 8) throw new Error("it is compressed in a way not read here");
  const content = new Uint8Array(size);
  const reader = new Blob([stored])
    .stream()
    .pipeThrough(new DecompressionStream("deflate-raw"))
    .getReader();
  for (let at = 0; ; ) {
    const { done, value } = await reader.read().catch(() => {
      throw new Error("it is damaged: an array cannot be unpacked");
    });
    if (done) return content.subarray(0, at);
    content.set(value, at); // a RangeError where there is more
    at += value.length;
  }
}

function zipEntry(content, nameBytes) {
  return { checksum: crc32(content), size: content.length, nameBytes };
}

function zipHead(signature, { checksum, size, nameBytes }, offset) {
  const isIndex = offset !== undefined;
  const view = new DataView(new ArrayBuffer(isIndex ? 46 : 30));
  view.setUint32(0, signature, true);
  let at = 4;
  if (isIndex) {
    view.setUint16(at, 20, true); // made by version 2.0
    at += 2;
  }
  view.setUint16(at, 20, true); // needs version 2.0
  view.setUint16(at + 8, 0x21, true); // 1 January 1980: no time, so equal heads are equal files
  view.setUint32(at + 10, checksum, true);
  view.setUint32(at + 14, size, true);
  view.setUint32(at + 18, size, true);
  view.setUint16(at + 22, nameBytes, true);
  if (isIndex) view.setUint32(42, offset, true);
  return new Uint8Array(view.buffer);
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let rest = byte;
  for (let bit = 0; bit < 8; bit += 1) rest = rest & 1 ? 0xedb88320 ^ (rest >>> 1) : rest >>> 1;
  return rest;
});

function crc32(bytes) {
  let rest = 0xffffffff;
  for (const byte of bytes) rest = CRC_TABLE[(rest ^ byte) & 255] ^ (rest >>> 8);
  return (rest ^ 0xffffffff) >>> 0;
}
