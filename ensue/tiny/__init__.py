"""The files of the bundled model: data, no code. `training/` makes them."""
