// Verifies deliveries of Waxwing's profile `agentmessage`. Java 17 or newer, no packages.
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.time.DateTimeException;
import java.time.Duration;
import java.time.Instant;
import java.util.Arrays;
import java.util.Base64;
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
     * @param secret 32 bytes in base64: 44 characters
     */
    public static boolean verify(byte[] body, UnaryOperator<String> header, String secret)
            throws GeneralSecurityException {
        String[] signatures = Objects.requireNonNullElse(header.apply("x-amcore-signature"), "").split(",");
        String timestamp = Arrays.stream(signatures).filter(part -> part.startsWith("t=")).findFirst()
                .map(part -> part.substring(2)).orElse("");

        try {
            Instant signedAt = Instant.ofEpochSecond(Long.parseLong(timestamp));
            if (Duration.between(signedAt, Instant.now()).abs().compareTo(TOLERANCE) > 0) return false;
        } catch (NumberFormatException | DateTimeException malformed) {
            return false;
        }

        byte[] key = Base64.getDecoder().decode(secret);
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(key, "HmacSHA256")); // refuses an empty key
        mac.update((timestamp + "\n").getBytes(StandardCharsets.UTF_8));
        String text = HexFormat.of().formatHex(mac.doFinal(body));
        byte[] expected = ("v1=" + text).getBytes(StandardCharsets.UTF_8);
        return Arrays.stream(signatures)
                .anyMatch(signature -> MessageDigest.isEqual(signature.getBytes(StandardCharsets.UTF_8), expected));
    }
}
