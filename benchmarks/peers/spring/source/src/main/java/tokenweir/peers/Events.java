package tokenweir.peers;

import org.springframework.http.codec.ServerSentEvent;

/** The frames of the completion profile. */
final class Events {
    private Events() {}

    static ServerSentEvent<Payload> token(StreamRequest request, Token token) {
        return event(request, Integer.toString(token.index()), Payload.of(request, token));
    }

    static ServerSentEvent<Payload> end(StreamRequest request) {
        return event(request, "end", Payload.END);
    }

    private static ServerSentEvent<Payload> event(StreamRequest request, String suffix, Payload payload) {
        return ServerSentEvent.builder(payload)
                .event("message")
                .id(request.streamId() + "-" + suffix)
                .build();
    }
}
