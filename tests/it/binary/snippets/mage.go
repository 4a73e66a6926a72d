// Package webhook verifies deliveries of Waxwing's profile `mage`. Go 1.18 or newer, standard library only.
package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"time"
)

const tolerance = 300 * time.Second

// Verify tells whether a delivery is genuine and recent. The body is the bytes of the request, before any parser
// touched them; the secret is 64 lower-case hexadecimal characters.
func Verify(body []byte, header http.Header, secret string) bool {
	timestamp := header.Get("x-webhook-timestamp")
	signatures := []string{header.Get("x-webhook-signature")}

	signedAt, err := time.Parse(time.RFC3339, timestamp)
	if err != nil {
		return false
	}
	age := time.Since(signedAt)
	if age > tolerance || age < -tolerance {
		return false
	}

	key := []byte(secret)
	if len(key) == 0 {
		return false
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(timestamp + "."))
	mac.Write(body)
	expected := "sha256=" + hex.EncodeToString(mac.Sum(nil))
	for _, signature := range signatures {
		if hmac.Equal([]byte(signature), []byte(expected)) {
			return true
		}
	}
	return false
}
