<?php
// Verifies deliveries of Waxwing's profile `mage`. PHP 8.0 or newer, no packages.

const TOLERANCE_SECONDS = 300;

/**
 * @param string $body the bytes of the request, before any parser touched them: file_get_contents('php://input')
 * @param array<string, string> $headers like getallheaders()
 * @param string $secret 64 lower-case hexadecimal characters
 */
function verify(string $body, array $headers, string $secret): bool
{
    $headers = array_change_key_case($headers);
    $timestamp = $headers['x-webhook-timestamp'] ?? '';
    $signatures = [$headers['x-webhook-signature'] ?? ''];

    $signedAt = strtotime($timestamp);
    if ($signedAt === false || abs(time() - $signedAt) > TOLERANCE_SECONDS) {
        return false;
    }

    $key = $secret;
    if ($key === false || $key === '') {
        throw new InvalidArgumentException('the secret is missing or malformed');
    }
    $signed = "$timestamp." . $body;
    $expected = 'sha256=' . hash_hmac('sha256', $signed, $key);
    foreach ($signatures as $signature) {
        if (hash_equals($expected, $signature)) {
            return true;
        }
    }
    return false;
}
