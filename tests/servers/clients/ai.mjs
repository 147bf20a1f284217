// Reads a chat answer with the npm package `ai`, as its useChat hook does, and prints what an application gets.
// Arguments: the package (`ai`, or `ai-strict`: the first version 5, which refuses unknown keys), then the URL.

const [packageName, url] = process.argv.slice(2);
const { DefaultChatTransport, readUIMessageStream } = await import(packageName);

const parts = [];
const errors = [];
let message = null;

const transport = new DefaultChatTransport({ api: url });
const question = { id: "q", role: "user", parts: [{ type: "text", text: "hi" }] };
const stream = await transport.sendMessages({ chatId: "c", trigger: "submit-message", messages: [question] });
const watched = stream.pipeThrough(
  new TransformStream({
    transform(part, controller) {
      parts.push(part);
      controller.enqueue(part);
    },
  }),
);
const onError = (error) => errors.push(error.message);
try {
  for await (const state of readUIMessageStream({ stream: watched, onError, terminateOnError: true })) message = state;
} catch {
  // onError has heard of it.
}

console.log(JSON.stringify({ parts, message, errors }));
