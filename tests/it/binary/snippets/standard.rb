# Verifies deliveries of Waxwing's profile `standard`. Ruby 3.0 or newer, standard library only.
require "openssl"

TOLERANCE_SECONDS = 300

# body: the bytes of the request, before any parser touched them
# headers: a hash of header names to values
# secret: whsec_ followed by 24 to 64 bytes in base64
def verify(body, headers, secret)
  headers = headers.transform_keys { |name| name.to_s.downcase }
  id = headers.fetch("webhook-id", "")
  timestamp = headers.fetch("webhook-timestamp", "")
  signatures = headers.fetch("webhook-signature", "").split(" ")

  signed_at = Integer(timestamp, 10, exception: false)
  return false if signed_at.nil?
  return false if (Time.now.to_f - signed_at).abs > TOLERANCE_SECONDS

  key = secret.delete_prefix("whsec_").unpack1("m0")
  raise ArgumentError, "the secret is missing" if key.empty?

  signed = "#{id}.#{timestamp}.".b + body.b
  expected = "v1," + [OpenSSL::HMAC.digest("SHA256", key, signed)].pack("m0")
  signatures.any? { |signature| OpenSSL.secure_compare(signature, expected) }
end
