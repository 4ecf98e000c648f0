"""The small form: one single-ported array, everything wide goes one by one."""
