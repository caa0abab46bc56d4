"""From an image of any size to the square that a backbone sees: one set of rules, told twice.

`graph` states them as tensors for `encoder.onnx`, `pillow` with the image library for preparing
many photographs; tests hold the two within two grey levels of each other, and within one in all
but 0.5 % of an image's pixels (where an exact half is rounded twice).
"""
