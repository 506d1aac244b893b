// What one does first with a client: orval's functions, everything checked by its zod schemas.
import {
  createChatSession,
  createMessage,
  createMessages,
  exportMe,
  getChatSession,
  getMe,
  listMessages,
  logIn,
  logOut,
} from "./client";
import {
  Account,
  ChatSession,
  ExportLine,
  ListMessagesParams,
  Login,
  LoginToken,
  Message,
  MessagePage,
  NewChatSession,
  NewMessage,
  ProblemDetails,
} from "./models";

const { NAME: username, PASSWORD: password, CONTENTS } = process.env;
const contents: string[] = JSON.parse(CONTENTS);

const wrong = await logIn({ username, password: "wrong" });
const login = await logIn(Login.parse({ username, password }));
const headers = { Authorization: `Bearer ${LoginToken.parse(login.data).access_token}` };
const me = Account.parse((await getMe({ headers })).data);

const titles = [null, "Holiday in Norway", "x".repeat(256), "\0"];
const accepted = titles.map((title) => NewChatSession.safeParse({ title }).success);
const session = ChatSession.parse((await createChatSession({ title: null }, { headers })).data);
const [first, ...rest] = contents.map((content) => NewMessage.parse({ role: "user", content }));
const keyed = { headers: { ...headers, "Idempotency-Key": "tour" } };
const append = async (message: NewMessage) => createMessage(session.id, message, keyed);
const once = Message.parse((await append(first)).data);
const twice = Message.parse((await append(first)).data);
const reused = await append(rest[0]);
await createMessages(session.id, { messages: rest }, { headers });

const read: Message["content"][] = []; // texts, or lists of parts
let pages = 0;
let after: string | undefined;
do {
  const parameters = ListMessagesParams.parse({ order: "asc", limit: 3, after });
  const page = await listMessages(session.id, parameters, { headers });
  const { items, next } = MessagePage.parse(page.data);
  read.push(...items.map((message) => message.content));
  after = next ?? undefined;
  pages += 1;
} while (after);

const missing = await getChatSession(me.id, { headers });
const [refused, unknown, conflicting] = [wrong, missing, reused].map((answer) =>
  ProblemDetails.parse(answer.data),
);

const exported = await exportMe({ headers });
if (exported.status !== 200) throw new Error("export");
const text = await exported.stream.text();
const lines = text.trim().split("\n").map((line) => ExportLine.parse(JSON.parse(line)));
const said = lines.flatMap((line) => (line.type === "message" ? [line.content] : []));
const left = await logOut({ headers });

console.log(
  JSON.stringify({
    wrong: [wrong.status, refused.title],
    me: me.username,
    accepted,
    once: once.id === twice.id,
    reused: [conflicting.status, conflicting.errors?.[0].path],
    pages,
    read,
    missing: [missing.status, unknown.title],
    kinds: lines.map((line) => line.type),
    said,
    left: left.status,
  }),
);
