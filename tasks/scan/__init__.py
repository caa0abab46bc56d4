"""Before stage 1, where `prepare.watch` asks for it: what stands in the root of the images now."""
