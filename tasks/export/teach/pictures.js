// From a picture of any kind to the pixels that the encoder takes, and a small copy to show.

const THUMBNAIL_PX = 160;
const SHOWN_PX = 640;

/** A picture that cannot be used; the message says why. */
class PictureError extends Error {}

/**
 * Decodes a file: turned as its EXIF says, transparency on white, colours as they are stored.
 * @returns {Promise<{data: ImageData, width, height, thumbnail, shown, note}>}
 */
async function decodePicture(blob, limitPx) {
  if (!blob.size) throw new PictureError("empty file");
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob, {
      imageOrientation: "from-image",
      colorSpaceConversion: "none",
      premultiplyAlpha: "none",
    });
  } catch {
    throw new PictureError("no picture that this browser can read");
  }
  try {
    return framePixels(bitmap, bitmap.width, bitmap.height, limitPx);
  } finally {
    bitmap.close();
  }
}

/** The pixels of anything that a canvas can draw. */
function framePixels(source, width, height, limitPx) {
  const scale = Math.min(1, limitPx / Math.max(width, height));
  const size = [width, height].map((side) => Math.max(1, Math.round(side * scale)));
  const canvas = drawn(source, ...size);
  const data = canvas.getContext("2d").getImageData(0, 0, ...size);
  return {
    data,
    width: size[0],
    height: size[1],
    thumbnail: small(canvas, THUMBNAIL_PX),
    shown: small(canvas, SHOWN_PX),
    note: scale < 1 ? `${width} × ${height} px, scaled down to ${size[0]} × ${size[1]} px` : "",
  };
}

function drawn(source, width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  // Read back, so kept in memory rather than on a graphics card, which also rounds otherwise.
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(source, 0, 0, width, height);
  return canvas;
}

function small(canvas, sidePx) {
  const scale = Math.min(1, sidePx / Math.max(canvas.width, canvas.height));
  if (scale === 1) return canvas.toDataURL();
  const sides = [canvas.width, canvas.height].map((side) => Math.max(1, Math.round(side * scale)));
  return drawn(canvas, ...sides).toDataURL("image/jpeg", 0.85);
}
