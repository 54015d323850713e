// Shows openapi.json: an index by resource, and one operation at a time by the address's hash.
// Everything the document says enters the page as text, never as markup.

const root = location.pathname.replace(/docs\/?$/, "");
const site = location.origin + root.replace(/\/$/, "");
const VERBS = ["get", "post", "put", "delete"];
let api;
let operations = [];

const $ = (id) => document.getElementById(id);

function el(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== undefined && child !== null));
  return made;
}

// --- What the document says ---

function followed(node) {
  if (!node?.$ref) return node ?? {};
  const target = node.$ref.slice(2).split("/").reduce((at, step) => at[step], api);
  return { ...followed(target), ...Object.fromEntries(Object.entries(node).filter(([k]) => k !== "$ref")) };
}

const isNull = (schema) => schema.type === "null";
const alternatives = (schema) => (schema.anyOf ?? schema.oneOf ?? []).map(followed);

// The object that a field holds, alone or in a list, when it has fields of its own.
function inner(schema) {
  const found = [schema, ...alternatives(schema)].map((one) => (one.items ? followed(one.items) : one));
  return found.find((one) => one.properties);
}

function typeText(given) {
  const schema = followed(given);
  const parts = alternatives(schema);
  if (parts.length) return [...new Set(parts.map(typeText))].join(" or ");
  if (schema.type === "array") return `list of ${typeText(schema.items ?? {})}`;
  if (schema.enum) return [...new Set(schema.enum.map((v) => (v === null ? "null" : typeof v)))].join(" or ");
  return schema.format ?? schema.type ?? "any";
}

const BOUNDS = [["minimum", "at least"], ["maximum", "at most"], ["minLength", "length at least"],
                ["maxLength", "length at most"]];

function rules(given) {
  const schema = followed(given);
  const own = [schema, ...alternatives(schema).filter((one) => !isNull(one))];
  const said = [];
  for (const one of own) {
    const values = one.enum ?? (one.items && followed(one.items).enum);
    if (values) said.push(`one of: ${values.map((v) => String(v)).join(", ")}`);
    for (const [key, words] of BOUNDS) if (key in one) said.push(`${words} ${one[key]}`);
  }
  if (schema.default !== undefined) said.push(`default ${JSON.stringify(schema.default)}`);
  if (schema.examples?.length) said.push(`for example ${JSON.stringify(schema.examples[0])}`);
  return said;
}

// --- Parts of the page ---

// Text in which `words` stand as code.
function prose(text) {
  return (text ?? "").split("`").map((part, n) => (n % 2 ? el("code", {}, part) : part));
}

function fieldRow(name, schema, required, depth) {
  const field = followed(schema);
  const below = depth < 6 ? inner(field) : undefined;
  return el("tr", {},
    el("td", {}, el("code", { class: required ? "required" : undefined }, name)),
    el("td", {}, typeText(field)),
    el("td", {}, prose(field.description),
      rules(field).map((rule) => el("span", { class: "rule" }, rule)),
      below && el("details", { class: "nested" }, el("summary", {}, `Fields of ${name}`),
        fields(below, depth + 1))));
}

function table(...rows) {
  const head = ["Name", "Type", "Meaning"].map((title) => el("th", {}, title));
  return el("div", { class: "wide" },
    el("table", {}, el("thead", {}, el("tr", {}, head)), el("tbody", {}, rows)));
}

function fields(given, depth = 0) {
  const schema = followed(given);
  if (!schema.properties) return el("p", {}, typeText(schema));
  const must = new Set(schema.required);
  return table(...Object.entries(schema.properties)
    .map(([name, one]) => fieldRow(name, one, must.has(name) && depth < 6, depth)));
}

// A body's fields; those inside its one wrapper stand in the table itself.
function bodyFields(given) {
  const schema = followed(given);
  const [name, ...others] = Object.keys(schema.properties ?? {}).filter((key) => !key.endsWith("_links"));
  const wrapped = name && !others.length ? inner(followed(schema.properties[name])) : undefined;
  if (!wrapped) return [fields(schema)];
  const many = followed(schema.properties[name]).type === "array";
  return [el("p", {}, el("code", {}, `{"${name}": ${many ? "[{…}]" : "{…}"}}`), " with:"), fields(wrapped, 1)];
}

async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // not over plain HTTP from afar
    const box = el("textarea", {}, text);
    document.body.append(box);
    box.select();
    document.execCommand("copy");
    box.remove();
  }
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

function example(title, text) {
  const button = el("button", { type: "button", onclick: () => copy(text, button) }, "Copy");
  return el("div", { class: "example" }, el("h3", {}, title, button),
    el("pre", { tabindex: 0 }, el("code", {}, text)));
}

const pretty = (value) => JSON.stringify(value, null, 2);

function content(body) {
  return body?.content?.["application/json"];
}

function examples(body, word) {
  return Object.entries(content(body)?.examples ?? {})
    .map(([name, one]) => example(`${word}: ${name}`, pretty(one.value)));
}

function parameters(operation) {
  return ["path", "query"].map((where) => {
    const found = (operation.parameters ?? []).filter((one) => one.in === where);
    if (!found.length) return undefined;
    const rows = found.map((one) => fieldRow(
      one.name, { ...one.schema, description: one.description }, one.required, 9));
    return [el("h2", {}, where === "path" ? "In the path" : "Query parameters"), table(...rows)];
  }).flat();
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function curl({ path, verb, operation }) {
  const values = Object.fromEntries((operation.parameters ?? [])
    .filter((one) => one.in === "path").map((one) => [one.name, one.schema.examples?.[0]]));
  const place = path.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? name.toUpperCase());
  const lines = [`curl -sS ${operation.security ? "" : '-u "$OS_USERNAME:$OS_PASSWORD" '}` +
    `${verb === "get" ? "" : `-X ${verb.toUpperCase()} `}${quoted(site + place)}`];
  const bodies = Object.values(content(operation.requestBody)?.examples ?? {});
  if (bodies.length) {
    lines.push("-H 'Content-Type: application/json'", `-d ${quoted(pretty(bodies[0].value))}`);
  }
  return lines.join(" \\\n  ");
}

function failure(status, response) {
  const said = followed(response);
  return el("details", { class: "failure" },
    el("summary", {}, el("span", { class: "status" }, status), " ", said.description),
    examples(said, "Answer"));
}

function operationPage(one) {
  const { path, verb, operation } = one;
  const answers = Object.entries(operation.responses);
  const good = answers.filter(([status]) => status < "300");
  const bad = answers.filter(([status]) => !(status < "300"));
  const asked = content(operation.requestBody);
  return [
    el("h1", {}, operation.summary.replace(/\.$/, "")),
    el("p", {}, el("span", { class: `method ${verb}` }, verb.toUpperCase()), " ",
      el("span", { class: "path" }, path)),
    el("p", {}, prose(operation.description)),
    example("curl", curl(one)),
    ...parameters(operation),
    asked && [el("h2", {}, "Request body"), bodyFields(asked.schema), examples(operation.requestBody, "Request")],
    good.map(([status, answer]) => [
      el("h2", {}, `Answer ${status}`), el("p", {}, answer.description),
      examples(answer, "Answer"), content(answer) && bodyFields(content(answer).schema),
    ]),
    bad.length ? [el("h2", {}, "Errors"), bad.map((row) => failure(...row))] : undefined,
  ].flat(3);
}

function home() {
  const groups = api.tags.map((tag) => {
    const rows = operations.filter((one) => one.operation.tags.includes(tag.name));
    return [el("h2", {}, tag.name), el("p", { class: "soft" }, prose(tag.description)),
      el("div", { class: "wide" }, el("table", { class: "index" }, el("tbody", {}, rows.map((one) => el("tr", {},
        el("td", {}, el("span", { class: `method ${one.verb}` }, one.verb.toUpperCase())),
        el("td", { class: "path" }, one.path),
        el("td", {}, el("a", { href: `#${one.id}` }, one.operation.summary)))))))];
  });
  return [el("h1", {}, `${api.info.title} API ${api.info.version}`), el("p", {}, prose(api.info.description)),
    el("p", {}, "The document that this page shows: ",
      el("a", { href: "openapi.json" }, "openapi.json"), "."), groups].flat(3);
}

// --- The whole ---

function listed() {
  const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const groups = api.tags.map((tag) => {
    const rows = operations.filter((one) =>
      one.operation.tags.includes(tag.name) && words.every((word) => one.text.includes(word)));
    return rows.length ? [el("h2", {}, tag.name), el("ul", {}, rows.map((one) => el("li", {},
      el("a", { href: `#${one.id}`, "aria-current": one.id === location.hash.slice(1) ? "page" : undefined },
        el("span", { class: `method ${one.verb}` }, one.verb.toUpperCase()), one.operation.summary))))] : [];
  }).flat();
  $("list").replaceChildren(...(groups.length ? groups : [el("p", { class: "soft" }, "Nothing found.")]));
}

function show() {
  const one = operations.find(({ id }) => id === location.hash.slice(1));
  $("main").replaceChildren(...(one ? operationPage(one) : home()).filter(Boolean));
  document.title = one ? `${one.operation.summary} Fairlead API` : "Fairlead API";
  listed();
  if (narrow.matches) $("index").open = false;
  window.scrollTo(0, 0);
}

const narrow = window.matchMedia("(max-width: 56rem)");
const dark = window.matchMedia("(prefers-color-scheme: dark)");

function paint(isDark) {
  document.documentElement.dataset.theme = isDark ? "dark" : "light";
}

function names(schema, depth = 0) {
  const one = followed(schema);
  return Object.entries(one.properties ?? {})
    .flatMap(([name, below]) => [name, ...(depth < 3 ? names(inner(followed(below)) ?? {}, depth + 1) : [])]);
}

async function start() {
  paint(dark.matches);
  dark.addEventListener("change", () => paint(dark.matches));
  $("theme").addEventListener("click", () => paint(document.documentElement.dataset.theme !== "dark"));
  $("index").open = !narrow.matches;
  narrow.addEventListener("change", () => { $("index").open = !narrow.matches; });
  api = await (await fetch(`${root}openapi.json`)).json();
  operations = Object.entries(api.paths).flatMap(([path, item]) => VERBS.filter((verb) => item[verb])
    .map((verb) => {
      const operation = item[verb];
      const text = [verb, path, operation.summary, operation.description, ...operation.tags,
        ...names(content(operation.requestBody)?.schema ?? {})].join(" ").toLowerCase();
      return { id: operation.operationId, path, verb, operation, text };
    }));
  $("search").addEventListener("input", () => { $("index").open = true; listed(); });
  addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== $("search")) {
      event.preventDefault();
      $("search").focus();
    }
  });
  addEventListener("hashchange", show);
  show();
}

start().catch((error) => {
  $("main").replaceChildren(el("p", {}, `openapi.json could not be read: ${error.message}`));
});
