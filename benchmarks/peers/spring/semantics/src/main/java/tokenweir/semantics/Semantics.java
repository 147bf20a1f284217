package tokenweir.semantics;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.List;

/**
 * Reads schedules from standard input, a JSON object a line, runs each through the real operator that it names, and
 * answers with what was seen during each step, a JSON object a line on standard output.
 */
public final class Semantics {
    private Log log = new Log();

    private Semantics() {
        RxJavaOperators.ignoreUndeliverable();
        ReactorOperators.listenToHooks(item -> log.now().discarded().add((String) item));
    }

    /** Runs the table. */
    public static void main(String[] arguments) throws IOException {
        ObjectMapper mapper = new ObjectMapper();
        Semantics semantics = new Semantics();
        var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        var answers = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            Schedule schedule = mapper.readValue(line, Schedule.class);
            answers.println(mapper.writeValueAsString(new Outcome(schedule.name(), semantics.run(schedule))));
        }
    }

    /** What was seen of one schedule. */
    record Outcome(String name, List<Log.Seen> steps) {}

    private List<Log.Seen> run(Schedule schedule) {
        log = new Log();
        log.begin();
        Consumer consumer = new Consumer(schedule, log);
        Dropped dropped = new Dropped(schedule, log);
        Producer producer = schedule.library().equals("rxjava")
                ? RxJavaOperators.open(schedule, dropped, consumer)
                : ReactorOperators.open(schedule, dropped, consumer);
        for (Schedule.Step step : schedule.steps()) {
            log.guarded(() -> act(step, producer, consumer));
        }
        return log.steps().subList(1, log.steps().size());
    }

    private static void act(Schedule.Step step, Producer producer, Consumer consumer) {
        switch (step.signal()) {
            case "emit" -> producer.emit(step.item());
            case "request" -> consumer.request(step.n());
            case "complete" -> producer.complete();
            case "error" -> producer.error(new Log.SourceFailure());
            case "cancel" -> consumer.cancel();
            case "pass" -> {}
            default -> throw new IllegalStateException("no step " + step.signal());
        }
    }
}
