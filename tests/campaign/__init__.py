"""The reliability campaign: kills, failing disks, damage and hostile input by the thousand; `./run pytest -m campaign`."""
