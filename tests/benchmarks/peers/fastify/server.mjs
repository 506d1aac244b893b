// fastify + postgres.js: one round trip for the token, one for the data.

import { createHash } from "node:crypto";
import Fastify from "fastify";
import postgres from "postgres";

const PAGE = 50;

function connect(url) {
  const { pathname, searchParams, username } = new URL(url.replace("@/", "@socket/"));
  return postgres({
    host: searchParams.get("host"),
    port: Number(searchParams.get("port")),
    database: pathname.slice(1),
    username,
    max: Number(process.env.PEER_POOL_SIZE),
    // The driver gives a bigint as text; counts and positions are far below 2 ** 53.
    types: { int8: { to: 20, from: [20], serialize: String, parse: Number } },
  });
}

const users = connect(process.env.USER_URL);
const general = connect(process.env.GENERAL_URL);

// With the schemas of its answers fastify compiles a serializer for each.
const time = { type: "string", format: "date-time" };
const optional = { type: "string", nullable: true };
const pairs = { type: "object", additionalProperties: { type: "string" } };
const chatSession = {
  type: "object",
  properties: {
    id: { type: "string" },
    title: { type: "string" },
    metadata: pairs,
    external_id: optional,
    message_count: { type: "integer" },
    last_position: { type: "integer" },
    expires_at: { ...time, nullable: true },
    created_by: optional,
    forked_from: {
      type: "object",
      nullable: true,
      properties: { session_id: { type: "string" }, position: { type: "integer" } },
    },
    created_at: time,
    updated_at: time,
  },
};
const message = {
  type: "object",
  properties: {
    id: { type: "string" },
    session_id: { type: "string" },
    position: { type: "integer" },
    role: { type: "string" },
    content: { type: "string" },
    metadata: pairs,
    client_id: optional,
    status: { type: "string" },
    created_by: optional,
    created_at: time,
    updated_at: time,
  },
};
const messages = { type: "object", properties: { items: { type: "array", items: message } } };
const page = {
  type: "object",
  properties: { ...messages.properties, next: { type: "string", nullable: true } },
};
const newMessage = {
  type: "object",
  required: ["role", "content"],
  additionalProperties: false,
  properties: {
    role: { enum: ["user", "assistant"] },
    content: { type: "string", minLength: 1, maxLength: 262144 },
  },
};
const newMessages = {
  type: "object",
  required: ["messages"],
  additionalProperties: false,
  properties: { messages: { type: "array", minItems: 1, maxItems: 1000, items: newMessage } },
};
const params = { type: "object", properties: { id: { type: "string", format: "uuid" } } };

function refusal(statusCode, text) {
  return Object.assign(new Error(text), { statusCode });
}

async function authenticate(request) {
  const [scheme, token] = (request.headers.authorization ?? "").split(" ");
  if (scheme !== "Bearer" || !token) throw refusal(401, "no token");
  const digest = createHash("sha256").update(token).digest();
  const [user] = await users`
    SELECT users.id, users.tenant_id FROM access_tokens
    JOIN users ON users.id = access_tokens.user_id
    WHERE access_tokens.digest = ${digest} AND access_tokens.expires_at > now()
    AND users.is_active AND NOT users.is_blocked`;
  if (!user) throw refusal(401, "no such token");
  request.user = user;
}

async function append(user, id, added) {
  const rows = await general`
    WITH session AS (
        UPDATE chat_sessions
        SET message_count = message_count + ${added.length}::bigint, updated_at = now()
        WHERE tenant_id = ${user.tenant_id} AND id = ${id} AND user_id = ${user.id}
        RETURNING tenant_id, id, message_count - ${added.length}::bigint AS before
    )
    INSERT INTO messages (tenant_id, id, session_id, position, role, content)
    SELECT session.tenant_id, uuidv7(), session.id, session.before + added.number, added.role,
           added.content
    FROM session, unnest(${added.map((one) => one.role)}::text[],
                         ${added.map((one) => one.content)}::text[])
        WITH ORDINALITY AS added (role, content, number)
    RETURNING id, session_id, position, role, content, coalesce(metadata, '{}')::json AS metadata,
              client_id, status, created_by, created_at,
              coalesce(updated_at, created_at) AS updated_at`;
  if (rows.length === 0) throw refusal(404, "no such session");
  return rows.sort((one, other) => one.position - other.position);
}

const app = Fastify({ bodyLimit: 10 * 1024 * 1024 });
app.decorateRequest("user", null);

app.get("/health/live", async () => ({ status: "alive" }));

app.register(async (authenticated) => {
  authenticated.addHook("onRequest", authenticate);

  authenticated.get(
    "/v1/chat-sessions/:id",
    { schema: { params, response: { 200: chatSession } } },
    async ({ user, params: { id } }) => {
      const [found] = await general`
        SELECT id, title, coalesce(metadata, '{}')::json AS metadata, external_id, message_count,
               coalesce(last_position, message_count) AS last_position, expires_at, created_by,
               CASE WHEN forked_from_session IS NOT NULL THEN json_build_object(
                   'session_id', forked_from_session, 'position', forked_from_position) END AS forked_from,
               created_at, updated_at
        FROM chat_sessions
        WHERE tenant_id = ${user.tenant_id} AND id = ${id} AND user_id = ${user.id}`;
      if (!found) throw refusal(404, "no such session");
      return found;
    },
  );

  authenticated.get(
    "/v1/chat-sessions/:id/messages",
    { schema: { params, response: { 200: page } } },
    async ({ user, params: { id } }) => {
      const rows = await general`
        SELECT message.id, session.id AS session_id, message.position, message.role,
               message.content, coalesce(message.metadata, '{}')::json AS metadata,
               message.client_id, message.status, message.created_by, message.created_at,
               coalesce(message.updated_at, message.created_at) AS updated_at
        FROM chat_sessions AS session LEFT JOIN LATERAL (
            SELECT * FROM messages
            WHERE messages.tenant_id = session.tenant_id AND messages.session_id = session.id
            ORDER BY messages.position DESC LIMIT ${PAGE + 1}
        ) AS message ON true
        WHERE session.tenant_id = ${user.tenant_id} AND session.id = ${id}
        AND session.user_id = ${user.id}`;
      if (rows.length === 0) throw refusal(404, "no such session");
      const items = rows.slice(0, PAGE).filter((row) => row.id !== null);
      return { items, next: rows.length > PAGE ? String(items.at(-1).position) : null };
    },
  );

  authenticated.post(
    "/v1/chat-sessions/:id/messages",
    { schema: { params, body: newMessage, response: { 201: message } } },
    async ({ user, params: { id }, body }, reply) => {
      reply.code(201);
      return (await append(user, id, [body]))[0];
    },
  );

  authenticated.post(
    "/v1/chat-sessions/:id/messages/batch",
    { schema: { params, body: newMessages, response: { 201: messages } } },
    async ({ user, params: { id }, body }, reply) => {
      reply.code(201);
      return { items: await append(user, id, body.messages) };
    },
  );
});

await app.listen({ host: "127.0.0.1", port: Number(process.argv[2]) });
