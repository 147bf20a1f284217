package tokenweir.peers;

import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.annotation.JsonProperty;

/** The JSON of one event, which Jackson builds for each token anew. */
@JsonInclude(JsonInclude.Include.NON_NULL)
public record Payload(
        boolean ended,
        String message,
        Integer seq,
        @JsonProperty("due_ns") Long dueNs,
        @JsonProperty("emitted_ns") Long emittedNs) {

    public static final Payload END = new Payload(true, "", null, null, null);

    public static Payload of(StreamRequest request, Token token) {
        String message = Integer.toString(token.index());
        return request.trace()
                ? new Payload(false, message, token.index(), token.dueNs(), token.emittedNs())
                : new Payload(false, message, null, null, null);
    }
}
