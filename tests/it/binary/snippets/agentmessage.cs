// Verifies deliveries of Waxwing's profile `agentmessage`. .NET 6 or newer, no packages.
#nullable enable
using System;
using System.Globalization;
using System.Linq;
using System.Security.Cryptography;
using System.Text;

public static class Webhook
{
    private const int ToleranceSeconds = 300;

    /// <param name="body">The bytes of the request, before any parser touched them</param>
    /// <param name="header">A header's value by its name: <c>name => request.Headers[name]</c></param>
    /// <param name="secret">32 bytes in base64: 44 characters</param>
    public static bool Verify(byte[] body, Func<string, string?> header, string secret)
    {
        var signatures = (header("x-amcore-signature") ?? "").Split(',');
        var timestamp = signatures.FirstOrDefault(part => part.StartsWith("t=", StringComparison.Ordinal))?.Substring(2) ?? "";

        if (!long.TryParse(timestamp, NumberStyles.None, CultureInfo.InvariantCulture, out var signedAt)) return false;
        var age = DateTimeOffset.UtcNow.ToUnixTimeSeconds() - signedAt;
        if (Math.Abs(age) > ToleranceSeconds) return false;

        var key = Convert.FromBase64String(secret);
        if (key.Length == 0) throw new ArgumentException("the secret is missing");
        var signed = Encoding.UTF8.GetBytes($"{timestamp}\n").Concat(body).ToArray();
        var mac = HMACSHA256.HashData(key, signed);
        var expected = Encoding.UTF8.GetBytes("v1=" + Convert.ToHexString(mac).ToLowerInvariant());
        return signatures.Any(signature => CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(signature), expected));
    }
}
