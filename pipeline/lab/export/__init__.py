"""`rally export`: folders for transformers, ONNX files, model cards."""
