# Verifies deliveries of Waxwing's profile `mage`. Ruby 3.0 or newer, standard library only.
require "openssl"
require "time"

TOLERANCE_SECONDS = 300

# body: the bytes of the request, before any parser touched them
# headers: a hash of header names to values
# secret: 64 lower-case hexadecimal characters
def verify(body, headers, secret)
  headers = headers.transform_keys { |name| name.to_s.downcase }
  timestamp = headers.fetch("x-webhook-timestamp", "")
  signatures = [headers.fetch("x-webhook-signature", "")]

  begin
    signed_at = Time.iso8601(timestamp).to_f
  rescue ArgumentError
    return false
  end
  return false if (Time.now.to_f - signed_at).abs > TOLERANCE_SECONDS

  key = secret
  raise ArgumentError, "the secret is missing" if key.empty?

  signed = "#{timestamp}.".b + body.b
  expected = "sha256=" + OpenSSL::HMAC.hexdigest("SHA256", key, signed)
  signatures.any? { |signature| OpenSSL.secure_compare(signature, expected) }
end
