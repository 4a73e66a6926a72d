<?php
// Verifies deliveries of Waxwing's profile `standard`. PHP 8.0 or newer, no packages.

const TOLERANCE_SECONDS = 300;

/**
 * @param string $body the bytes of the request, before any parser touched them: file_get_contents('php://input')
 * @param array<string, string> $headers like getallheaders()
 * @param string $secret whsec_ followed by 24 to 64 bytes in base64
 */
function verify(string $body, array $headers, string $secret): bool
{
    $headers = array_change_key_case($headers);
    $id = $headers['webhook-id'] ?? '';
    $timestamp = $headers['webhook-timestamp'] ?? '';
    $signatures = explode(' ', $headers['webhook-signature'] ?? '');

    $signedAt = preg_match('/^\d+$/D', $timestamp) === 1 ? (int) $timestamp : false;
    if ($signedAt === false || abs(time() - $signedAt) > TOLERANCE_SECONDS) {
        return false;
    }

    $key = base64_decode(preg_replace('/^whsec_/', '', $secret), true);
    if ($key === false || $key === '') {
        throw new InvalidArgumentException('the secret is missing or malformed');
    }
    $signed = "$id.$timestamp." . $body;
    $expected = 'v1,' . base64_encode(hash_hmac('sha256', $signed, $key, true));
    foreach ($signatures as $signature) {
        if (hash_equals($expected, $signature)) {
            return true;
        }
    }
    return false;
}
