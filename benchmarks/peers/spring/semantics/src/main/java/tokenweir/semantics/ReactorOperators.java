package tokenweir.semantics;

import java.util.Locale;
import java.util.function.Consumer;
import reactor.core.publisher.BufferOverflowStrategy;
import reactor.core.publisher.Flux;
import reactor.core.publisher.FluxSink;
import reactor.core.publisher.FluxSink.OverflowStrategy;
import reactor.core.publisher.Hooks;

/** Reactor's operators as schedules name them. */
final class ReactorOperators {
    private ReactorOperators() {}

    /** Items and errors that come too late go to global hooks; keep the items and be silent about the errors. */
    static void listenToHooks(Consumer<Object> tooLate) {
        Hooks.onNextDropped(tooLate);
        Hooks.onErrorDropped(error -> {});
    }

    /** Build the stream of a schedule, subscribe, and return its left end. */
    static Producer open(Schedule schedule, Dropped dropped, tokenweir.semantics.Consumer consumer) {
        boolean creates = schedule.operator().equals("create") || schedule.operator().equals("push");
        if (creates) {
            Sinking producer = new Sinking();
            create(schedule, producer).subscribe(consumer);
            return producer;
        }
        ManualSource source = new ManualSource();
        protect(schedule, Flux.from(source), dropped).subscribe(consumer);
        return source;
    }

    private static Flux<String> create(Schedule schedule, Sinking producer) {
        String name = schedule.strategy().equals("missing") ? "ignore" : schedule.strategy();
        OverflowStrategy strategy = OverflowStrategy.valueOf(name.toUpperCase(Locale.ROOT));
        return schedule.operator().equals("push")
                ? Flux.push(sink -> producer.sink = sink, strategy)
                : Flux.create(sink -> producer.sink = sink, strategy);
    }

    private static Flux<String> protect(Schedule schedule, Flux<String> source, Dropped dropped) {
        return switch (schedule.operator()) {
            case "buffer" -> buffer(schedule, source, dropped);
            case "drop" -> schedule.hasCallback()
                    ? source.onBackpressureDrop(dropped::tell)
                    : source.onBackpressureDrop();
            case "latest" -> source.onBackpressureLatest();
            case "error" -> source.onBackpressureError();
            default -> throw new IllegalArgumentException("Reactor has no operator " + schedule.operator());
        };
    }

    private static Flux<String> buffer(Schedule schedule, Flux<String> source, Dropped dropped) {
        Integer capacity = schedule.capacity();
        if (schedule.overflow() != null) {
            var overflow = BufferOverflowStrategy.valueOf(schedule.overflow().toUpperCase(Locale.ROOT));
            return schedule.hasCallback()
                    ? source.onBackpressureBuffer(capacity, dropped::tell, overflow)
                    : source.onBackpressureBuffer(capacity, overflow);
        }
        if (capacity == null) {
            return source.onBackpressureBuffer();
        }
        return schedule.hasCallback()
                ? source.onBackpressureBuffer(capacity, dropped::tell)
                : source.onBackpressureBuffer(capacity);
    }

    private static final class Sinking implements Producer {
        private FluxSink<String> sink;

        @Override
        public void emit(String item) {
            sink.next(item);
        }

        @Override
        public void complete() {
            sink.complete();
        }

        @Override
        public void error(Throwable failure) {
            sink.error(failure);
        }
    }
}
