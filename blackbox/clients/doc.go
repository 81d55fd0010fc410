// Package clients holds Google's client libraries of four languages, curl and gcloud against the real binary. Each plays the same story, in
// steps whose names say what a failure is about. What the languages need comes from their registries into the cache of the checkout.
package clients
