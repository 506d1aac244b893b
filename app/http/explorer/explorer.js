// Swagger UI, told where our document is. validatorUrl null: never offer the document to validator.swagger.io.
SwaggerUIBundle({
  url: "/schema/openapi.json",
  dom_id: "#explorer",
  validatorUrl: null,
  deepLinking: true,
  tryItOutEnabled: true,
  persistAuthorization: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0,
});
