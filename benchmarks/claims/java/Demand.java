import com.fasterxml.jackson.databind.ObjectMapper;
import io.reactivex.rxjava3.core.BackpressureStrategy;
import io.reactivex.rxjava3.core.Flowable;
import io.reactivex.rxjava3.plugins.RxJavaPlugins;
import java.lang.reflect.Method;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import org.reactivestreams.Publisher;
import org.reactivestreams.Subscriber;
import org.reactivestreams.Subscription;
import reactor.core.Disposable;
import reactor.core.publisher.Flux;
import reactor.core.publisher.FluxSink;
import reactor.core.publisher.Hooks;
import reactor.core.scheduler.Scheduler;

/**
 * Prints what RxJava and Reactor offer, and what their sources do when 10 items are wanted of many, as one JSON object.
 * It takes how many items a source has.
 */
public final class Demand {
    private static final int WANTED = 10;

    /** What one source did: how many items it had made before more were wanted, and how many came before and after. */
    public record Tried(String library, String source, int made, int received, int receivedAfter, String ended) {}

    private final int count;

    private Demand(int count) {
        this.count = count;
    }

    public static void main(String[] arguments) throws Exception {
        RxJavaPlugins.setErrorHandler(error -> {});
        Hooks.onErrorDropped(error -> {});
        Demand demand = new Demand(Integer.parseInt(arguments[0]));
        Map<String, Object> found = Map.of(
                "items", demand.count,
                "wanted", WANTED,
                "strategies", Map.of("RxJava", BackpressureStrategy.values(), "Reactor", FluxSink.OverflowStrategy.values()),
                "operators", Map.of("RxJava", operators(Flowable.class), "Reactor", operators(Flux.class)),
                "tried", Stream.concat(demand.rxjava(), demand.reactor()).toList());
        new ObjectMapper().writeValue(System.out, found);
    }

    private static List<String> operators(Class<?> type) {
        return Arrays.stream(type.getMethods())
                .filter(method -> method.getName().startsWith("onBackpressure"))
                .map(Demand::signature)
                .sorted()
                .distinct()
                .toList();
    }

    private static String signature(Method method) {
        List<String> types = Arrays.stream(method.getParameterTypes()).map(Class::getSimpleName).toList();
        return method.getName() + "(" + String.join(", ", types) + ")";
    }

    // What the sources are.

    private Stream<Tried> rxjava() {
        Stream<Tried> created = Arrays.stream(BackpressureStrategy.values())
                .map(strategy -> attempt("RxJava", "Flowable.create, " + strategy, made -> Flowable.create(emitter -> {
                    while (made.get() < count && !emitter.isCancelled()) {
                        emitter.onNext(made.getAndIncrement());
                    }
                    emitter.onComplete();
                }, strategy)));
        Tried generated = attempt("RxJava", "Flowable.generate", made -> Flowable.generate(emitter -> {
            if (made.get() == count) {
                emitter.onComplete();
            } else {
                emitter.onNext(made.getAndIncrement());
            }
        }));
        return Stream.concat(created, Stream.of(generated));
    }

    private Stream<Tried> reactor() {
        Stream<Tried> created = Arrays.stream(FluxSink.OverflowStrategy.values())
                .map(strategy -> attempt(
                        "Reactor", "Flux.create, " + strategy, made -> Flux.create(sink -> push(made, sink), strategy)));
        Stream<Tried> others = Stream.of(
                attempt("Reactor", "Flux.create, none named", made -> Flux.create(sink -> push(made, sink))),
                attempt("Reactor", "Flux.push, none named", made -> Flux.push(sink -> push(made, sink))),
                attempt("Reactor", "Flux.generate", made -> Flux.generate(sink -> {
                    if (made.get() == count) {
                        sink.complete();
                    } else {
                        sink.next(made.getAndIncrement());
                    }
                })),
                attempt("Reactor", "Flux.fromStream", made ->
                        Flux.fromStream(Stream.generate(made::getAndIncrement).limit(count))),
                attempt("Reactor", "Flux.interval", made -> Flux.interval(Duration.ofMillis(1), new Clock(made))));
        return Stream.concat(created, others);
    }

    private void push(AtomicInteger made, FluxSink<Object> sink) {
        while (made.get() < count && !sink.isCancelled()) {
            sink.next(made.getAndIncrement());
        }
        sink.complete();
    }

    /** By this clock all times come at once, for as many items as a source has: whether they are wanted or not. */
    private final class Clock implements Scheduler {
        private final AtomicInteger made;

        private Clock(AtomicInteger made) {
            this.made = made;
        }

        @Override
        public Worker createWorker() {
            return new Worker() {
                private boolean isDisposed;

                @Override
                public Disposable schedulePeriodically(Runnable makeOne, long delay, long period, TimeUnit unit) {
                    while (made.get() < count && !isDisposed) {
                        made.incrementAndGet();
                        makeOne.run();
                    }
                    return this;
                }

                @Override
                public Disposable schedule(Runnable task) {
                    return Clock.this.schedule(task);
                }

                @Override
                public void dispose() {
                    isDisposed = true;
                }
            };
        }

        @Override
        public Disposable schedule(Runnable task) {
            throw new UnsupportedOperationException("only what is done again and again has a time here");
        }
    }

    // How they are tried.

    private interface Source {
        Publisher<?> of(AtomicInteger made);
    }

    private static Tried attempt(String library, String name, Source source) {
        AtomicInteger made = new AtomicInteger();
        Reader reader = new Reader();
        source.of(made).subscribe(reader);
        int before = made.get();
        int received = reader.received.get();
        reader.subscription.request(Long.MAX_VALUE);
        return new Tried(library, name, before, received, reader.received.get(), reader.ended);
    }

    private static final class Reader implements Subscriber<Object> {
        private final AtomicInteger received = new AtomicInteger();
        private Subscription subscription;
        private volatile String ended = "";

        @Override
        public void onSubscribe(Subscription given) {
            subscription = given;
            given.request(WANTED);
        }

        @Override
        public void onNext(Object item) {
            received.incrementAndGet();
        }

        @Override
        public void onError(Throwable error) {
            ended = error.getClass().getSimpleName();
        }

        @Override
        public void onComplete() {
            ended = "complete";
        }
    }
}
