package tokenweir.peers;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;

/** Spring MVC on Tomcat. */
@SpringBootApplication
public class MvcApplication {
    /** Takes --port (0: a free one) and --threads (of the pool that feeds the emitters). */
    public static void main(String[] arguments) {
        Option.check(arguments, Option.PORT, EmitterPool.THREADS);
        SpringApplication.run(MvcApplication.class, arguments);
    }
}
