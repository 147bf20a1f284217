package tokenweir.peers;

import org.springframework.http.codec.ServerSentEvent;
import reactor.core.publisher.Flux;
import reactor.core.publisher.FluxSink;
import reactor.core.publisher.FluxSink.OverflowStrategy;

/** The stream as Reactor users write it. */
public final class FluxTokens {
    private FluxTokens() {}

    public static Flux<ServerSentEvent<Payload>> events(StreamRequest request) {
        return Flux.<Token>create(
                        sink -> TokenSource.feed(request, new ReactorSink(sink)), strategy(request.strategy()))
                .map(token -> Events.token(request, token))
                .concatWithValues(Events.end(request));
    }

    private static OverflowStrategy strategy(String name) {
        return name.equals("MISSING") ? OverflowStrategy.IGNORE : OverflowStrategy.valueOf(name);
    }

    private record ReactorSink(FluxSink<Token> sink) implements TokenSource.Sink {
        @Override
        public boolean isCancelled() {
            return sink.isCancelled();
        }

        @Override
        public void next(Token token) {
            sink.next(token);
        }

        @Override
        public void complete() {
            sink.complete();
        }
    }
}
