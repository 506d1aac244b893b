// Every method of `conversations` and its items, of OpenAI's client for Node.js.

import OpenAI from "openai";

const client = new OpenAI({ baseURL: `${process.env.BASE}/v1`, apiKey: process.env.TOKEN });
const { items } = client.conversations;
const words = (number) => ({ role: "user", content: `Where is it warm? ${number}` });
const call = {
  type: "function_call",
  call_id: "c1",
  name: "weather",
  arguments: '{"in":"Oslo"}',
};

const { id } = await client.conversations.create({ items: [words(0)], metadata: { topic: "travel" } });
await client.conversations.update(id, { metadata: { topic: "weather" } });
const added = await items.create(id, { items: [call, ...[1, 2, 3].map(words)] });
const texts = [];
for await (const item of items.list(id, { order: "asc", limit: 2 })) {
  texts.push(item.type === "message" ? item.content[0].text : item.type);
}
const found = await items.retrieve(added.first_id, { conversation_id: id });
const conversation = await items.delete(added.first_id, { conversation_id: id });
const left = await items.list(id);
const seen = {
  texts,
  found: [found.call_id, found.name, found.arguments, found.status],
  metadata: conversation.metadata,
  left: left.data.length,
  deleted: (await client.conversations.delete(id)).deleted,
};
const gone = await client.conversations.retrieve(id).catch((error) => error.status);
process.stdout.write(JSON.stringify({ ...seen, gone }));
