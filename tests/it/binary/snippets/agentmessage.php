<?php
// Verifies deliveries of Waxwing's profile `agentmessage`. PHP 8.0 or newer, no packages.

const TOLERANCE_SECONDS = 300;

/**
 * @param string $body the bytes of the request, before any parser touched them: file_get_contents('php://input')
 * @param array<string, string> $headers like getallheaders()
 * @param string $secret 32 bytes in base64: 44 characters
 */
function verify(string $body, array $headers, string $secret): bool
{
    $headers = array_change_key_case($headers);
    $signatures = explode(',', $headers['x-amcore-signature'] ?? '');
    $timestamp = '';
    foreach ($signatures as $part) {
        if (str_starts_with($part, 't=')) {
            $timestamp = substr($part, 2);
        }
    }

    $signedAt = preg_match('/^\d+$/D', $timestamp) === 1 ? (int) $timestamp : false;
    if ($signedAt === false || abs(time() - $signedAt) > TOLERANCE_SECONDS) {
        return false;
    }

    $key = base64_decode($secret, true);
    if ($key === false || $key === '') {
        throw new InvalidArgumentException('the secret is missing or malformed');
    }
    $signed = "$timestamp\n" . $body;
    $expected = 'v1=' . hash_hmac('sha256', $signed, $key);
    foreach ($signatures as $signature) {
        if (hash_equals($expected, $signature)) {
            return true;
        }
    }
    return false;
}
