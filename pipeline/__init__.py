"""Rally's pipeline: a script for each stage of dvc.yaml, and the rooms (packages) that the scripts use."""
