package tokenweir.semantics;

import com.fasterxml.jackson.annotation.JsonInclude;
import java.util.ArrayList;
import java.util.List;
import reactor.core.Exceptions;

import io.reactivex.rxjava3.exceptions.MissingBackpressureException;

/** Keeps what was seen during each step. */
final class Log {
    /** The failure of a source. */
    static final class SourceFailure extends RuntimeException {}

    /** The failure of a drop callback. */
    static final class CallbackFailure extends RuntimeException {}

    /**
     * What was seen during one step.
     *
     * @param next items that were delivered
     * @param dropped items that the operator's own callback was told of
     * @param discarded items that Reactor's hooks were told of, which have no counterpart in RxJava
     * @param ends terminal signals: complete, or what failed
     * @param raised what the step itself threw
     */
    @JsonInclude(JsonInclude.Include.NON_EMPTY)
    record Seen(
            List<String> next, List<String> dropped, List<String> discarded, List<String> ends, List<String> raised) {
        Seen() {
            this(new ArrayList<>(), new ArrayList<>(), new ArrayList<>(), new ArrayList<>(), new ArrayList<>());
        }
    }

    private final List<Seen> steps = new ArrayList<>();

    void begin() {
        steps.add(new Seen());
    }

    Seen now() {
        return steps.get(steps.size() - 1);
    }

    List<Seen> steps() {
        return steps;
    }

    /** Do one step and keep what it throws. */
    void guarded(Runnable step) {
        begin();
        try {
            step.run();
        } catch (RuntimeException error) {
            now().raised().add(word(error));
        }
    }

    static String word(Throwable error) {
        String word = kind(error);
        if (error.getCause() instanceof CallbackFailure) {
            return word + ", cause callback";
        }
        for (Throwable suppressed : error.getSuppressed()) {
            if (suppressed instanceof CallbackFailure) {
                return word + ", suppressed callback";
            }
        }
        return word;
    }

    private static String kind(Throwable error) {
        if (error instanceof SourceFailure) {
            return "source";
        }
        if (error instanceof CallbackFailure) {
            return "callback";
        }
        if (error instanceof MissingBackpressureException || Exceptions.isOverflow(error)) {
            return "overflow";
        }
        if (error instanceof NullPointerException) {
            return "null item";
        }
        if (error instanceof IllegalArgumentException) {
            return "bad request";
        }
        return error.getClass().getSimpleName();
    }
}
