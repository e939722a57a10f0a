"""How networks are trained and run: devices, processes, loops, checkpoints, interrupts, progress."""
