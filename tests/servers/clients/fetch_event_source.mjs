// Reads event streams with `@microsoft/fetch-event-source` and prints the events of each. Arguments: the URLs.

import fetchEventSourcePackage from "@microsoft/fetch-event-source";

// What it wants of a browser: a tab that is never hidden, and timers.
globalThis.window = globalThis;
globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} };

async function read(url) {
  const events = [];
  await fetchEventSourcePackage.fetchEventSource(url, {
    method: "POST",
    onmessage: ({ event, data, id }) => events.push({ event: event || "message", data, id }),
    onerror(error) {
      throw error; // or it would ask again
    },
  });
  return events;
}

console.log(JSON.stringify(await Promise.all(process.argv.slice(2).map(read))));
