// Fetches the page that was asked for again, with the key, and puts it in this one's place. The key is kept in this
// tab's sessionStorage, where the pages' own requests find it. This page's policy allows what that page needs.

const KEY = "herald-key";
const form = document.querySelector("#sign-in");
const field = document.querySelector("#key");
const trouble = document.querySelector("#trouble");
const button = form.querySelector("button");

// The one place where markup is taken from a string: an answer of Herald's own, to a known key.
const policy = globalThis.trustedTypes?.createPolicy("herald-page", { createHTML: (html) => html });

function putInPlace(html) {
  document.open();
  document.write(policy ? policy.createHTML(html) : html);
  document.close();
}

function showAsText(text) {
  const answer = document.createElement("pre");
  answer.id = "answer";
  answer.className = "panel";
  answer.textContent = text;
  document.querySelector("main").replaceChildren(answer);
  document.title = location.pathname;
}

// One line on what went wrong, or "" once the page is shown.
async function open(key) {
  if (!/^[\x21-\x7e]+$/.test(key)) return "A key has letters, digits and signs, without blanks.";
  let response;
  let text;
  try {
    response = await fetch(location.href, {
      headers: { Authorization: `Bearer ${key}`, Accept: "text/html, */*;q=0.5" },
      cache: "no-store",
      signal: AbortSignal.timeout(15_000),
    });
    text = await response.text();
  } catch {
    return "Herald does not answer. Try again in a moment.";
  }
  if (response.status === 401) {
    sessionStorage.removeItem(KEY);
    return "Herald does not know this key.";
  }
  sessionStorage.setItem(KEY, key);
  if (response.headers.get("content-type")?.startsWith("text/html")) putInPlace(text);
  else showAsText(text);
  return "";
}

async function attempt(key) {
  button.disabled = true;
  const wrong = await open(key);
  if (!wrong) return;
  button.disabled = false;
  trouble.textContent = wrong;
  form.hidden = false;
  field.focus();
  field.select();
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  trouble.textContent = "";
  attempt(field.value.trim());
});

const kept = sessionStorage.getItem(KEY);
if (kept) {
  field.value = kept;
  attempt(kept);
} else {
  form.hidden = false;
  field.focus();
}
