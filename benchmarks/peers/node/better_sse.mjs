// better-sse: `session.push` once per token. It does not say when to wait; the response below it does.

import { createSession } from "better-sse";

import { serve } from "./asked.mjs";

serve(async (request, response) => {
  // Without the frame that sets the reconnection time, so that its frames are those of the others.
  const session = await createSession(request, response, { retry: null });
  return (index, payload) => session.push(payload, "message", `peer-${index}`);
});
