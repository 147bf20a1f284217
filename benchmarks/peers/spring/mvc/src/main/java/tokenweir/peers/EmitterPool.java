package tokenweir.peers;

import jakarta.annotation.PreDestroy;
import java.io.IOException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.http.MediaType;
import org.springframework.stereotype.Component;
import org.springframework.web.servlet.mvc.method.annotation.SseEmitter;

/** The classic: a fixed pool, each of whose threads feeds one SseEmitter from its first token to its last. */
@Component
class EmitterPool {
    static final Option THREADS = new Option("threads", 1, 10_000);

    private final ExecutorService threads;

    EmitterPool(@Value("${threads:5}") int count) {
        threads = Executors.newFixedThreadPool(count);
    }

    SseEmitter emitter(StreamRequest request) {
        SseEmitter emitter = new SseEmitter(0L); // no timeout
        threads.execute(() -> feed(request, emitter));
        return emitter;
    }

    private static void feed(StreamRequest request, SseEmitter emitter) {
        try {
            for (int index = 0; index < request.emitted(); index++) {
                if (request.isPaced()) {
                    TimeUnit.NANOSECONDS.sleep(request.dueNs(index) - System.nanoTime());
                }
                send(emitter, request, Integer.toString(index), Payload.of(request, Token.now(request, index)));
            }
            if (!request.hangs()) {
                send(emitter, request, "end", Payload.END);
                emitter.complete();
            }
        } catch (IOException gone) {
            // The client has left. Tomcat raises its own error event, so the emitter must not be completed.
        } catch (InterruptedException stopped) {
            Thread.currentThread().interrupt();
        } catch (RuntimeException error) {
            emitter.completeWithError(error);
        }
    }

    private static void send(SseEmitter emitter, StreamRequest request, String suffix, Payload payload)
            throws IOException {
        emitter.send(SseEmitter.event()
                .name("message")
                .id(request.streamId() + "-" + suffix)
                .data(payload, MediaType.APPLICATION_JSON));
    }

    @PreDestroy
    void stop() {
        threads.shutdownNow();
    }
}
