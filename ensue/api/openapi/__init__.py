"""The OpenAPI description of our routes, made of the tables that requests are checked by and answers written from."""
