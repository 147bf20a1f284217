// Node's http: `res.write` once per token, waiting for 'drain' when it says so.

import { serve } from "./asked.mjs";

const frame = (index, payload) => `event: message\nid: peer-${index}\ndata: ${JSON.stringify(payload)}\n\n`;

serve((_request, response) => {
  response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-cache" });
  return (index, payload) => response.write(frame(index, payload));
});
