# Verifies deliveries of Waxwing's profile `agentmessage`. Ruby 3.0 or newer, standard library only.
require "openssl"

TOLERANCE_SECONDS = 300

# body: the bytes of the request, before any parser touched them
# headers: a hash of header names to values
# secret: 32 bytes in base64: 44 characters
def verify(body, headers, secret)
  headers = headers.transform_keys { |name| name.to_s.downcase }
  signatures = headers.fetch("x-amcore-signature", "").split(",")
  timestamp = signatures.find { |part| part.start_with?("t=") }.to_s.delete_prefix("t=")

  signed_at = Integer(timestamp, 10, exception: false)
  return false if signed_at.nil?
  return false if (Time.now.to_f - signed_at).abs > TOLERANCE_SECONDS

  key = secret.unpack1("m0")
  raise ArgumentError, "the secret is missing" if key.empty?

  signed = "#{timestamp}\n".b + body.b
  expected = "v1=" + OpenSSL::HMAC.hexdigest("SHA256", key, signed)
  signatures.any? { |signature| OpenSSL.secure_compare(signature, expected) }
end
