"""Every data set by name, and how it becomes three splits."""
