package push

import (
	"crypto/x509"
	"fmt"
	"os"
)

// Roots are those who may vouch for https endpoints: the system's certificate authorities and those in a PEM file. It is nil, which means
// the system's, without a file.
func Roots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("certificates for push endpoints: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool() // a system without any is no mistake: the file has what is needed
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("certificates for push endpoints: %s holds no certificate in PEM form", file)
	}
	return roots, nil
}
