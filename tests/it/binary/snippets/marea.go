// Package webhook verifies deliveries of Waxwing's profile `marea`. Go 1.18 or newer, standard library only.
package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const tolerance = 300 * time.Second

// Verify tells whether a delivery is genuine and recent. The body is the bytes of the request, before any parser
// touched them; the secret is 64 lower-case hexadecimal characters.
func Verify(body []byte, header http.Header, secret string) bool {
	signatures := strings.Split(header.Get("x-marea-signature"), ",")
	timestamp := ""
	for _, part := range signatures {
		if strings.HasPrefix(part, "t=") {
			timestamp = part[2:]
		}
	}

	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return false
	}
	age := time.Since(time.Unix(seconds, 0))
	if age > tolerance || age < -tolerance {
		return false
	}

	key, err := hex.DecodeString(secret)
	if err != nil || len(key) == 0 {
		return false
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(timestamp + "."))
	mac.Write(body)
	expected := "v1=" + hex.EncodeToString(mac.Sum(nil))
	for _, signature := range signatures {
		if hmac.Equal([]byte(signature), []byte(expected)) {
			return true
		}
	}
	return false
}
