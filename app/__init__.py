"""The service: HTTP, jobs, the releases in memory, the command line."""
