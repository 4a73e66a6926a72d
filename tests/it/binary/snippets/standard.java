// Verifies deliveries of Waxwing's profile `standard`. Java 17 or newer, no packages.
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.time.DateTimeException;
import java.time.Duration;
import java.time.Instant;
import java.util.Arrays;
import java.util.Base64;
import java.util.Objects;
import java.util.function.UnaryOperator;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

public final class Webhook {
    private static final Duration TOLERANCE = Duration.ofSeconds(300);

    /**
     * @param body the bytes of the request, before any parser touched them
     * @param header a header's value by its name, or null: {@code request::getHeader}
     * @param secret whsec_ followed by 24 to 64 bytes in base64
     */
    public static boolean verify(byte[] body, UnaryOperator<String> header, String secret)
            throws GeneralSecurityException {
        String id = Objects.requireNonNullElse(header.apply("webhook-id"), "");
        String timestamp = Objects.requireNonNullElse(header.apply("webhook-timestamp"), "");
        String[] signatures = Objects.requireNonNullElse(header.apply("webhook-signature"), "").split(" ");

        try {
            Instant signedAt = Instant.ofEpochSecond(Long.parseLong(timestamp));
            if (Duration.between(signedAt, Instant.now()).abs().compareTo(TOLERANCE) > 0) return false;
        } catch (NumberFormatException | DateTimeException malformed) {
            return false;
        }

        byte[] key = Base64.getDecoder().decode(secret.replaceFirst("^whsec_", ""));
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(key, "HmacSHA256")); // refuses an empty key
        mac.update((id + "." + timestamp + ".").getBytes(StandardCharsets.UTF_8));
        String text = Base64.getEncoder().encodeToString(mac.doFinal(body));
        byte[] expected = ("v1," + text).getBytes(StandardCharsets.UTF_8);
        return Arrays.stream(signatures)
                .anyMatch(signature -> MessageDigest.isEqual(signature.getBytes(StandardCharsets.UTF_8), expected));
    }
}
