"""From an image of any size to the square that a backbone sees: one set of rules, told twice.

`graph` states them as tensors for `encoder.onnx`, `pillow` with the image library for preparing
many photographs; tests hold the two within one grey level of each other.
"""
