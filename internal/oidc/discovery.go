package oidc

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Paths below the issuer.
const (
	discoveryPath = "/.well-known/openid-configuration"
	keysPath      = "/.well-known/jwks.json"
)

// keysAge is how long verifiers may keep the key set.
const keysAge = announceTime / 2

// discovery is the document of OpenID Connect Discovery 1.0, section 3, as far as it applies to an issuer that logs nobody in.
type discovery struct {
	Issuer        string   `json:"issuer"`
	KeysURI       string   `json:"jwks_uri"`
	ResponseTypes []string `json:"response_types_supported"`
	SubjectTypes  []string `json:"subject_types_supported"`
	Algorithms    []string `json:"id_token_signing_alg_values_supported"`
	Claims        []string `json:"claims_supported"`
}

// Register lets a mux serve the discovery document and the key set.
func (p *Provider) Register(mux *http.ServeMux) {
	mux.HandleFunc("GET "+discoveryPath, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, discovery{
			Issuer: p.issuer, KeysURI: p.issuer + keysPath,
			ResponseTypes: []string{"id_token"}, SubjectTypes: []string{"public"}, Algorithms: []string{string(jose.RS256)},
			Claims: []string{"iss", "aud", "sub", "azp", "email", "email_verified", "iat", "exp"},
		})
	})
	mux.HandleFunc("GET "+keysPath, func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		_, err := p.current(r.Context())
		var set jose.JSONWebKeySet
		for i := range p.keys {
			set.Keys = append(set.Keys, p.keys[i].public)
		}
		p.mu.Unlock()
		if err != nil {
			http.Error(w, "The keys cannot be read: "+err.Error(), http.StatusServiceUnavailable)
			return
		}
		answer(w, set)
	})
}

func answer(w http.ResponseWriter, document any) {
	body, err := json.Marshal(document)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", fmt.Sprintf("public, max-age=%d", int(keysAge/time.Second)))
	_, _ = w.Write(body) // a client that has gone needs no answer
}
