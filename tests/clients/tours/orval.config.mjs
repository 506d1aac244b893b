// A client over fetch, and zod's schemas to check what is sent and what arrives.
export default {
  bicameral: {
    input: "./openapi.json",
    output: {
      target: "./client.ts",
      schemas: { path: "./models", type: "zod" },
      client: "fetch",
      baseUrl: { runtime: "process.env.BASE" },
      override: { zod: { generateDiscriminatedUnion: true } },
    },
  },
};
