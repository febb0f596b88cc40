"""Messages that follow a job to its end, whatever happens meanwhile."""
