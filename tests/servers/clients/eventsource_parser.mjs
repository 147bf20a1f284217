// Reads event streams with `eventsource-parser` and prints the events of each. Arguments: the URLs.

import { EventSourceParserStream } from "eventsource-parser/stream";

async function read(url) {
  const response = await fetch(url);
  const events = [];
  for await (const event of response.body
    .pipeThrough(new TextDecoderStream())
    .pipeThrough(new EventSourceParserStream({ onError: "terminate" }))) {
    events.push({ event: event.event ?? "message", data: event.data, id: event.id ?? "" });
  }
  return events;
}

console.log(JSON.stringify(await Promise.all(process.argv.slice(2).map(read))));
