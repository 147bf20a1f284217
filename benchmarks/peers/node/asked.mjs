// What both Node.js servers share: the query, the schedule, the payload, and the way to listen.

import { once } from "node:events";
import http from "node:http";
import process from "node:process";

// CLOCK_MONOTONIC, as Python's time.monotonic_ns().
const nowNs = () => Number(process.hrtime.bigint());

const END = { ended: true, message: "" };

function asked(url) {
  const query = new URL(url, "http://localhost").searchParams;
  const count = Number(query.get("count") ?? 10);
  const hangAfter = query.has("hang_after") ? Number(query.get("hang_after")) : null;
  return {
    count: hangAfter === null ? count : Math.min(count, hangAfter),
    rate: Number(query.get("rate") ?? 0),
    trace: query.get("trace") === "1",
    hangs: hangAfter !== null,
  };
}

function payload(index, dueNs, trace) {
  const fields = { ended: false, message: String(index) };
  return trace ? { ...fields, seq: index, due_ns: dueNs, emitted_ns: nowNs() } : fields;
}

async function due(startNs, index, rate) {
  const dueNs = startNs + Math.round((index * 1e9) / rate);
  const aheadNs = dueNs - nowNs();
  if (aheadNs > 0) {
    // A timer of Node has whole milliseconds; rounded up, so that no token leaves before it is due.
    await new Promise((resolve) => setTimeout(resolve, Math.ceil(aheadNs / 1e6)));
  }
  return dueNs;
}

// Calls `send(index, payload)` for each token, and waits when the response says that it is full.
async function stream({ count, rate, trace }, response, gone, send) {
  const startNs = nowNs();
  for (let index = 0; index < count && !gone.aborted; index += 1) {
    const dueNs = rate ? await due(startNs, index, rate) : nowNs();
    if (gone.aborted) {
      return;
    }
    send(index, payload(index, dueNs, trace));
    if (response.writableNeedDrain) {
      await once(response, "drain", { signal: gone }).catch(() => {});
    }
  }
}

// `open(request, response)` begins the answer and returns what sends one event: (index, payload) => void.
export function serve(open) {
  const server = http.createServer(async (request, response) => {
    const wanted = asked(request.url);
    const leaving = new AbortController();
    response.on("close", () => leaving.abort());
    const send = await open(request, response);
    await stream(wanted, response, leaving.signal, send);
    if (!wanted.hangs && !leaving.signal.aborted) {
      send("end", END);
      response.end();
    }
  });
  server.listen({ port: 0, host: "127.0.0.1", backlog: 2048 }, () => {
    process.stderr.write(`http://127.0.0.1:${server.address().port}/\n`);
  });
}
