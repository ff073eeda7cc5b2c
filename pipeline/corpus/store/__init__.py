"""The files of data/raw: texts, images, labels."""
