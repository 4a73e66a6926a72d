// Verifies deliveries of Waxwing's profile `standard`. .NET 6 or newer, no packages.
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
    /// <param name="secret">whsec_ followed by 24 to 64 bytes in base64</param>
    public static bool Verify(byte[] body, Func<string, string?> header, string secret)
    {
        var id = header("webhook-id") ?? "";
        var timestamp = header("webhook-timestamp") ?? "";
        var signatures = (header("webhook-signature") ?? "").Split(' ');

        if (!long.TryParse(timestamp, NumberStyles.None, CultureInfo.InvariantCulture, out var signedAt)) return false;
        var age = DateTimeOffset.UtcNow.ToUnixTimeSeconds() - signedAt;
        if (Math.Abs(age) > ToleranceSeconds) return false;

        var key = Convert.FromBase64String(secret.Replace("whsec_", ""));
        if (key.Length == 0) throw new ArgumentException("the secret is missing");
        var signed = Encoding.UTF8.GetBytes($"{id}.{timestamp}.").Concat(body).ToArray();
        var mac = HMACSHA256.HashData(key, signed);
        var expected = Encoding.UTF8.GetBytes("v1," + Convert.ToBase64String(mac));
        return signatures.Any(signature => CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(signature), expected));
    }
}
