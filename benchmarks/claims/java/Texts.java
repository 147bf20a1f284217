import io.reactivex.rxjava3.core.Flowable;
import java.util.List;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.boot.web.context.WebServerInitializedEvent;
import org.springframework.context.ApplicationListener;
import org.springframework.http.MediaType;
import org.springframework.util.MultiValueMap;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.RestController;
import reactor.core.publisher.Flux;

/** Streams texts as Flux&lt;String&gt; and Flowable&lt;String&gt;, on Spring MVC or WebFlux: whichever is on the class path. */
@EnableAutoConfiguration
public class Texts {
    public static void main(String[] arguments) {
        SpringApplication application = new SpringApplication(Texts.class, Endpoints.class);
        ApplicationListener<WebServerInitializedEvent> listening =
                event -> System.out.println("http://127.0.0.1:" + event.getWebServer().getPort());
        application.addListeners(listening);
        application.run(arguments);
    }

    /** The texts are those of the query. What is open leaves the media type to the client. */
    @RestController
    public static class Endpoints {
        @GetMapping(path = "/flux/declared", produces = MediaType.TEXT_EVENT_STREAM_VALUE)
        public Flux<String> declaredFlux(@RequestParam MultiValueMap<String, String> query) {
            return Flux.fromIterable(texts(query));
        }

        @GetMapping("/flux/open")
        public Flux<String> openFlux(@RequestParam MultiValueMap<String, String> query) {
            return Flux.fromIterable(texts(query));
        }

        @GetMapping(path = "/flowable/declared", produces = MediaType.TEXT_EVENT_STREAM_VALUE)
        public Flowable<String> declaredFlowable(@RequestParam MultiValueMap<String, String> query) {
            return Flowable.fromIterable(texts(query));
        }

        @GetMapping("/flowable/open")
        public Flowable<String> openFlowable(@RequestParam MultiValueMap<String, String> query) {
            return Flowable.fromIterable(texts(query));
        }

        private static List<String> texts(MultiValueMap<String, String> query) {
            return query.get("text");
        }
    }
}
