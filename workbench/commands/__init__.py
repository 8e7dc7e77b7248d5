"""One command a file, each with `run(arguments) -> exit code`: thin over the functions that notebooks call too."""
