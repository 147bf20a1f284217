package tokenweir.peers;

import io.reactivex.rxjava3.core.Flowable;
import java.util.Map;
import org.springframework.http.MediaType;
import org.springframework.http.codec.ServerSentEvent;
import org.springframework.http.server.reactive.ServerHttpResponse;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestBody;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.RestController;
import reactor.core.publisher.Flux;

/** The reactive two of the three classic endpoints: SseEmitter belongs to MVC. Netty requests elements in portions. */
@RestController
class ChatController {
    private static final String STREAM = "/v1/chat/stream";

    @GetMapping(path = STREAM, params = "variant=rx", produces = MediaType.TEXT_EVENT_STREAM_VALUE)
    Flowable<ServerSentEvent<Payload>> rx(@RequestParam Map<String, String> query, ServerHttpResponse response) {
        return RxTokens.events(request(query, response));
    }

    @GetMapping(path = STREAM, params = "variant=flux", produces = MediaType.TEXT_EVENT_STREAM_VALUE)
    Flux<ServerSentEvent<Payload>> flux(@RequestParam Map<String, String> query, ServerHttpResponse response) {
        return FluxTokens.events(request(query, response));
    }

    @PostMapping(path = "/v1/chat/completions", produces = MediaType.TEXT_EVENT_STREAM_VALUE)
    Flux<ServerSentEvent<Payload>> completions(@RequestBody Map<String, Object> body, ServerHttpResponse response) {
        return FluxTokens.events(request(body, response));
    }

    private static StreamRequest request(Map<String, ?> given, ServerHttpResponse response) {
        StreamRequest request = StreamRequest.of(given);
        response.getHeaders().set("X-Stream-Id", request.streamId());
        return request;
    }
}
