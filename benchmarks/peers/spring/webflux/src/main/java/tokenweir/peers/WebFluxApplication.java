package tokenweir.peers;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;

/** Spring WebFlux on Reactor Netty. */
@SpringBootApplication
public class WebFluxApplication {
    /** Takes --port (0: a free one). */
    public static void main(String[] arguments) {
        Option.check(arguments, Option.PORT);
        SpringApplication.run(WebFluxApplication.class, arguments);
    }
}
