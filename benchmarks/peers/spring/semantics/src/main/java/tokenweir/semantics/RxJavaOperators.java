package tokenweir.semantics;

import io.reactivex.rxjava3.core.BackpressureOverflowStrategy;
import io.reactivex.rxjava3.core.BackpressureStrategy;
import io.reactivex.rxjava3.core.Flowable;
import io.reactivex.rxjava3.core.FlowableEmitter;
import io.reactivex.rxjava3.functions.Action;
import io.reactivex.rxjava3.plugins.RxJavaPlugins;
import io.reactivex.rxjava3.subjects.PublishSubject;
import java.util.Locale;
import org.reactivestreams.Subscriber;
import org.reactivestreams.Subscription;

/** RxJava's operators as schedules name them. */
final class RxJavaOperators {
    private static final Action NOTHING = () -> {};

    private RxJavaOperators() {}

    static void ignoreUndeliverable() {
        RxJavaPlugins.setErrorHandler(error -> {});
    }

    /** Build the stream of a schedule, subscribe, and return its left end. */
    static Producer open(Schedule schedule, Dropped dropped, Consumer consumer) {
        return switch (schedule.operator()) {
            case "create" -> create(schedule, consumer);
            case "error" -> toFlowable(consumer);
            default -> {
                ManualSource source = new ManualSource();
                subscribe(schedule, protect(schedule, Flowable.fromPublisher(source), dropped), consumer);
                yield source;
            }
        };
    }

    private static Producer create(Schedule schedule, Consumer consumer) {
        Emitting producer = new Emitting();
        var strategy = BackpressureStrategy.valueOf(schedule.strategy().toUpperCase(Locale.ROOT));
        subscribe(schedule, Flowable.<String>create(emitter -> producer.emitter = emitter, strategy), consumer);
        return producer;
    }

    /** RxJava has no onBackpressureError: an Observable turns into a Flowable with that strategy. */
    private static Producer toFlowable(Consumer consumer) {
        PublishSubject<String> subject = PublishSubject.create();
        subject.toFlowable(BackpressureStrategy.ERROR).subscribe(consumer);
        return new Producer() {
            @Override
            public void emit(String item) {
                subject.onNext(item);
            }

            @Override
            public void complete() {
                subject.onComplete();
            }

            @Override
            public void error(Throwable failure) {
                subject.onError(failure);
            }
        };
    }

    private static Flowable<String> protect(Schedule schedule, Flowable<String> source, Dropped dropped) {
        return switch (schedule.operator()) {
            case "buffer" -> buffer(schedule, source, dropped);
            case "drop" -> schedule.hasCallback()
                    ? source.onBackpressureDrop(dropped::tell)
                    : source.onBackpressureDrop();
            case "latest" -> schedule.hasCallback()
                    ? source.onBackpressureLatest(dropped::tell)
                    : source.onBackpressureLatest();
            case "reduce" -> source.onBackpressureReduce((held, incoming) -> held + "+" + incoming);
            default -> throw new IllegalArgumentException("RxJava has no operator " + schedule.operator());
        };
    }

    private static Flowable<String> buffer(Schedule schedule, Flowable<String> source, Dropped dropped) {
        Integer capacity = schedule.capacity();
        boolean delayError = Boolean.TRUE.equals(schedule.delayError());
        if (schedule.overflow() != null) {
            var overflow = BackpressureOverflowStrategy.valueOf(schedule.overflow().toUpperCase(Locale.ROOT));
            return schedule.hasCallback()
                    ? source.onBackpressureBuffer(capacity, NOTHING, overflow, dropped::tell)
                    : source.onBackpressureBuffer(capacity, NOTHING, overflow);
        }
        if (capacity == null) {
            return source.onBackpressureBuffer(delayError);
        }
        return schedule.hasCallback()
                ? source.onBackpressureBuffer(capacity, delayError, false, NOTHING, dropped::tell)
                : source.onBackpressureBuffer(capacity, delayError);
    }

    private static void subscribe(Schedule schedule, Flowable<String> stream, Consumer consumer) {
        if (schedule.strict()) {
            stream.subscribe(asPlainSubscriber(consumer));
        } else {
            stream.subscribe(consumer);
        }
    }

    /** Hide that the consumer is RxJava's own kind, so that RxJava adds its rule-keeping wrapper. */
    private static Subscriber<String> asPlainSubscriber(Consumer consumer) {
        return new Subscriber<>() {
            @Override
            public void onSubscribe(Subscription subscription) {
                consumer.onSubscribe(subscription);
            }

            @Override
            public void onNext(String item) {
                consumer.onNext(item);
            }

            @Override
            public void onError(Throwable error) {
                consumer.onError(error);
            }

            @Override
            public void onComplete() {
                consumer.onComplete();
            }
        };
    }

    private static final class Emitting implements Producer {
        private FlowableEmitter<String> emitter;

        @Override
        public void emit(String item) {
            emitter.onNext(item);
        }

        @Override
        public void complete() {
            emitter.onComplete();
        }

        @Override
        public void error(Throwable failure) {
            emitter.onError(failure);
        }
    }
}
