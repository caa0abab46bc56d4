"""Everything that crosses a stage: the only readers and writers of it."""
