// Asks a feilun API with nothing but Java 17 or newer: labels and feedback.
//
//   FEILUN_URL=http://127.0.0.1:8000 FEILUN_KEY=fl_... FEILUN_MODEL=reviews java FeilunClient.java
//
// Java has no JSON of its own: here a few lines write it, and two patterns read the answer. In a
// program of yours a library such as Jackson does both.

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.UUID;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

public class FeilunClient {
    private static final String URL = System.getenv("FEILUN_URL");
    private static final String KEY = System.getenv("FEILUN_KEY");
    private static final String MODEL = System.getenv().getOrDefault("FEILUN_MODEL", "reviews");

    private static final Pattern FIELD = Pattern.compile("\"(id|model|code)\":\"([^\"]*)\"");
    private static final Pattern OUTPUT =
        Pattern.compile("\\{\"label\":\"((?:[^\"\\\\]|\\\\.)*)\",\"score\":([0-9.eE-]+)");

    private static final HttpClient HTTP =
        HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(10)).build();

    /** Sends `body`. One key for all tries: the server answers and charges the call once. */
    static String call(String path, String body) throws IOException, InterruptedException {
        HttpRequest request = HttpRequest.newBuilder(URI.create(URL + path))
            .timeout(Duration.ofSeconds(60))
            .header("Authorization", "Bearer " + KEY)
            .header("Content-Type", "application/json")
            .header("Idempotency-Key", UUID.randomUUID().toString())
            .POST(HttpRequest.BodyPublishers.ofString(body))
            .build();
        for (int left = 4; ; left--) {
            double pause = 1;
            try {
                HttpResponse<String> said = HTTP.send(request, HttpResponse.BodyHandlers.ofString());
                if (said.statusCode() == 200) {
                    return said.body();
                }
                if (!Set.of(429, 503).contains(said.statusCode()) || left == 0) {
                    System.err.println(said.statusCode() + " " + said.body());
                    System.exit(1);
                }
                pause = said.headers().firstValueAsLong("retry-after").orElse(1);
            } catch (IOException broken) {
                if (left == 0) {
                    throw broken;
                }
            }
            Thread.sleep((long) (1000 * (pause + Math.random() / 2)));
        }
    }

    /** A text as JSON. */
    static String quoted(String text) {
        StringBuilder made = new StringBuilder("\"");
        for (char c : text.toCharArray()) {
            if (c == '"' || c == '\\') {
                made.append('\\').append(c);
            } else if (c < ' ') {
                made.append(String.format("\\u%04x", (int) c));
            } else {
                made.append(c);
            }
        }
        return made.append('"').toString();
    }

    static String field(String body, String name) {
        Matcher found = FIELD.matcher(body);
        while (found.find()) {
            if (found.group(1).equals(name)) {
                return found.group(2);
            }
        }
        throw new IllegalStateException("the answer has no " + name);
    }

    public static void main(String[] given) throws IOException, InterruptedException {
        List<String> texts =
            given.length > 0 ? Arrays.asList(given) : List.of("works well", "arrived broken");
        String inputs = texts.stream().map(FeilunClient::quoted).collect(Collectors.joining(","));
        String answer =
            call("/v1/predict", "{\"model\":" + quoted(MODEL) + ",\"inputs\":[" + inputs + "]}");

        Matcher output = OUTPUT.matcher(answer);
        String first = null;
        for (String text : texts) {
            if (!output.find()) {
                throw new IllegalStateException("fewer outputs than inputs: " + answer);
            }
            first = first == null ? output.group(1) : first;
            System.out.printf(
                "%s  %s  %.2f  %s%n",
                field(answer, "model"), output.group(1), Double.valueOf(output.group(2)), text);
        }
        // Here: it was right. The label stands in JSON already, escapes and all.
        call("/v1/feedback", "{\"prediction_id\":" + quoted(field(answer, "id"))
            + ",\"index\":0,\"label\":\"" + first + "\"}");
    }
}
