"""The user's own files: texts, tables, folders of images."""
