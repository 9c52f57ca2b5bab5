"""What all routes share of HTTP: bodies, errors, parameters, headers, preconditions, pages."""
