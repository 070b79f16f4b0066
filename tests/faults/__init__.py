"""Faults made on purpose: processes killed, disks full, at each operation on files."""
