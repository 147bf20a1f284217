package tokenweir.semantics;

import io.reactivex.rxjava3.core.FlowableSubscriber;
import org.reactivestreams.Subscription;
import reactor.core.CoreSubscriber;
import reactor.core.publisher.Operators;
import reactor.util.context.Context;

/** Records what it hears. Both libraries know it as one of their own and put nothing between it and the operator. */
final class Consumer implements FlowableSubscriber<String>, CoreSubscriber<String> {
    private final Schedule schedule;
    private final Log log;
    private Subscription subscription;
    private int received;

    Consumer(Schedule schedule, Log log) {
        this.schedule = schedule;
        this.log = log;
    }

    @Override
    public Context currentContext() {
        return Operators.enableOnDiscard(
                Context.empty(), item -> log.now().discarded().add((String) item));
    }

    @Override
    public void onSubscribe(Subscription given) {
        subscription = given;
    }

    @Override
    public void onNext(String item) {
        log.now().next().add(item);
        received++;
        if (received == schedule.cancelAfter()) {
            subscription.cancel();
        } else if (schedule.refill() > 0) {
            subscription.request(schedule.refill());
        }
    }

    @Override
    public void onError(Throwable error) {
        log.now().ends().add(Log.word(error));
    }

    @Override
    public void onComplete() {
        log.now().ends().add("complete");
    }

    void request(long n) {
        subscription.request(n);
    }

    void cancel() {
        subscription.cancel();
    }
}
