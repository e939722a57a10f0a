"""Runs on a Slurm cluster: job scripts, submission, and what its queue says."""
