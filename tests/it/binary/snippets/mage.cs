// Verifies deliveries of Waxwing's profile `mage`. .NET 6 or newer, no packages.
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
    /// <param name="secret">64 lower-case hexadecimal characters</param>
    public static bool Verify(byte[] body, Func<string, string?> header, string secret)
    {
        var timestamp = header("x-webhook-timestamp") ?? "";
        var signatures = new[] { header("x-webhook-signature") ?? "" };

        if (!DateTimeOffset.TryParse(timestamp, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var signedAt)) return false;
        var age = DateTimeOffset.UtcNow - signedAt;
        if (Math.Abs(age.TotalSeconds) > ToleranceSeconds) return false;

        var key = Encoding.UTF8.GetBytes(secret);
        if (key.Length == 0) throw new ArgumentException("the secret is missing");
        var signed = Encoding.UTF8.GetBytes($"{timestamp}.").Concat(body).ToArray();
        var mac = HMACSHA256.HashData(key, signed);
        var expected = Encoding.UTF8.GetBytes("sha256=" + Convert.ToHexString(mac).ToLowerInvariant());
        return signatures.Any(signature => CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(signature), expected));
    }
}
