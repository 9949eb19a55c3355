"""The command line, `artifactstore`: one module for each group of commands, loaded when it is called."""
