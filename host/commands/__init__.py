"""Subcommands of ``ohmspike``, one file each."""
