package tokenweir.peers;

import java.util.Arrays;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** A whole number that a server is started with, as --name=N. */
public record Option(String name, int least, int most) {
    /** Where to listen; 0: a free one. */
    public static final Option PORT = new Option("port", 0, 65_535);

    private static final int WRONG_USAGE = 2;

    /** End the program, with one line that says what is accepted, unless each argument is one of these options. */
    public static void check(String[] arguments, Option... accepted) {
        for (String argument : arguments) {
            if (Arrays.stream(accepted).noneMatch(option -> option.takes(argument))) {
                String all = Stream.of(accepted).map(Option::inWords).collect(Collectors.joining(", "));
                System.err.println("an argument must be one of " + all + "; got " + argument);
                System.exit(WRONG_USAGE);
            }
        }
    }

    private boolean takes(String argument) {
        String start = "--" + name + "=";
        try {
            int value = argument.startsWith(start) ? Integer.parseInt(argument.substring(start.length())) : least - 1;
            return value >= least && value <= most;
        } catch (NumberFormatException none) {
            return false;
        }
    }

    private String inWords() {
        return "--" + name + "=N (a whole number from " + least + " to " + most + ")";
    }
}
