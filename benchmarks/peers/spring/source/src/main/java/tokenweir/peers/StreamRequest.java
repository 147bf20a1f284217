package tokenweir.peers;

import java.math.BigDecimal;
import java.util.Locale;
import java.util.Map;
import java.util.UUID;

/**
 * What a client asks for. Parameters that are not named here are passed over.
 *
 * @param streamId names the stream in the ids of its events
 * @param strategy error, drop, latest, buffer or missing (alias ignore), by its upper-case name
 * @param count how many tokens
 * @param rate tokens per second; 0: as fast as possible
 * @param trace whether each payload says when its token was due and emitted
 * @param hangAfter silence for ever after so many tokens; -1: none
 * @param startNs when the request came, where its schedule begins
 */
public record StreamRequest(
        String streamId, String strategy, int count, double rate, boolean trace, int hangAfter, long startNs) {

    private static final double NS_PER_S = 1e9;

    /**
     * Read the parameters of a query or a JSON body.
     *
     * @throws IllegalArgumentException naming the parameter, its value and what is accepted
     */
    public static StreamRequest of(Map<String, ?> given) {
        oneOf("source", text(given, "source", "counter"), "counter");
        String strategy = text(given, "strategy", "buffer").toLowerCase(Locale.ROOT);
        oneOf("strategy", strategy, "error", "drop", "latest", "buffer", "missing", "ignore");
        String trace = text(given, "trace", "0");
        oneOf("trace", trace, "0", "1", "false", "true");
        return new StreamRequest(
                UUID.randomUUID().toString(),
                strategy.equals("ignore") ? "MISSING" : strategy.toUpperCase(Locale.ROOT),
                whole(given, "count", 10, 0),
                rate(given),
                trace.equals("1") || trace.equals("true"),
                whole(given, "hang_after", -1, -1),
                System.nanoTime());
    }

    /** How many tokens come before the end or the silence. */
    public int emitted() {
        return hangs() ? Math.min(count, hangAfter) : count;
    }

    public boolean hangs() {
        return hangAfter >= 0;
    }

    public boolean isPaced() {
        return rate > 0;
    }

    /** When a token is due: an absolute schedule, so that what is late is caught up with. Only if it is paced. */
    public long dueNs(int index) {
        return startNs + Math.round(index * NS_PER_S / rate);
    }

    private static String text(Map<String, ?> given, String name, String otherwise) {
        Object value = given.get(name);
        if (value instanceof Double number) { // JSON knows one kind of number: 5.0 is 5
            return BigDecimal.valueOf(number).stripTrailingZeros().toPlainString();
        }
        return value == null ? otherwise : value.toString();
    }

    private static int whole(Map<String, ?> given, String name, int otherwise, int least) {
        String value = text(given, name, String.valueOf(otherwise));
        try {
            int number = Integer.parseInt(value);
            if (number >= least) {
                return number;
            }
        } catch (NumberFormatException none) {
            // It is refused with those that are too small.
        }
        throw new IllegalArgumentException("%s must be a whole number from %d to %d; got %s"
                .formatted(name, least, Integer.MAX_VALUE, value));
    }

    private static double rate(Map<String, ?> given) {
        String value = text(given, "rate", "20");
        try {
            double number = new BigDecimal(value).doubleValue(); // unlike parseDouble it takes no NaN, 20d or 0x1p3
            if (number >= 0 && number <= NS_PER_S) {
                return number;
            }
        } catch (NumberFormatException none) {
            // It is refused with those out of range.
        }
        throw new IllegalArgumentException(
                "rate must be a number from 0 to %.0f; got %s".formatted(NS_PER_S, value));
    }

    private static void oneOf(String name, String value, String... accepted) {
        for (String one : accepted) {
            if (one.equals(value)) {
                return;
            }
        }
        throw new IllegalArgumentException(
                "%s must be one of %s; got %s".formatted(name, String.join(", ", accepted), value));
    }
}
