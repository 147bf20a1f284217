// Node's http: `res.write` once per token, waiting for 'drain' when it says so.

import { once } from "node:events";
import http from "node:http";
import process from "node:process";

// CLOCK_MONOTONIC, as Python's time.monotonic_ns().
const nowNs = () => Number(process.hrtime.bigint());

const frame = (index, payload) => `event: message\nid: peer-${index}\ndata: ${JSON.stringify(payload)}\n\n`;

function payload(index, dueNs, trace) {
  const fields = { ended: false, message: String(index) };
  return trace ? { ...fields, due_ns: dueNs, emitted_ns: nowNs() } : fields;
}

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

async function firehose({ count, trace }, response, gone) {
  for (let index = 0; index < count && !gone.aborted; index += 1) {
    if (!response.write(frame(index, payload(index, nowNs(), trace)))) {
      await once(response, "drain", { signal: gone }).catch(() => {});
    }
  }
}

async function paced({ count, rate, trace }, response, gone) {
  const startNs = nowNs();
  for (let index = 0; index < count && !gone.aborted; index += 1) {
    const dueNs = startNs + Math.round((index * 1e9) / rate);
    const aheadNs = dueNs - nowNs();
    if (aheadNs > 0) {
      // A timer of Node has whole milliseconds; rounded up, so that no token leaves before it is due.
      await new Promise((resolve) => setTimeout(resolve, Math.ceil(aheadNs / 1e6)));
    }
    if (!response.write(frame(index, payload(index, dueNs, trace)))) {
      await once(response, "drain", { signal: gone }).catch(() => {});
    }
  }
}

const server = http.createServer(async (request, response) => {
  const wanted = asked(request.url);
  const leaving = new AbortController();
  response.on("close", () => leaving.abort());
  response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-cache" });
  await (wanted.rate ? paced : firehose)(wanted, response, leaving.signal);
  if (!wanted.hangs) {
    response.end(frame("end", { ended: true, message: "" }));
  }
});

server.listen({ port: 0, host: "127.0.0.1", backlog: 2048 }, () => {
  process.stderr.write(`http://127.0.0.1:${server.address().port}/\n`);
});
