import java.io.IOException;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.boot.web.context.WebServerInitializedEvent;
import org.springframework.context.ApplicationListener;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.RestController;
import org.springframework.web.servlet.mvc.method.annotation.SseEmitter;

/** Any number of SseEmitters on Spring MVC, all fed by one thread with a timer. */
@EnableAutoConfiguration
public class OneThread {
    public static void main(String[] arguments) {
        SpringApplication application = new SpringApplication(OneThread.class, Endpoint.class);
        ApplicationListener<WebServerInitializedEvent> listening =
                event -> System.out.println("http://127.0.0.1:" + event.getWebServer().getPort());
        application.addListeners(listening);
        application.run(arguments);
    }

    /** Each event tells when it was emitted, as the traced payloads of the other servers do. */
    @RestController
    public static class Endpoint {
        private final ScheduledExecutorService thread = Executors.newSingleThreadScheduledExecutor(work -> {
            Thread made = new Thread(work, "feeder");
            made.setDaemon(true);
            return made;
        });

        @GetMapping("/v1/chat/stream")
        public SseEmitter stream(@RequestParam("count") int count, @RequestParam("rate") double rate) {
            SseEmitter emitter = new SseEmitter(0L); // no timeout
            AtomicInteger left = new AtomicInteger(count);
            AtomicReference<ScheduledFuture<?>> feeding = new AtomicReference<>();
            Runnable feed = () -> {
                if (!sendNext(emitter, left)) {
                    feeding.get().cancel(false);
                }
            };
            long gapNs = Math.round(1e9 / rate);
            // The one thread sets the timer, too, so that it is known before it fires.
            thread.execute(() -> feeding.set(thread.scheduleAtFixedRate(feed, 0, gapNs, TimeUnit.NANOSECONDS)));
            return emitter;
        }

        private static boolean sendNext(SseEmitter emitter, AtomicInteger left) {
            try {
                if (left.getAndDecrement() > 0) {
                    emitter.send("{\"emitted_ns\": " + System.nanoTime() + "}");
                    return true;
                }
                emitter.complete();
            } catch (IOException | IllegalStateException gone) {
                // The client has left.
            }
            return false;
        }
    }
}
