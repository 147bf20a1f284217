package tokenweir.semantics;

import org.reactivestreams.Publisher;
import org.reactivestreams.Subscriber;
import org.reactivestreams.Subscription;

/** A source that emits what it is told, whatever the demand and even when it has been cancelled. */
final class ManualSource implements Publisher<String>, Producer {
    private Subscriber<? super String> downstream;

    @Override
    public void subscribe(Subscriber<? super String> subscriber) {
        downstream = subscriber;
        subscriber.onSubscribe(new Subscription() {
            @Override
            public void request(long n) {}

            @Override
            public void cancel() {}
        });
    }

    @Override
    public void emit(String item) {
        downstream.onNext(item);
    }

    @Override
    public void complete() {
        downstream.onComplete();
    }

    @Override
    public void error(Throwable failure) {
        downstream.onError(failure);
    }
}
