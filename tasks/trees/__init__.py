"""Where files are read from: folders, archives and remote stores, all as trees of files."""
