"""Attacks on inputs. Each is one class that follows `engine.Attack`; the engine does everything else."""
