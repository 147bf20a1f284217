package tokenweir.peers;

/**
 * One token of the counter source.
 *
 * @param dueNs when the schedule wanted it
 * @param emittedNs when it left the source; System.nanoTime() is CLOCK_MONOTONIC on Linux, as Python's monotonic_ns is
 */
public record Token(int index, long dueNs, long emittedNs) {
    /** Make the next token of a request, now. */
    public static Token now(StreamRequest request, int index) {
        long nowNs = System.nanoTime();
        return new Token(index, request.isPaced() ? request.dueNs(index) : nowNs, nowNs);
    }
}
