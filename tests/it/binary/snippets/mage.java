// Verifies deliveries of Waxwing's profile `mage`. Java 17 or newer, no packages.
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.time.DateTimeException;
import java.time.Duration;
import java.time.Instant;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Objects;
import java.util.function.UnaryOperator;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

public final class Webhook {
    private static final Duration TOLERANCE = Duration.ofSeconds(300);

    /**
     * @param body the bytes of the request, before any parser touched them
     * @param header a header's value by its name, or null: {@code request::getHeader}
     * @param secret 64 lower-case hexadecimal characters
     */
    public static boolean verify(byte[] body, UnaryOperator<String> header, String secret)
            throws GeneralSecurityException {
        String timestamp = Objects.requireNonNullElse(header.apply("x-webhook-timestamp"), "");
        String[] signatures = {Objects.requireNonNullElse(header.apply("x-webhook-signature"), "")};

        try {
            Instant signedAt = Instant.parse(timestamp);
            if (Duration.between(signedAt, Instant.now()).abs().compareTo(TOLERANCE) > 0) return false;
        } catch (DateTimeException malformed) {
            return false;
        }

        byte[] key = secret.getBytes(StandardCharsets.UTF_8);
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(key, "HmacSHA256")); // refuses an empty key
        mac.update((timestamp + ".").getBytes(StandardCharsets.UTF_8));
        String text = HexFormat.of().formatHex(mac.doFinal(body));
        byte[] expected = ("sha256=" + text).getBytes(StandardCharsets.UTF_8);
        return Arrays.stream(signatures)
                .anyMatch(signature -> MessageDigest.isEqual(signature.getBytes(StandardCharsets.UTF_8), expected));
    }
}
