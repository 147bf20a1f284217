package tokenweir.peers;

import java.util.concurrent.Executor;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.TimeUnit;

/**
 * Pushes the tokens of a request at its own speed, whatever the demand. A paced stream costs one timer and no thread,
 * an unpaced one has a thread until it ends.
 */
final class TokenSource implements Runnable {
    /** Where tokens go: an emitter of RxJava or a sink of Reactor. */
    interface Sink {
        boolean isCancelled();

        void next(Token token);

        void complete();
    }

    private static final ThreadFactory DAEMONS = work -> {
        Thread thread = new Thread(work, "source");
        thread.setDaemon(true);
        return thread;
    };
    private static final ScheduledExecutorService TIMER =
            Executors.newScheduledThreadPool(Runtime.getRuntime().availableProcessors(), DAEMONS);
    private static final Executor THREADS = Executors.newCachedThreadPool(DAEMONS);

    private final StreamRequest request;
    private final Sink sink;
    private int index;

    private TokenSource(StreamRequest request, Sink sink) {
        this.request = request;
        this.sink = sink;
    }

    static void feed(StreamRequest request, Sink sink) {
        (request.isPaced() ? TIMER : THREADS).execute(new TokenSource(request, sink));
    }

    @Override
    public void run() {
        for (; index < request.emitted() && !sink.isCancelled(); index++) {
            long aheadNs = request.isPaced() ? request.dueNs(index) - System.nanoTime() : 0;
            if (aheadNs > 0) {
                TIMER.schedule(this, aheadNs, TimeUnit.NANOSECONDS);
                return;
            }
            sink.next(Token.now(request, index));
        }
        if (!request.hangs()) {
            sink.complete();
        }
    }
}
