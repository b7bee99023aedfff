"""HTTP: routes and who may use them, bodies to requests, answers to bytes. Knows no engine and no tokens."""
