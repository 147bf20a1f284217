package tokenweir.semantics;

import com.fasterxml.jackson.annotation.JsonProperty;
import java.util.List;

/**
 * What happens to one operator, step by step, without any time.
 *
 * @param library "rxjava" or "reactor"
 * @param operator "create", "push" (Reactor) or what stands behind "onBackpressure"; "error" is toFlowable(ERROR) in RxJava
 * @param strategy of create and push: missing, error, drop, latest or buffer
 * @param capacity of the buffer; null: the form without a capacity
 * @param overflow of the buffer, by the library's own name: error, drop_oldest, drop_latest; null: the form without one
 * @param delayError of RxJava's buffer; null: the form without it
 * @param callback what the operator's drop callback does: "none" (the form without one), "tells", "raises"
 * @param refill requested from inside each onNext; 0: nothing
 * @param cancelAfter cancelled from inside the onNext of this many items; 0: never
 * @param strict RxJava: subscribe as a plain Reactive Streams Subscriber, which RxJava wraps
 * @param steps in their order; nothing has been requested before the first
 */
record Schedule(
        String name,
        String library,
        String operator,
        String strategy,
        Integer capacity,
        String overflow,
        @JsonProperty("delay_error") Boolean delayError,
        String callback,
        long refill,
        @JsonProperty("cancel_after") int cancelAfter,
        boolean strict,
        List<Step> steps) {

    /**
     * One step.
     *
     * @param signal emit, request, complete, error, cancel or pass, which is nothing
     * @param item of emit; may be null
     * @param n of request
     */
    record Step(String signal, String item, long n) {}

    boolean hasCallback() {
        return !callback.equals("none");
    }
}
