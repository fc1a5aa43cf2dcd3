"""Many videos: found, processed by any number of processes, resumable at any moment."""
