// SPDX-License-Identifier: Apache-2.0
// The pages of every test application, on the JDK's own HTTP server. Arguments: address, port, and for HTTPS a key store
// whose password is "password".
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import com.sun.net.httpserver.HttpsConfigurator;
import com.sun.net.httpserver.HttpsServer;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.security.KeyStore;
import java.util.concurrent.Executors;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;

public class App {
    static final byte[] BIG = "0123456789abcdef".repeat(65536).getBytes(StandardCharsets.US_ASCII);
    static final String[] CHUNKS = {"first\n", "GET /fake HTTP/1.1\r\n\r\n", "HTTP/1.1 500 Fake\r\n\r\n", "z".repeat(3000)};

    static void answer(HttpExchange exchange, int status, byte[] body) throws IOException {
        boolean isBare = status == 204 || status == 304 || exchange.getRequestMethod().equals("HEAD");
        if (exchange.getRequestMethod().equals("HEAD") && status != 204 && status != 304) {
            exchange.getResponseHeaders().set("Content-Length", Integer.toString(body.length));
        }
        exchange.sendResponseHeaders(status, isBare ? -1 : body.length);
        if (!isBare) {
            exchange.getResponseBody().write(body);
        }
        exchange.close();
    }

    static void handle(HttpExchange exchange) throws IOException {
        String path = exchange.getRequestURI().getPath();
        if (!path.equals("/early")) {
            exchange.getRequestBody().readAllBytes();
        }
        byte[] hello = "hello\n".getBytes(StandardCharsets.US_ASCII);
        if (path.equals("/hello") || path.equals("/") || path.equals("/left") || path.equals("/echo") || path.startsWith("/items/")) {
            answer(exchange, 200, hello);
        } else if (path.equals("/big.bin")) {
            answer(exchange, 200, BIG);
        } else if (path.equals("/nocontent")) {
            answer(exchange, 204, hello);
        } else if (path.equals("/notmodified")) {
            answer(exchange, 304, hello);
        } else if (path.equals("/error")) {
            answer(exchange, 500, hello);
        } else if (path.equals("/chunked") && !exchange.getRequestMethod().equals("HEAD")) {
            exchange.sendResponseHeaders(200, 0);
            try (OutputStream out = exchange.getResponseBody()) {
                for (String part : CHUNKS) {
                    out.write(part.getBytes(StandardCharsets.US_ASCII));
                    out.flush();
                }
            }
            exchange.close();
        } else {
            answer(exchange, 404, hello);
        }
    }

    static HttpServer https(InetSocketAddress address, String file) throws Exception {
        char[] password = "password".toCharArray();
        KeyStore keys = KeyStore.getInstance("PKCS12");
        try (FileInputStream in = new FileInputStream(file)) {
            keys.load(in, password);
        }
        KeyManagerFactory managers = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        managers.init(keys, password);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(managers.getKeyManagers(), null, null);
        HttpsServer server = HttpsServer.create(address, 512);
        server.setHttpsConfigurator(new HttpsConfigurator(context));
        return server;
    }

    public static void main(String[] args) throws Exception {
        InetSocketAddress address = new InetSocketAddress(args[0], Integer.parseInt(args[1]));
        HttpServer server = args.length > 2 ? https(address, args[2]) : HttpServer.create(address, 512);
        server.createContext("/", App::handle);
        server.setExecutor(Executors.newFixedThreadPool(8));
        server.start();
    }
}
