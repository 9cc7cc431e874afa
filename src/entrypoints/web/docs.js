const KEY = "herald-key";

// The key that opened this page goes with every request tried on it, unless another one is given under "Authorize".
function withKey(request) {
  const key = sessionStorage.getItem(KEY);
  if (key && !request.headers.Authorization) request.headers.Authorization = `Bearer ${key}`;
  return request;
}

const forget = document.querySelector("#forget-key");
forget.hidden = sessionStorage.getItem(KEY) === null;
forget.addEventListener("click", () => {
  sessionStorage.removeItem(KEY);
  location.reload();
});

globalThis.SwaggerUIBundle({
  url: "/docs/openapi-3.0.json",
  dom_id: "#swagger-ui",
  validatorUrl: null, // else the page would show the document to a validator on another host
  deepLinking: true,
  requestInterceptor: withKey,
  presets: [globalThis.SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
});
