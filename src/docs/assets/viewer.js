// Starts the viewer in which operations can be tried out.
"use strict";

addEventListener("DOMContentLoaded", () => {
    const place = document.getElementById("viewer");
    SwaggerUIBundle({
        domNode: place,
        url: place.dataset.spec,
        deepLinking: true,
        docExpansion: "none",
        defaultModelsExpandDepth: -1,
        filter: true,
        persistAuthorization: false,
        tryItOutEnabled: true,
        validatorUrl: null,
        presets: [SwaggerUIBundle.presets.apis],
        layout: "BaseLayout",
    });
});
