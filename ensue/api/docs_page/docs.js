"use strict";

// The key that Authorize takes stays in this page's memory; nothing is asked of another origin.
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#docs",
  persistAuthorization: false,
  validatorUrl: null,
  tryItOutEnabled: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
});
