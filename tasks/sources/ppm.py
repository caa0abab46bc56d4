"""Images that some library holds in memory, as lossless image files for everybody else."""

from PIL import Image


def as_ppm(image: Image.Image) -> bytes:
    """An image as a binary PPM file: 8 bits a channel, RGB, nothing lost, nothing compressed."""
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    return ppm_header(*rgb.size) + rgb.tobytes()


def ppm_header(width: int, height: int) -> bytes:
    """What stands before the pixels, which are 3 bytes each, row by row."""
    return b"P6\n%d %d\n255\n" % (width, height)
