package tokenweir.peers;

import org.springframework.boot.web.context.WebServerInitializedEvent;
import org.springframework.context.event.EventListener;
import org.springframework.stereotype.Component;

/** Says where the server listens, once it does. */
@Component
class Listening {
    @EventListener
    void print(WebServerInitializedEvent event) {
        System.out.println("http://127.0.0.1:" + event.getWebServer().getPort());
    }
}
