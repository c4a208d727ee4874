"""The command line: one Typer app; each file holds the commands of one noun."""
