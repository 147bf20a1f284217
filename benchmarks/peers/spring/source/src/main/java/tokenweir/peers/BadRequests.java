package tokenweir.peers;

import java.util.Map;
import org.springframework.http.MediaType;
import org.springframework.http.ResponseEntity;
import org.springframework.web.bind.annotation.ExceptionHandler;
import org.springframework.web.bind.annotation.RestControllerAdvice;

/** Answers a wrong value with 400 and its reason, on both stacks. */
@RestControllerAdvice
class BadRequests {
    @ExceptionHandler(IllegalArgumentException.class)
    ResponseEntity<Map<String, Object>> refuse(IllegalArgumentException error) {
        return ResponseEntity.badRequest()
                .contentType(MediaType.APPLICATION_JSON)
                .body(Map.of("error", Map.of("message", error.getMessage(), "type", "invalid_request_error")));
    }
}
