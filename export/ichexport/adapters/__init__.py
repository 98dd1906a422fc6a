"""Sources of the Python models in the repository; `ichexport repository` copies them there."""
