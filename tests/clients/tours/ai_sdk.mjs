// The messages of an AI SDK chat, saved and loaded; the SDK itself says whether they are whole.

import { validateUIMessages } from "ai";

const { BASE, TOKEN } = process.env;
const headers = { authorization: `Bearer ${TOKEN}`, "content-type": "application/json" };
const call = async (method, path, body) => {
  const answer = await fetch(`${BASE}/v1/chat-sessions${path}`, { method, headers, body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  return answer.json();
};

// A part's type is of a-z, 0-9, `_`, `.` and `-` here; what has another goes inside a part of ours.
const IS_PLAIN = /^[a-z0-9_.-]{1,64}$/;
const stored = (part) => (IS_PLAIN.test(part.type) ? part : { type: "ui-part", part });
const shown = (part) => (part.type === "ui-part" ? part.part : part);

async function save(chat, messages) {
  const { id } = await call("PUT", `/by-external-id/${encodeURIComponent(chat)}`);
  const sent = messages.map(({ id: client_id, role, metadata, parts }) => ({
    client_id,
    role,
    metadata: metadata && { ui: JSON.stringify(metadata) },
    content: parts.map(stored),
  }));
  await call("POST", `/${id}/messages/batch`, { messages: sent });
}

async function load(chat) {
  const { id } = await call("PUT", `/by-external-id/${encodeURIComponent(chat)}`);
  const messages = [];
  for (let after = ""; after !== null; ) {
    const page = await call("GET", `/${id}/messages?order=asc&limit=2${after && `&after=${after}`}`);
    messages.push(...page.items);
    after = page.next;
  }
  return messages.map(({ client_id, role, metadata, content }) => ({
    id: client_id,
    role,
    ...(metadata.ui && { metadata: JSON.parse(metadata.ui) }),
    parts: typeof content === "string" ? [{ type: "text", text: content }] : content.map(shown),
  }));
}

const messages = [
  { id: "m1", role: "system", parts: [{ type: "text", text: "Be brief." }] },
  {
    id: "m2",
    role: "user",
    metadata: { at: 1, tags: ["a"] },
    parts: [
      { type: "text", text: "What is in it? 👋" },
      { type: "file", mediaType: "image/png", url: "https://example.org/a.png" },
    ],
  },
  {
    id: "m3",
    role: "assistant",
    parts: [
      { type: "step-start" },
      { type: "reasoning", text: "A tool knows.", state: "done" },
      {
        type: "tool-lookAt",
        toolCallId: "c1",
        state: "output-available",
        input: { url: "https://example.org/a.png" },
        output: { seen: ["a cat", 1.5] },
      },
      { type: "source-url", sourceId: "s1", url: "https://example.org" },
      { type: "text", text: "A cat.", state: "done" },
    ],
  },
];
await save("chat/1", messages);
await save("chat/1", messages); // sent again, nothing is stored twice
const loaded = await validateUIMessages({ messages: await load("chat/1") });
process.stdout.write(JSON.stringify({ sent: messages, loaded }));
