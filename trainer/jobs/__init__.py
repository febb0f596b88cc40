"""The worker's side of a job, without torch: leases, turns, attempts, files, and what goes to the store."""
