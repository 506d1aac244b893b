// What one does first with a client: openapi-typescript's types under openapi-fetch.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.ts";

type ExportLine = components["schemas"]["ExportLine"];
type NewMessage = components["schemas"]["NewMessage"];

const { BASE: baseUrl, NAME: username, PASSWORD: password, CONTENTS } = process.env;
const contents: string[] = JSON.parse(CONTENTS);
const client = createClient<paths>({ baseUrl });

const wrong = await client.POST("/v1/auth/login", { body: { username, password: "wrong" } });
const login = await client.POST("/v1/auth/login", { body: { username, password } });
if (!login.data || !wrong.error) throw new Error("login");
const { access_token } = login.data;
client.use({
  onRequest: ({ request }) => request.headers.set("Authorization", `Bearer ${access_token}`),
});

const me = await client.GET("/v1/me");
const opened = await client.POST("/v1/chat-sessions", { body: { title: null } });
if (!me.data || !opened.data) throw new Error("session");
const path = { session_id: opened.data.id };
const header = { "Idempotency-Key": "tour" };
const [first, ...rest] = contents.map((content): NewMessage => ({ role: "user", content }));
const append = (body: NewMessage) =>
  client.POST("/v1/chat-sessions/{session_id}/messages", { params: { path, header }, body });
const [once, twice, reused] = [await append(first), await append(first), await append(rest[0])];
await client.POST("/v1/chat-sessions/{session_id}/messages/batch", {
  params: { path },
  body: { messages: rest },
});

const read: (NewMessage["content"] | null)[] = []; // texts, or lists of parts
let pages = 0;
let after: string | undefined;
do {
  const page = await client.GET("/v1/chat-sessions/{session_id}/messages", {
    params: { path, query: { order: "asc", limit: 3, after } },
  });
  if (!page.data) throw new Error("page");
  read.push(...page.data.items.map((message) => message.content));
  after = page.data.next ?? undefined;
  pages += 1;
} while (after);

const missing = await client.GET("/v1/chat-sessions/{session_id}", {
  params: { path: { session_id: me.data.id } },
});
if (!missing.error || !reused.error) throw new Error("errors");

const exported = await client.GET("/v1/me/export", { parseAs: "text" });
const lines = (exported.data ?? "").trim().split("\n").map((line): ExportLine => JSON.parse(line));
const said = lines.flatMap((line) => (line.type === "message" ? [line.content] : []));
const left = await client.POST("/v1/auth/logout");

console.log(
  JSON.stringify({
    wrong: [wrong.response.status, wrong.error.title],
    me: me.data.username,
    once: once.data?.id === twice.data?.id,
    reused: [reused.error.status, reused.error.errors?.[0].path],
    pages,
    read,
    missing: [missing.response.status, missing.error.title],
    kinds: lines.map((line) => line.type),
    said,
    left: left.response.status,
  }),
);
