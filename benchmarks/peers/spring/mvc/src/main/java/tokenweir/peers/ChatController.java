package tokenweir.peers;

import io.reactivex.rxjava3.core.Flowable;
import jakarta.servlet.http.HttpServletResponse;
import java.util.Map;
import org.springframework.http.MediaType;
import org.springframework.http.codec.ServerSentEvent;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestBody;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.RestController;
import org.springframework.web.servlet.mvc.method.annotation.SseEmitter;
import reactor.core.publisher.Flux;

/** The three classic endpoints. MVC writes each element of a reactive type with a blocking write, then requests one. */
@RestController
class ChatController {
    private static final String STREAM = "/v1/chat/stream";

    private final EmitterPool pool;

    ChatController(EmitterPool pool) {
        this.pool = pool;
    }

    @GetMapping(path = STREAM, params = "variant=emitter", produces = MediaType.TEXT_EVENT_STREAM_VALUE)
    SseEmitter emitter(@RequestParam Map<String, String> query, HttpServletResponse response) {
        return pool.emitter(request(query, response));
    }

    @PostMapping(path = "/v1/chat/completions", produces = MediaType.TEXT_EVENT_STREAM_VALUE)
    SseEmitter completions(@RequestBody Map<String, Object> body, HttpServletResponse response) {
        return pool.emitter(request(body, response));
    }

    @GetMapping(path = STREAM, params = "variant=rx", produces = MediaType.TEXT_EVENT_STREAM_VALUE)
    Flowable<ServerSentEvent<Payload>> rx(@RequestParam Map<String, String> query, HttpServletResponse response) {
        return RxTokens.events(request(query, response));
    }

    @GetMapping(path = STREAM, params = "variant=flux", produces = MediaType.TEXT_EVENT_STREAM_VALUE)
    Flux<ServerSentEvent<Payload>> flux(@RequestParam Map<String, String> query, HttpServletResponse response) {
        return FluxTokens.events(request(query, response));
    }

    private static StreamRequest request(Map<String, ?> given, HttpServletResponse response) {
        StreamRequest request = StreamRequest.of(given);
        response.setHeader("X-Stream-Id", request.streamId());
        return request;
    }
}
