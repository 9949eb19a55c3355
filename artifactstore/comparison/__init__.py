"""Looking into files of known formats: how two tables or two sets of tensors differ; a leaf that reads byte ranges."""
