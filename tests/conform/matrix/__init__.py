"""Cases of single operators (see ../README.md): one module per group of operators, each with a generator `cases()`."""
