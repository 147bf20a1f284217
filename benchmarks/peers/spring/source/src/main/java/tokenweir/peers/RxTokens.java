package tokenweir.peers;

import io.reactivex.rxjava3.core.BackpressureStrategy;
import io.reactivex.rxjava3.core.Flowable;
import io.reactivex.rxjava3.core.FlowableEmitter;
import io.reactivex.rxjava3.plugins.RxJavaPlugins;
import org.springframework.http.codec.ServerSentEvent;

/** The stream as RxJava users write it. */
public final class RxTokens {
    static {
        // What MISSING breaks comes here, and would be printed with its stack for every stream.
        RxJavaPlugins.setErrorHandler(error -> {});
    }

    private RxTokens() {}

    public static Flowable<ServerSentEvent<Payload>> events(StreamRequest request) {
        return Flowable.<Token>create(
                        emitter -> TokenSource.feed(request, new RxSink(emitter)),
                        BackpressureStrategy.valueOf(request.strategy()))
                .map(token -> Events.token(request, token))
                .concatWith(Flowable.just(Events.end(request)));
    }

    private record RxSink(FlowableEmitter<Token> emitter) implements TokenSource.Sink {
        @Override
        public boolean isCancelled() {
            return emitter.isCancelled();
        }

        @Override
        public void next(Token token) {
            emitter.onNext(token);
        }

        @Override
        public void complete() {
            emitter.onComplete();
        }
    }
}
